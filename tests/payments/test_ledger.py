"""The only writer of a status: legal moves, one credit per payment, and the signals to the host."""

from __future__ import annotations

import contextvars
import itertools
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from django_feexpay import request_ids
from django_feexpay.lifecycle import ALLOWED, Status
from django_feexpay.models import Attempt, Credit, Incident, OutboxMessage, Payment, PaymentEvent
from django_feexpay.payments import incidents, leases, ledger
from django_feexpay.payments.audit import verification
from django_feexpay.payments.ledger import Cause, Source
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, close_incident, only_attempt

pytestmark = pytest.mark.django_db

CaptureCommits = Callable[..., AbstractContextManager[list[Any]]]

BECAUSE = Cause(source=Source.WORKER, because="test")
CHARGE = incidents.Charge("ref-0001", 5000, "XOF", credited_reference="ref-0001")


@pytest.fixture
def payment(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """PENDING at FeexPay."""
    return begin()


def move(payment: Payment, *statuses: Status) -> list[bool]:
    attempt = Attempt.objects.filter(payment=payment).latest("ordinal")
    return [ledger.move(attempt.pk, status, BECAUSE) is not None for status in statuses]


def announced(payment: Payment) -> list[str]:
    return list(payment.outbox.order_by("id").values_list("signal", flat=True))


def everything_about(payment: Payment) -> list[object]:
    columns = [column.name for column in Attempt._meta.concrete_fields if not column.name.endswith("_sealed")]
    return [
        Payment.objects.filter(pk=payment.pk).values().get(),
        Attempt.objects.filter(payment=payment).values(*columns).get(),
        payment.events.count(),
        payment.outbox.count(),
        Credit.objects.filter(payment=payment).count(),
    ]


def second_attempt(payment: Payment) -> Attempt:
    """As retry opens it, SENDING."""
    first = Attempt.objects.get(payment=payment, ordinal=1)
    attempt = Attempt(
        payment=payment,
        ordinal=2,
        amount=first.amount,
        expires_at=first.expires_at,
        created_at=first.created_at,
        updated_at=first.updated_at,
    )
    with transaction.atomic():
        ledger.open_attempt(payment, attempt, BECAUSE, sending=True)
    return attempt


# --- moves ---------------------------------------------------------------------------------------------


def test_repeated_move_happens_once_and_writes_one_event(payment: Payment) -> None:
    assert move(payment, Status.FAILED, Status.FAILED) == [True, False]

    events = payment.events.filter(to_status="failed")
    assert [(event.from_status, event.because, event.source) for event in events] == [("pending", "test", "worker")]
    assert announced(payment) == ["payment_failed"]


def test_event_holds_who_moved_the_attempt_and_why(payment: Payment, clock: Clock) -> None:
    clock.advance(60)
    cause = Cause(source=Source.ADMIN, because="checked", actor="7", note="called them", evidence={"word": "FAILED"})

    def move_in_a_request() -> None:
        request_ids.enter("request-1")
        ledger.move(only_attempt(payment).pk, Status.FAILED, cause)

    contextvars.copy_context().run(move_in_a_request)

    event = payment.events.get(to_status="failed")
    assert (event.attempt, event.source, event.because) == (only_attempt(payment), "admin", "checked")
    assert (event.actor, event.note, event.evidence) == ("7", "called them", {"word": "FAILED"})
    assert (event.created_at, event.request_id) == (clock.at, "request-1")
    assert (BECAUSE.actor, BECAUSE.note, BECAUSE.evidence) == ("", "", {})


def test_log_tells_each_new_status_with_its_reason(
    begin: Begin,
    gateway: ModelGateway,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: CaptureCommits,
) -> None:
    caplog.set_level("INFO", "django_feexpay.payments")
    with django_capture_on_commit_callbacks(execute=True):
        payment = begin()
        first = only_attempt(payment).pk
        move(payment, Status.FAILED)
        second = second_attempt(payment).pk

    lines = [record for record in caplog.records if hasattr(record, "to_status")]
    assert [line.getMessage() for line in lines] == [
        f"attempt {first}: new, sending, started",
        f"attempt {first}: sending to pending, accepted",
        f"attempt {first}: pending to failed, test",
        f"attempt {second}: new, sending, test",
    ]


def test_move_changes_no_other_attempt(payment: Payment, begin: Begin) -> None:
    other = begin(merchant_reference="another")
    before_it = everything_about(other)

    assert move(payment, Status.REVIEW, Status.SUCCESSFUL) == [True, True]

    assert everything_about(other) == before_it


def test_payment_that_is_sent_later_is_created_and_the_worker_is_told(
    begin: Begin,
    gateway: ModelGateway,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(leases, "due_listeners", [lambda: told.append("due")])
    configure(DISPATCH="queue")

    with django_capture_on_commit_callbacks(execute=True):
        payment = begin()

    assert (payment.status, only_attempt(payment).status) == ("created", "created")
    assert (told, len(gateway.charges)) == (["due"], 0)


def test_second_attempt_opens_its_payment_again(payment: Payment, clock: Clock) -> None:
    clock.advance(60)
    move(payment, Status.FAILED)
    clock.advance(60)

    attempt = second_attempt(payment)

    payment.refresh_from_db()
    assert (payment.latest_attempt, payment.status, payment.settled_at) == (attempt, "sending", None)
    assert (payment.updated_at, attempt.status) == (attempt.created_at, "sending")
    event = payment.events.latest("id")
    assert (event.attempt, event.from_status, event.to_status) == (attempt, "", "sending")
    assert verification.breaks_of_one(payment.pk) == []


def test_attempt_that_is_sent_later_is_created_and_the_worker_is_told(
    payment: Payment, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    told: list[str] = []
    monkeypatch.setattr(leases, "due_listeners", [lambda: told.append("due")])
    move(payment, Status.FAILED)
    first = payment.attempts.get()
    waiting = Attempt(
        payment=payment,
        ordinal=2,
        amount=first.amount,
        expires_at=first.expires_at,
        created_at=first.created_at,
        updated_at=first.updated_at,
    )

    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        ledger.open_attempt(payment, waiting, BECAUSE, sending=False)

    payment.refresh_from_db()
    assert (waiting.status, payment.status, told) == ("created", "created", ["due"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UNIQUE constraint failed: feexpay_attempt.gateway_reference", True),
        ('duplicate key value violates unique constraint "feexpay_attempt_reference"', True),
        ('duplicate key value violates unique constraint "feexpay_one_live_attempt"', False),
    ],
)
def test_conflict_of_references_is_told_from_other_conflicts(text: str, expected: bool) -> None:
    assert ledger.is_reference_conflict(IntegrityError(text)) is expected


def test_move_asks_for_the_payment_s_lock_before_the_attempt_s() -> None:
    """SQLite has no row locks; test_move_locks.py shows on PostgreSQL what these two do."""
    query = ledger._attempts_to_lock().query

    assert (query.select_for_update_of, query.select_for_no_key_update) == (("payment", "self"), True)


def test_move_writes_the_columns_of_its_caller_and_returns_if_they_are_not_as_read(payment: Payment) -> None:
    attempt = only_attempt(payment)

    assert not ledger.move(attempt.pk, Status.FAILED, BECAUSE, still={"poll_count": 7})
    assert ledger.move(attempt.pk, Status.FAILED, BECAUSE, changes={"reason_code": "expired"}, still={"poll_count": 0})

    attempt.refresh_from_db()
    assert (attempt.status, attempt.reason_code) == ("failed", "expired")


def test_credit_has_the_amount_that_was_taken(payment: Payment, clock: Clock) -> None:
    clock.advance(60)

    assert ledger.move(only_attempt(payment).pk, Status.SUCCESSFUL, BECAUSE, credited_amount=4999)

    credit = Credit.objects.get(payment=payment)
    payment.refresh_from_db()
    assert (credit.amount, credit.created_at) == (4999, clock.at)
    assert (payment.settled_at, payment.updated_at) == (clock.at, clock.at)
    message = payment.outbox.get()
    assert (message.next_delivery_at, message.created_at) == (clock.at, clock.at)


def walk_to(status: Status) -> list[Status]:
    """A legal way from PENDING to a status."""
    ways: dict[Status, list[Status]] = {Status.PENDING: []}
    queue = [Status.PENDING]
    while queue:
        here = queue.pop(0)
        for there in sorted(ALLOWED[here] - set(ways)):
            ways[there] = [*ways[here], there]
            queue.append(there)
    return ways[status]


REACHABLE = [Status.PENDING, Status.SUCCESSFUL, Status.FAILED, Status.EXPIRED, Status.REVIEW]
FORBIDDEN = [(a, b) for a, b in itertools.product(REACHABLE, Status) if b not in ALLOWED[a]]


@pytest.mark.parametrize(("before", "after"), FORBIDDEN)
def test_forbidden_move_changes_nothing(payment: Payment, before: Status, after: Status) -> None:
    move(payment, *walk_to(before))
    before_it = everything_about(payment)

    assert move(payment, after) == [False]

    assert everything_about(payment) == before_it


def test_payment_has_the_status_of_its_newest_attempt(payment: Payment) -> None:
    for status in (Status.EXPIRED, Status.REVIEW, Status.FAILED):
        move(payment, status)
        payment.refresh_from_db()
        assert payment.status == status


def test_late_move_of_an_older_attempt_does_not_change_the_payment(payment: Payment) -> None:
    move(payment, Status.FAILED)
    second_attempt(payment)
    first = payment.attempts.get(ordinal=1)

    assert ledger.move(first.pk, Status.REVIEW, BECAUSE)

    payment.refresh_from_db()
    assert payment.status == "sending"


def test_settled_at_is_written_with_an_outcome_and_taken_back_by_a_review(payment: Payment, clock: Clock) -> None:
    clock.advance(60)
    move(payment, Status.FAILED)
    payment.refresh_from_db()
    assert (payment.settled_at, only_attempt(payment).settled_at) == (clock.at, clock.at)

    move(payment, Status.REVIEW)
    payment.refresh_from_db()
    assert (payment.settled_at, only_attempt(payment).settled_at) == (None, None)


def test_failure_of_the_second_attempt_is_a_failure_while_another_payment_is_under_review(
    payment: Payment, begin: Begin
) -> None:
    move(begin(merchant_reference="another"), Status.REVIEW)
    move(payment, Status.FAILED)
    second_attempt(payment)

    move(payment, Status.PENDING, Status.FAILED)

    payment.refresh_from_db()
    assert payment.status == "failed"


def test_move_undoes_everything_when_a_column_cannot_be_written(payment: Payment, begin: Begin) -> None:
    other = begin(merchant_reference="another")
    taken = only_attempt(other).gateway_reference

    with pytest.raises(IntegrityError) as refused:
        ledger.move(only_attempt(payment).pk, Status.FAILED, BECAUSE, changes={"gateway_reference": taken})

    assert ledger.is_reference_conflict(refused.value)
    payment.refresh_from_db()
    assert (payment.status, announced(payment)) == ("pending", [])
    assert not payment.events.filter(to_status="failed").exists()


# --- the credit ----------------------------------------------------------------------------------------


def test_successful_attempt_is_credited_once(payment: Payment) -> None:
    assert move(payment, Status.SUCCESSFUL, Status.SUCCESSFUL, Status.FAILED, Status.REVIEW) == [
        True,
        False,
        False,
        False,
    ]

    credit = Credit.objects.get(payment=payment)
    assert (credit.amount, credit.currency) == (5000, "XOF")
    assert (credit.attempt, credit.event) == (only_attempt(payment), payment.events.get(to_status="successful"))
    payment.refresh_from_db()
    assert payment.status == "successful"
    assert announced(payment) == ["payment_succeeded"]


def test_credit_is_one_to_one_with_its_payment_in_the_database(payment: Payment, begin: Begin) -> None:
    other = begin(merchant_reference="another")
    move(payment, Status.SUCCESSFUL)
    event = PaymentEvent.objects.filter(payment=other).earliest("id")

    with pytest.raises(IntegrityError), transaction.atomic():
        Credit.objects.create(payment=payment, attempt=only_attempt(other), event=event, amount=1, currency="XOF")


def test_credit_is_one_to_one_with_its_attempt_in_the_database(payment: Payment, begin: Begin) -> None:
    other = begin(merchant_reference="another")
    move(payment, Status.SUCCESSFUL)
    event = PaymentEvent.objects.filter(payment=other).earliest("id")

    with pytest.raises(IntegrityError), transaction.atomic():
        Credit.objects.create(payment=other, attempt=only_attempt(payment), event=event, amount=1, currency="XOF")


def test_credit_is_never_written_over(payment: Payment, clock: Clock) -> None:
    """Another program set the rows back: the move fails as a whole, and the credit keeps its event and its time."""
    move(payment, Status.SUCCESSFUL)
    credit = Credit.objects.values().get()
    Payment.objects.update(status="pending")
    Attempt.objects.update(status="pending")
    clock.advance(60)

    with pytest.raises(IntegrityError):
        move(payment, Status.SUCCESSFUL)

    assert Credit.objects.values().get() == credit
    payment.refresh_from_db()
    assert (payment.status, payment.events.filter(to_status="successful").count()) == ("pending", 1)


def test_success_after_a_signalled_failure_is_signalled_as_late_too(payment: Payment) -> None:
    move(payment, Status.EXPIRED, Status.SUCCESSFUL)

    assert announced(payment) == ["payment_failed", "payment_succeeded", "payment_succeeded_late"]


def test_success_after_a_review_is_not_late_if_no_failure_was_signalled(payment: Payment) -> None:
    move(payment, Status.REVIEW, Status.SUCCESSFUL)

    assert announced(payment) == ["payment_needs_review", "payment_succeeded"]


def test_two_charged_attempts_give_one_credit_and_one_incident(payment: Payment) -> None:
    move(payment, Status.FAILED)
    first, second = payment.attempts.get(ordinal=1), second_attempt(payment)
    ledger.move(second.pk, Status.PENDING, BECAUSE, changes={"gateway_reference": "ref-0002"})

    assert ledger.move(second.pk, Status.SUCCESSFUL, BECAUSE)
    assert ledger.move(first.pk, Status.SUCCESSFUL, BECAUSE)

    assert Credit.objects.get(payment=payment).attempt == second
    incident = Incident.objects.get(payment=payment)
    assert (incident.kind, incident.attempt, incident.closed_at) == ("duplicate_charge", first, None)
    assert (incident.gateway_reference, incident.credited_reference) == ("ref-0001", "ref-0002")
    assert (incident.amount, incident.currency) == (5000, "XOF")
    assert announced(payment) == [
        "payment_failed",
        "payment_succeeded",
        "payment_succeeded_late",
        "duplicate_charge_found",
    ]
    assert verification.breaks_of_one(payment.pk) == []


def test_second_charge_without_a_reference_is_an_incident_too(payment: Payment) -> None:
    move(payment, Status.FAILED)
    first, second = payment.attempts.get(ordinal=1), second_attempt(payment)
    ledger.move(second.pk, Status.PENDING, BECAUSE)

    ledger.move(first.pk, Status.SUCCESSFUL, BECAUSE)
    ledger.move(second.pk, Status.SUCCESSFUL, BECAUSE)

    incident = Incident.objects.get(payment=payment)
    assert (incident.gateway_reference, incident.credited_reference) == ("", "ref-0001")


def test_second_charge_after_a_credit_without_a_reference_is_an_incident_too(payment: Payment) -> None:
    move(payment, Status.FAILED)
    first, second = payment.attempts.get(ordinal=1), second_attempt(payment)
    ledger.move(second.pk, Status.PENDING, BECAUSE)

    ledger.move(second.pk, Status.SUCCESSFUL, BECAUSE)
    ledger.move(first.pk, Status.SUCCESSFUL, BECAUSE)

    incident = Incident.objects.get(payment=payment)
    assert (incident.gateway_reference, incident.credited_reference) == ("ref-0001", "")


def test_failed_attempt_does_not_remove_the_credit_of_another(payment: Payment) -> None:
    move(payment, Status.FAILED)
    first, second = payment.attempts.get(ordinal=1), second_attempt(payment)
    ledger.move(second.pk, Status.PENDING, BECAUSE)
    ledger.move(first.pk, Status.SUCCESSFUL, BECAUSE)

    assert ledger.move(second.pk, Status.FAILED, BECAUSE)

    payment.refresh_from_db()
    assert (payment.status, announced(payment)[-1]) == ("successful", "payment_succeeded_late")


def test_contradicted_credit_stays_and_opens_one_incident(payment: Payment, clock: Clock) -> None:
    move(payment, Status.SUCCESSFUL)
    attempt = only_attempt(payment)

    incidents.open_once(Incident.Kind.REVERSED_AFTER_CREDIT, attempt, CHARGE, clock.at)
    incidents.open_once(Incident.Kind.REVERSED_AFTER_CREDIT, attempt, CHARGE, clock.at)

    assert [incident.kind for incident in payment.incidents.all()] == ["reversed_after_credit"]
    assert Credit.objects.filter(payment=payment).count() == 1


# --- signals to the host ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ([Status.FAILED], ["payment_failed"]),
        ([Status.EXPIRED, Status.FAILED], ["payment_failed"]),
        ([Status.REVIEW, Status.FAILED], ["payment_needs_review", "payment_failed"]),
        ([Status.EXPIRED, Status.REVIEW, Status.FAILED], ["payment_failed", "payment_needs_review", "payment_failed"]),
        ([Status.FAILED, Status.REVIEW], ["payment_failed", "payment_needs_review"]),
    ],
)
def test_failure_is_signalled_once_each_time_the_payment_becomes_failed(
    payment: Payment, way: list[Status], expected: list[str]
) -> None:
    move(payment, *way)

    assert announced(payment) == expected


def test_each_signal_has_an_event_id_of_its_own(payment: Payment) -> None:
    move(payment, Status.EXPIRED, Status.SUCCESSFUL)

    assert len({message.event_id for message in OutboxMessage.objects.all()}) == 3


# --- the rows of a move ---------------------------------------------------------------------------------


def test_events_of_an_attempt_form_a_chain(payment: Payment) -> None:
    move(payment, Status.EXPIRED, Status.REVIEW, Status.SUCCESSFUL)

    chain = payment.events.order_by("id").values_list("from_status", "to_status")
    assert list(chain) == [
        ("", "sending"),
        ("sending", "pending"),
        ("pending", "expired"),
        ("expired", "review"),
        ("review", "successful"),
    ]


def test_opening_an_attempt_is_atomic(payment: Payment) -> None:
    """The ordinal of the second attempt is taken, so nothing of it is written."""
    first = only_attempt(payment)
    twin = Attempt(
        pk=uuid.uuid4(),
        payment=payment,
        ordinal=1,
        amount=1,
        expires_at=first.expires_at,
        created_at=first.created_at,
        updated_at=first.updated_at,
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        ledger.open_attempt(payment, twin, BECAUSE, sending=False)

    assert list(payment.attempts.values_list("pk", flat=True)) == [first.pk]
    assert payment.events.count() == 2


def test_row_that_moved_meanwhile_is_not_moved_by_an_older_poll(
    payment: Payment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard of the UPDATE itself, for a database without row locks."""

    def another_process_is_faster(before: Status, after: Status) -> bool:
        Attempt.objects.filter(payment=payment).update(status="review")
        return True

    monkeypatch.setattr(ledger, "may_move", another_process_is_faster)

    assert move(payment, Status.SUCCESSFUL) == [False]
    assert (Credit.objects.count(), announced(payment)) == (0, [])


def test_move_writes_its_own_columns_of_the_payment_only(payment: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a database without row locks: what another process wrote meanwhile stays."""

    def another_process_writes(before: Status, after: Status) -> bool:
        Payment.objects.filter(pk=payment.pk).update(description="written meanwhile")
        return True

    monkeypatch.setattr(ledger, "may_move", another_process_writes)

    assert move(payment, Status.SUCCESSFUL) == [True]
    payment.refresh_from_db()
    assert (payment.status, payment.description) == ("successful", "written meanwhile")


def test_incident_is_closed_once_with_the_first_note(payment: Payment, clock: Clock) -> None:
    incidents.open_once(Incident.Kind.DUPLICATE_CHARGE, only_attempt(payment), CHARGE, clock.at)
    incident = Incident.objects.get()
    clock.advance(60)

    assert close_incident(incident.pk, "refunded") is True
    assert close_incident(incident.pk, "again") is False

    incident.refresh_from_db()
    assert (incident.closed_at, incident.note) == (clock.at, "refunded")
