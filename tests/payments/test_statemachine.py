"""Anything in any order: taps, lost answers, webhooks true and false, crashes, retries, and days that pass.

The truth is the model gateway's. After every step the invariants must hold, and at the end, when all faults are
healed and the worker has gone quiet, whoever paid is credited, once.
"""

from __future__ import annotations

import random
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_feexpay import conf, failpoints
from django_feexpay.gateway.reports import hint_from
from django_feexpay.models import Attempt, Credit, Incident, Payment, Provider
from django_feexpay.payments import due, hints, idempotency, initiate, outbox
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.idempotency import AlreadyAnswered, Key
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.order import Order
from django_feexpay.payments.retry import retry
from tests.payments import invariants
from tests.payments.model_gateway import (
    SUCCESSFUL,
    Charge,
    ModelGateway,
    accept,
    accept_as,
    cannot_reach,
    lose_the_answer,
    refuse,
    slow_down,
)
from tests.payments.stage import Clock, Guard, next_due_at, sweep

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

EXAMPLES, STEPS, MOST_ROUNDS = 20, 30, 300

ANSWERS = {
    "accepted": accept,
    "lost": lose_the_answer,
    "not sent": cannot_reach,
    "refused": refuse(),
    "slow down": slow_down(30),
}
LIES: list[dict[str, Any]] = [
    {"amount": 1},
    {"amount": None},
    {"callback_info": "another"},
    {"callback_info": None},
    {"reference": "another"},
    {"phoneNumber": "2290161000099"},
    {"status": "ON HOLD"},
    {"status": "PENDING"},
]

answers = st.sampled_from(sorted(ANSWERS))
places = st.one_of(st.none(), st.sampled_from(failpoints.NAMES))
seconds = st.sampled_from([1, 3, 10, 46, 61, 600, 901, 3601, 90_000])


class KilledError(BaseException):
    pass


class PaymentLife(RuleBasedStateMachine):
    """`user` and nothing else is there before the first step."""

    user: User

    payments = Bundle("payments")

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        self.clock = Clock()
        self.clock.at = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
        self.gateway = ModelGateway()
        self.guard = Guard(self.gateway)
        self.count = 0
        cache.clear()  # what the last example's processes knew of FeexPay
        self.stack.enter_context(conf.use_clock(self.clock))
        self.stack.enter_context(conf.use_transport(self.guard))
        self.stack.enter_context(mock.patch.object(due, "_dice", random.Random(0)))

    # --- the client ---------------------------------------------------------------------------------------

    @rule(
        target=payments,
        answer=answers,
        keyed=st.booleans(),
        tapped=st.integers(1, 3),
        queued=st.booleans(),
        place=places,
    )
    def start(self, answer: str, keyed: bool, tapped: int, queued: bool, place: str | None) -> Any:
        self.count += 1
        wish = Order(
            user=self.user,
            provider="moov_bj" if queued else "mtn_bj",
            amount=5000,
            phone="0161000050",
            merchant_reference=f"order-{self.count}",
        )
        fingerprint = idempotency.fingerprint("initiate", {"count": self.count})
        key = Key(user=self.user, value=f"key-{self.count}", fingerprint=fingerprint) if keyed else None
        self.gateway.next_collects = [ANSWERS[answer]]
        before = Payment.objects.count()
        for _ in range(tapped):
            self.unless_killed(place, lambda: initiate.start(wish, source=Source.API, key=key))
        found = list(Payment.objects.filter(merchant_reference=wish.merchant_reference))
        assert Payment.objects.count() - before == len(found)
        assert sum(payment.public_status != "failed" for payment in found) <= 1
        return multiple(*(payment.pk for payment in found))

    @rule(pk=payments, answer=answers, place=places)
    def ask_again(self, pk: uuid.UUID, answer: str, place: str | None) -> None:
        self.gateway.next_collects = [ANSWERS[answer]]
        self.unless_killed(place, lambda: retry(pk, source=Source.API))

    # --- the payer ----------------------------------------------------------------------------------------

    def open_charges(self) -> list[Charge]:
        return [charge for charge in self.gateway.charges if charge.status != SUCCESSFUL and not charge.refused]

    @precondition(lambda self: self.open_charges())
    @rule(data=st.data())
    def approve(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.open_charges())).approve()

    @precondition(lambda self: self.open_charges())
    @rule(data=st.data())
    def decline(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.open_charges())).decline()

    # --- FeexPay ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.gateway.charges)
    @rule(data=st.data(), words=st.lists(st.sampled_from(["SUCCESSFUL", "FAILED", "PENDING"]), min_size=1, max_size=3))
    def send_webhooks(self, data: st.DataObject, words: list[str]) -> None:
        """Once or more, true, forged or out of order: none of it may matter."""
        charge = data.draw(st.sampled_from(self.gateway.charges))
        for word in words:
            self.tell(charge, status=word, amount=data.draw(st.sampled_from([5000, 1])))

    @precondition(lambda self: self.gateway.charges)
    @rule(data=st.data(), lie=st.one_of(st.just({}), st.sampled_from(LIES)))
    def lie_about_a_status(self, data: st.DataObject, lie: dict[str, Any]) -> None:
        data.draw(st.sampled_from(self.gateway.charges)).lies = lie

    def known_references(self) -> list[str]:
        known = Attempt.objects.exclude(gateway_reference=None).values_list("gateway_reference", flat=True)
        return sorted(map(str, known))

    @precondition(lambda self: self.known_references())
    @rule(data=st.data())
    def give_one_reference_twice(self, data: st.DataObject) -> None:
        """The next collect is answered with another attempt's reference; FeexPay itself knows it by its own."""
        taken = data.draw(st.sampled_from(self.known_references()))

        def answer(charge: Charge) -> Any:
            own = charge.reference
            wrong = accept_as(taken)(charge)
            charge.reference = own
            return wrong

        self.gateway.next_collects = [answer]
        self.count += 1
        wish = Order(
            user=self.user,
            provider="mtn_bj",
            amount=5000,
            phone="0161000050",
            merchant_reference=f"order-{self.count}",
        )
        self.unless_killed(None, lambda: initiate.start(wish, source=Source.API))

    @rule(away=st.booleans())
    def go_away_or_come_back(self, away: bool) -> None:
        self.gateway.away = away

    # --- ourselves ----------------------------------------------------------------------------------------

    @rule(passed=seconds)
    def let_time_pass(self, passed: int) -> None:
        self.clock.advance(passed)

    @rule(place=places)
    def work(self, place: str | None) -> None:
        self.unless_killed(place, sweep)

    @rule(place=places)
    def wait_for_the_next_look_and_work(self, place: str | None) -> None:
        instant = next_due_at()
        if instant is not None:
            self.clock.advance_to(instant)
        self.unless_killed(place, sweep)

    @rule(enabled=st.booleans())
    def switch_the_provider(self, enabled: bool) -> None:
        Provider.objects.filter(code="mtn_bj").update(enabled=enabled)

    # --- what must hold -----------------------------------------------------------------------------------

    @invariant()
    def everything_adds_up(self) -> None:
        assert self.guard.offences == []
        invariants.check(self.gateway, self.clock.at)

    def teardown(self) -> None:
        try:
            self.heal()
            self.work_until_quiet()
            invariants.check(self.gateway, self.clock.at)
            self.check_nothing_is_lost()
        finally:
            self.stack.close()
            wipe()

    def heal(self) -> None:
        self.gateway.away = False
        self.gateway.next_collects = []
        Provider.objects.update(enabled=True)
        for charge in self.gateway.charges:
            charge.lies = {}

    def work_until_quiet(self) -> None:
        """Each payer who paid has FeexPay's webhook come once more; then the worker alone, until nothing is open."""
        for charge in self.gateway.paid():
            self.tell(charge, status=SUCCESSFUL)
        for _ in range(MOST_ROUNDS):
            instant = next_due_at()
            if instant is None or self.is_quiet():
                break
            self.clock.advance_to(instant)
            self.clock.advance(600)
            sweep()
        self.clock.advance(60)
        outbox.deliver()

    def is_quiet(self) -> bool:
        unsettled = Attempt.objects.filter(pk__in=[charge.echo for charge in self.gateway.paid()])
        open_still = Attempt.objects.filter(status__in=["created", "sending", "unknown"])
        return not open_still.exists() and not unsettled.exclude(status="successful").exists()

    def check_nothing_is_lost(self) -> None:
        paid = {charge.echo for charge in self.gateway.paid()}
        settled = Attempt.objects.filter(status="successful").values_list("pk", flat=True)
        assert paid == {str(pk) for pk in settled}
        payments = {attempt.payment_id for attempt in Attempt.objects.filter(pk__in=paid)}
        assert Credit.objects.count() == len(payments)
        assert Incident.objects.filter(kind="duplicate_charge").count() == len(paid) - len(payments)
        assert not Attempt.objects.filter(status__in=["created", "sending", "unknown"]).exists()

    # --- tools --------------------------------------------------------------------------------------------

    def unless_killed(self, place: str | None, work: Any) -> None:
        """Do it, or die at `place` the first time it is reached; refusals are answers like others."""
        try:
            if place is None:
                work()
            else:
                with failpoints.arm(place, _kill):
                    work()
        except (KilledError, NotAllowedError, AlreadyAnswered):
            return

    def tell(self, charge: Charge, **body: Any) -> None:
        hints.receive(hint_from({"reference": charge.reference} | body))


def _kill() -> None:
    raise KilledError


def wipe() -> None:
    """What a flush does, for our tables alone: an example starts with nothing but its user."""
    tables = "payment, attempt, paymentevent, credit, incident, outboxmessage, idempotencyrecord, webhookdelivery"
    names = ", ".join(f"feexpay_{table.strip()}" for table in tables.split(","))
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {names} CASCADE")
    Provider.objects.update(enabled=True)


def test_money_adds_up_whatever_happens_in_whatever_order(player: User) -> None:
    class Life(PaymentLife):
        user = player

    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking these takes minutes
        ),
    )
