"""Concurrent calls on a database with row locks: one succeeds, the others change nothing."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from django_feexpay import failpoints
from django_feexpay.gateway.reports import hint_from
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Credit, IdempotencyRecord, OutboxMessage, Payment, WebhookDelivery
from django_feexpay.payments import idempotency, leases, ledger, outbox, webhook_hints
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.idempotency import AlreadyAnswered, Key
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.retry import retry
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, Recorder, now
from tests.payments.threads import at_once, wait_for_a_blocked_connection

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only, pytest.mark.unmeasured]

ROUNDS = 200


def codes(answers: list[Any]) -> Counter[str]:
    """Count the results: `Payment`, or the code of the refusal."""
    return Counter(answer.code if isinstance(answer, NotAllowedError) else type(answer).__name__ for answer in answers)


def pending(begin: Begin, count: int) -> list[UUID]:
    for number in range(count):
        begin(merchant_reference=f"order-{number}")
    return list(Attempt.objects.order_by("created_at").values_list("pk", flat=True))


def test_fifty_requests_with_one_key_start_one_payment_and_send_one_prompt(
    begin: Begin, gateway: ModelGateway, player: Any
) -> None:
    key = idempotency.key_of(player, "key-1", "initiate", {})

    answers = at_once(50, lambda number: begin(key=key))

    assert codes(answers) == {"Payment": 1, "idempotency_conflict": 49}
    assert (Payment.objects.count(), IdempotencyRecord.objects.count(), len(gateway.charges)) == (1, 1, 1)


def test_same_key_after_the_answer_gets_the_answer_each_time(begin: Begin, gateway: ModelGateway, player: Any) -> None:
    key = idempotency.key_of(player, "key-1", "initiate", {})
    payment = begin(key=key)
    idempotency.remember(key, 201, {})

    answers = at_once(10, lambda number: begin(key=key))

    assert codes(answers) == {"AlreadyAnswered": 10}
    assert {answer.payment_id for answer in answers if isinstance(answer, AlreadyAnswered)} == {payment.pk}


@pytest.mark.parametrize("changes", [{"merchant_reference": "order-7"}, {}], ids=["one order", "no order"])
def test_taps_at_once_start_one_payment(begin: Begin, gateway: ModelGateway, changes: dict[str, Any]) -> None:
    answers = at_once(8, lambda number: begin(**changes))

    assert codes(answers) == {"Payment": 1, "duplicate_payment": 7}
    assert (Payment.objects.count(), len(gateway.charges)) == (1, 1)


def test_taps_with_different_keys_for_one_order_start_one_payment(
    begin: Begin, gateway: ModelGateway, player: Any
) -> None:
    def tap(number: int) -> Payment:
        key = Key(user=player, value=f"key-{number}", fingerprint="same")
        return begin(key=key, merchant_reference="order-7")

    assert codes(at_once(8, tap)) == {"Payment": 1, "duplicate_payment": 7}
    assert len(gateway.charges) == 1


def test_webhook_and_poll_at_once_credit_once_in_two_hundred_races(
    begin: Begin, gateway: ModelGateway, signals: Recorder
) -> None:
    attempts = pending(begin, ROUNDS)
    for charge in gateway.charges:
        charge.approve()
    gate = threading.Barrier(2, timeout=30)

    def race(number: int) -> int:
        for pk, charge in zip(attempts, list(gateway.charges), strict=True):
            gate.wait()
            if number == 0:
                webhook_hints.receive(hint_from({"reference": charge.reference, "status": "SUCCESSFUL"}))
            reconcile(pk, source=Source.WORKER)
        return ROUNDS

    assert at_once(2, race) == [ROUNDS, ROUNDS]

    while outbox.deliver():
        continue
    assert Credit.objects.count() == ROUNDS
    assert Counter(signals.names()) == {"payment_succeeded": ROUNDS}
    assert set(Payment.objects.values_list("status", flat=True)) == {"successful"}


@pytest.mark.parametrize(
    ("status", "days", "answers", "moved_to"),
    [
        (Status.REVIEW, 60, ["PENDING", "FAILED"], Status.FAILED),  # the first writes a wait of a week
        (Status.FAILED, 2, ["FAILED", "PENDING"], Status.REVIEW),  # the first writes that there is no next poll
    ],
)
def test_poll_that_moves_is_followed_in_time_although_another_poll_wrote_its_own_wait_meanwhile(
    begin: Begin,
    gateway: ModelGateway,
    clock: Clock,
    status: Status,
    days: int,
    answers: list[str],
    moved_to: Status,
) -> None:
    """Both ask at the same moment and get different answers; the one that moves nothing writes first."""
    payment = begin()
    Attempt.objects.update(status=status, next_poll_at=clock.at, settled_at=clock.at)
    Payment.objects.update(status=status)
    clock.advance(days * 86_400)
    mine = threading.local()
    has_asked, first_has_written = [threading.Event(), threading.Event()], threading.Event()

    def wait_for_the_other() -> None:
        has_asked[mine.number].set()
        assert (has_asked[1] if mine.number == 0 else first_has_written).wait(30)

    def poll(number: int) -> bool:
        mine.number = number
        assert number == 0 or has_asked[0].wait(30)
        gateway.last().status = answers[number]
        answered = reconcile(payment.attempt.pk, source=Source.WORKER)
        if number == 0:
            first_has_written.set()
        return answered

    with failpoints.arm("asked", wait_for_the_other):
        assert at_once(2, poll) == [True, True]

    attempt = Attempt.objects.get()
    too_late = leases.scheduled_too_late(clock.at) | leases.missing_next_poll(clock.at)
    assert (attempt.status, attempt.poll_count) == (moved_to, 1)
    assert not Attempt.objects.filter(too_late).exists()


def test_eight_sweeps_claim_each_due_row_once(begin: Begin, gateway: ModelGateway) -> None:
    attempts = pending(begin, 100)
    Attempt.objects.update(next_poll_at=now())

    def claim_all(number: int) -> list[UUID]:
        mine: list[UUID] = []
        while claims := leases.claim_due(7, unsent=False):
            mine += [held.attempt_id for held in claims]
        return mine

    answers = at_once(8, claim_all)

    claimed = [pk for answer in answers if isinstance(answer, list) for pk in answer]
    assert sorted(claimed) == sorted(attempts)


def test_two_senders_of_one_queued_attempt_send_it_once(
    begin: Begin, gateway: ModelGateway, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    begin()
    [held] = leases.claim_due(1, unsent=True)
    sending = Cause(source=Source.WORKER, because="sent")

    answers = at_once(8, lambda number: ledger.move(held.attempt_id, Status.SENDING, sending))

    assert Counter(answers) == {None: 7, Attempt.objects.get(pk=held.attempt_id): 1}


def test_eight_outbox_workers_send_each_signal_once(begin: Begin, gateway: ModelGateway, signals: Recorder) -> None:
    pending(begin, 20)
    for payment in Payment.objects.all():
        OutboxMessage.objects.create(payment=payment, signal="payment_failed", next_delivery_at=now(), created_at=now())

    answers = at_once(8, lambda number: outbox.deliver())

    assert sum(answer for answer in answers if isinstance(answer, int)) == 20
    assert Counter(pk for _, pk, _ in signals.received) == {payment.pk: 1 for payment in Payment.objects.all()}


def test_same_webhook_at_once_is_stored_once(begin: Begin, gateway: ModelGateway) -> None:
    begin()
    hint = hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"})

    assert at_once(8, lambda number: webhook_hints.receive(hint)) == [None] * 8

    assert WebhookDelivery.objects.count() == 1


def test_two_retries_at_once_open_one_attempt(begin: Begin, gateway: ModelGateway) -> None:
    payment = begin()
    gateway.last().decline()
    reconcile(Attempt.objects.get().pk, source=Source.WORKER)

    answers = at_once(6, lambda number: retry(payment.pk, source=Source.API))

    assert codes(answers) == {"Payment": 1, "payment_open": 5}
    assert (payment.attempts.count(), len(gateway.charges)) == (2, 2)


def test_retry_and_late_success_at_once_never_credit_twice(begin: Begin, gateway: ModelGateway) -> None:
    """The payer confirms while the client retries."""
    for number in range(20):
        payment = begin(merchant_reference=f"order-{number}")
        first = Attempt.objects.get(payment=payment)
        charge = gateway.last()
        charge.decline()
        reconcile(first.pk, source=Source.WORKER)

        def confirm_or_retry(number: int) -> object:
            if number == 0:
                charge.approve()  # noqa: B023 -- the loop waits for both threads
                return reconcile(first.pk, source=Source.WORKER)  # noqa: B023
            return retry(payment.pk, source=Source.API)  # noqa: B023

        confirmed, retried = at_once(2, confirm_or_retry)

        assert confirmed is True
        assert isinstance(retried, Payment | NotAllowedError)
        payment.refresh_from_db()
        assert (payment.status, Credit.objects.get(payment=payment).attempt) == ("successful", first)


def test_retry_waits_for_a_late_success_that_is_not_committed_yet(
    begin: Begin, gateway: ModelGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it reads a failure, opens another attempt and prompts the payer a second time."""
    payment = begin()
    first = Attempt.objects.get()
    gateway.last().decline()
    reconcile(first.pk, source=Source.WORKER)
    asked, credited = threading.Event(), threading.Event()
    credit_once = ledger._credit_once

    def credit_slowly(*args: Any) -> None:
        credit_once(*args)
        credited.set()
        wait_for_a_blocked_connection()

    def begin_slowly(user_id: object) -> None:
        """FeexPay still reported a failure, so the retry now depends on the rows."""
        asked.set()
        credited.wait(30)

    monkeypatch.setattr(ledger, "_credit_once", credit_slowly)
    monkeypatch.setattr("django_feexpay.payments.retry.lock_user", begin_slowly)

    def succeed_or_retry(number: int) -> object:
        if number:
            return retry(payment.pk, source=Source.API)
        asked.wait(30)
        return ledger.move(first.pk, Status.SUCCESSFUL, Cause(source=Source.WORKER, because="confirmed")) is not None

    moved, retried = at_once(2, succeed_or_retry)

    payment.refresh_from_db()
    assert (moved, codes([retried])) == (True, {"not_retryable": 1})
    assert (payment.status, payment.attempts.count(), len(gateway.charges)) == ("successful", 1, 1)


def test_opposite_moves_at_once_leave_one_consistent_chain_of_events(begin: Begin, gateway: ModelGateway) -> None:
    attempts = pending(begin, 20)
    cause = Cause(source=Source.WORKER, because="test")
    choices = [Status.SUCCESSFUL, Status.FAILED, Status.EXPIRED, Status.REVIEW]

    for pk in attempts:
        at_once(4, lambda number: ledger.move(pk, choices[number], cause))  # noqa: B023 -- the loop waits for them
        events = list(Attempt.objects.get(pk=pk).events.order_by("id").values_list("from_status", "to_status"))
        assert [before for before, _ in events[1:]] == [after for _, after in events[:-1]]
        assert [after for _, after in events].count("successful") == Credit.objects.filter(attempt=pk).count() == 1
