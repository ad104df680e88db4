"""Random steps in any order: requests, lost answers, true and forged webhooks, crashes, retries, time.

The model gateway knows who paid. After each step the invariants must hold. At the end all faults are repaired, the
worker finishes its work, and each payer who paid must be credited once.
"""

from __future__ import annotations

import random
import time
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from django.conf import settings as host_settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import override_settings
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
from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import Attempt, Credit, Incident, Payment, Provider
from django_feexpay.payments import idempotency, initiate, leases, otp, outbox, reviews, webhook_hints
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.idempotency import AlreadyAnswered
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation import history, run
from django_feexpay.payments.retry import retry
from django_feexpay.payments.terms import PaymentRequest
from tests.payments import invariants
from tests.payments.fake_gateway import SUCCESSFUL, Charge, accept_as
from tests.payments.fakes import Clock, Guard, KilledError, next_due_at, sweep
from tests.payments.strategies import ANSWERS, PAGES, RATES, REQUEST_CASES, Codes, FaultyGateway, malformed_answers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only, pytest.mark.unmeasured]

#: (examples, steps) by hypothesis profile: `pytest --hypothesis-profile=nightly` takes the long one.
SIZES = {"nightly": (250, 60)}
QUICK = (30, 30)
MOST_ROUNDS = 300

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
pages = st.sampled_from(sorted(PAGES))
request_cases = st.sampled_from(sorted(REQUEST_CASES))
places = st.one_of(st.none(), st.sampled_from(failpoints.NAMES))
seconds = st.sampled_from([1, 3, 10, 46, 61, 600, 901, 3601, 90_000])


class PaymentLife(RuleBasedStateMachine):
    """Each example starts with `user` and no other row."""

    user: User

    payments = Bundle("payments")

    @initialize(fee_payer=st.sampled_from(["merchant", "payer"]))
    def begin(self, fee_payer: str) -> None:
        self.stack = ExitStack()
        self.clock = Clock()
        self.clock.at = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
        self.gateway = FaultyGateway()
        self.guard = Guard(self.gateway)
        self.count = 0
        self.settings = {**host_settings.FEEXPAY, "RATES": RATES, "FEE_PAYER": fee_payer}
        self.stack.enter_context(override_settings(FEEXPAY=self.settings))
        cache.clear()  # the state that the last example left in the cache
        self.stack.enter_context(conf.use_clock(self.clock))
        self.stack.enter_context(conf.use_transport(self.guard))
        self.stack.enter_context(mock.patch.object(leases, "_random_source", random.Random(0)))
        # After a 429 a comparison waits; here by the example's clock, not in real time.
        waiting = SimpleNamespace(sleep=self.clock.advance, monotonic=time.monotonic)
        self.stack.enter_context(mock.patch.object(history, "time", waiting))

    # --- the client ---------------------------------------------------------------------------------------

    @rule(
        target=payments,
        case=request_cases,
        answer=answers,
        page=pages,
        keyed=st.booleans(),
        taps=st.integers(1, 3),
        place=places,
    )
    def start(self, case: str, answer: str, page: str, keyed: bool, taps: int, place: str | None) -> Any:
        order = self.order(**REQUEST_CASES[case].order)
        key = idempotency.key_of(self.user, f"key-{self.count}", "initiate", {"count": self.count}) if keyed else None
        self.gateway.next_collects, self.gateway.next_pages = [ANSWERS[answer]], [PAGES[page]]
        before = Payment.objects.count()
        for _ in range(taps):
            self.unless_killed(place, lambda: initiate.start(order, source=Source.API, key=key))
        found = list(Payment.objects.filter(merchant_reference=order.merchant_reference))
        assert Payment.objects.count() - before == len(found)
        assert sum(payment.public_status != "failed" for payment in found) <= 1
        return multiple(*(payment.pk for payment in found))

    @rule(pk=payments, answer=answers, page=pages, otherwise=st.booleans(), place=places)
    def retry_payment(self, pk: uuid.UUID, answer: str, page: str, otherwise: bool, place: str | None) -> None:
        """Retry with the same number or with another one."""
        provider = Payment.objects.get(pk=pk).provider_id
        case = next(case for case in REQUEST_CASES.values() if case.order["provider"] == provider)
        given = {"phone": case.another_phone if otherwise else "", "otp": case.order.get("otp", "")}
        self.gateway.next_collects, self.gateway.next_pages = [ANSWERS[answer]], [PAGES[page]]
        self.unless_killed(place, lambda: retry(pk, source=Source.API, **given))

    def waiting_for_a_code(self) -> list[Charge]:
        waiting = Attempt.objects.filter(otp_required=True, status="pending").values_list("pk", flat=True)
        awaited = {str(pk) for pk in waiting}
        return [charge for charge in self.gateway.charges if charge.echo in awaited and not charge.code]

    @precondition(lambda self: self.waiting_for_a_code())
    @rule(data=st.data(), taps=st.integers(1, 2), place=places)
    def give_the_code(self, data: st.DataObject, taps: int, place: str | None) -> None:
        first = data.draw(st.sampled_from(self.waiting_for_a_code()))
        codes = Codes(self.gateway, first)
        answer = codes.answer(data.draw(st.sampled_from(codes.names)))
        payment = Payment.objects.get(attempts=first.echo)
        self.gateway.next_collects = [answer]
        for _ in range(taps):
            self.unless_killed(place, lambda: otp.submit(payment.pk, "314159", source=Source.API))

    # --- the payer ----------------------------------------------------------------------------------------

    def open_charges(self) -> list[Charge]:
        """The charges that a payer can still approve or decline. One that waits for an OTP is not among them."""
        waits = {str(pk) for pk in Attempt.objects.filter(payment__provider="coris_bj").values_list("pk", flat=True)}
        return [
            charge
            for charge in self.gateway.charges
            if charge.echo
            and charge.status != SUCCESSFUL
            and not charge.refused
            and (charge.code or charge.echo not in waits)
        ]

    def open_pages(self) -> list[int]:
        """The open payment pages."""
        shown = Attempt.objects.filter(sought_by_echo=True, expires_at__gt=self.clock.at).exclude(redirect_url="")
        ids = {str(pk) for pk in shown.filter(payment__provider="visa").values_list("pk", flat=True)}
        return [number for number, page in enumerate(self.gateway.pages) if page["custom_id"] in ids]

    @precondition(lambda self: self.open_pages())
    @rule(data=st.data(), approved=st.booleans())
    def pay_on_a_page(self, data: st.DataObject, approved: bool) -> None:
        page = data.draw(st.sampled_from(self.open_pages()))
        charge = self.gateway.pay_on_page(page)
        charge.approve() if approved else charge.decline()

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
        """Send webhooks repeatedly, true or forged, in any order: the result must not change."""
        charge = data.draw(st.sampled_from(self.gateway.charges))
        for word in words:
            self.deliver_webhook(charge, status=word, amount=data.draw(st.sampled_from([5000, 1])))

    @precondition(lambda self: self.gateway.charges)
    @rule(data=st.data(), lie=st.one_of(st.just({}), st.sampled_from(LIES)))
    def answer_a_false_status(self, data: st.DataObject, lie: dict[str, Any]) -> None:
        data.draw(st.sampled_from(self.gateway.charges)).lies = lie

    def known_references(self) -> list[str]:
        known = Attempt.objects.exclude(gateway_reference=None).values_list("gateway_reference", flat=True)
        return sorted(map(str, known))

    @precondition(lambda self: self.known_references())
    @rule(data=st.data())
    def give_one_reference_twice(self, data: st.DataObject) -> None:
        """Answer the next collect with another attempt's reference, while FeexPay keeps the true one."""
        taken = data.draw(st.sampled_from(self.known_references()))
        order = self.order(provider="mtn_bj", phone="0161000050")

        def answer(charge: Charge) -> Any:
            own = charge.reference
            wrong = accept_as(taken)(charge)
            charge.reference = own
            return wrong

        self.gateway.next_collects = [answer]
        self.unless_killed(None, lambda: initiate.start(order, source=Source.API))

    @rule(answers=st.lists(malformed_answers, min_size=1, max_size=4))
    def answer_malformed(self, answers: list[WireReply]) -> None:
        """Answer the next questions with malformed bodies: they credit nothing, fail nothing and raise nothing."""
        self.gateway.next_reads = answers

    @rule(away=st.booleans())
    def fail_or_recover(self, away: bool) -> None:
        self.gateway.reads_unanswered = away

    # --- the worker and staff -----------------------------------------------------------------------------

    @rule(passed=seconds)
    def let_time_pass(self, passed: int) -> None:
        self.clock.advance(passed)

    @rule(place=places)
    def work(self, place: str | None) -> None:
        self.unless_killed(place, sweep)

    @rule(place=places)
    def sweep_at_the_next_poll(self, place: str | None) -> None:
        instant = next_due_at()
        if instant is not None:
            self.clock.advance_to(instant)
        self.unless_killed(place, sweep)

    @rule(enabled=st.booleans())
    def switch_the_provider(self, enabled: bool) -> None:
        Provider.objects.filter(code="mtn_bj").update(enabled=enabled)

    @rule(queued=st.booleans())
    def switch_the_dispatch(self, queued: bool) -> None:
        self.settings["DISPATCH"] = "queue" if queued else "inline"

    @rule()
    def erase_numbers(self) -> None:
        """Erase the numbers of finished payments, as retention does: a retry needs the number again."""
        over = Attempt.objects.filter(status__in=["failed", "rejected", "expired"])
        over.update(msisdn_sealed=None, payer_sealed=None)

    def under_review(self) -> list[uuid.UUID]:
        return list(Attempt.objects.filter(status="review").order_by("pk").values_list("payment_id", flat=True))

    @precondition(lambda self: self.under_review())
    @rule(data=st.data(), place=places)
    def close_a_review_as_not_paid(self, data: st.DataObject, place: str | None) -> None:
        """Staff close a review too early: that is refused if FeexPay shows a charge, and a late success is credited."""
        pk = data.draw(st.sampled_from(self.under_review()))
        given = {"reason": "nothing seen", "actor": str(self.user.pk), "source": Source.ADMIN}
        self.unless_killed(place, lambda: reviews.close(pk, "not_paid", **given))

    @rule(place=places)
    def compare_with_history(self, place: str | None) -> None:
        yesterday = self.clock.at.date() - timedelta(days=1)
        comparison = run.begin(yesterday - timedelta(days=1), yesterday)
        self.unless_killed(place, lambda: run.compare(comparison, source=Source.COMMAND))

    # --- what must hold -----------------------------------------------------------------------------------

    @invariant()
    def invariants_hold(self) -> None:
        assert self.guard.offences == []
        invariants.check(self.gateway, self.clock.at)

    def teardown(self) -> None:
        try:
            self.remove_faults()
            self.work_until_idle()
            invariants.check(self.gateway, self.clock.at)
            self.check_nothing_is_lost()
        finally:
            self.stack.close()
            flush_tables()

    def remove_faults(self) -> None:
        self.gateway.reads_unanswered = False
        self.gateway.next_collects, self.gateway.next_pages, self.gateway.next_reads = [], [], []
        Provider.objects.update(enabled=True)
        for charge in self.gateway.charges:
            charge.lies = {}

    def work_until_idle(self) -> None:
        """Send the webhook of each paid charge once more; then run only the worker until nothing is open."""
        for charge in self.gateway.paid():
            self.deliver_webhook(charge, status=SUCCESSFUL)
        for _ in range(MOST_ROUNDS):
            instant = next_due_at()
            if instant is None or self.is_idle():
                break
            self.clock.advance_to(instant)
            self.clock.advance(600)
            sweep()
        self.clock.advance(60)
        outbox.deliver()

    def is_idle(self) -> bool:
        unsettled = Attempt.objects.filter(pk__in=[charge.attempt_id for charge in self.gateway.paid()])
        open_still = Attempt.objects.filter(status__in=["created", "sending", "unknown"])
        if open_still.exists() or unsettled.exclude(status="successful").exists():
            return False
        return self.count_second_charges() == self.count_expected_second_charges()

    def check_nothing_is_lost(self) -> None:
        paid = {charge.attempt_id for charge in self.gateway.paid()}
        settled = Attempt.objects.filter(status="successful").values_list("pk", flat=True)
        assert paid == {str(pk) for pk in settled}
        payments = {attempt.payment_id for attempt in Attempt.objects.filter(pk__in=paid)}
        assert Credit.objects.count() == len(payments)
        assert self.count_second_charges() == self.count_expected_second_charges()
        assert not Attempt.objects.filter(status__in=["created", "sending", "unknown"]).exists()

    def count_second_charges(self) -> int:
        return Incident.objects.filter(kind="duplicate_charge").count()

    def count_expected_second_charges(self) -> int:
        """The paid charges, without one for each paid payment. A payer may also pay a page twice."""
        paid = [charge.attempt_id for charge in self.gateway.paid()]
        return len(paid) - Payment.objects.filter(attempts__in=paid).distinct().count()

    # --- tools --------------------------------------------------------------------------------------------

    def order(self, **changes: Any) -> PaymentRequest:
        self.count += 1
        return PaymentRequest(
            **{"user": self.user, "amount": 5000, "merchant_reference": f"order-{self.count}", **changes}
        )

    def unless_killed(self, place: str | None, work: Any) -> None:
        """Call `work`; kill the process the first time it reaches `place`. A refusal is a normal answer."""
        try:
            if place is None:
                work()
            else:
                with failpoints.arm(place, _kill):
                    work()
        except (KilledError, NotAllowedError, AlreadyAnswered):
            return

    def deliver_webhook(self, charge: Charge, **body: Any) -> None:
        webhook_hints.receive(hint_from({"reference": charge.reference} | body))


def _kill() -> None:
    raise KilledError


def flush_tables() -> None:
    """Flush our tables: an example starts with its user only."""
    tables = (
        *("payment", "attempt", "paymentevent", "credit", "incident", "outboxmessage"),
        *("idempotencyrecord", "webhookdelivery", "discrepancy", "comparison"),
    )
    names = ", ".join(f"feexpay_{table}" for table in tables)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {names} CASCADE")
    Provider.objects.update(enabled=True)


def test_money_adds_up_in_any_order_of_events(player: User) -> None:
    class Life(PaymentLife):
        user = player

    examples, steps = SIZES.get(settings.get_current_profile_name(), QUICK)
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking these takes minutes
        ),
    )
