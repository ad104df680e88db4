"""The only writer of a status: legal moves, one credit per payment, and the signals to the host."""

from __future__ import annotations

import itertools
import uuid

import pytest
from django.db import IntegrityError, connection, transaction

from django_feexpay.lifecycle import ALLOWED, Status
from django_feexpay.models import Attempt, Credit, Incident, OutboxMessage, Payment, PaymentEvent
from django_feexpay.models.append_only import AppendOnlyError
from django_feexpay.payments import incidents, ledger
from django_feexpay.payments.ledger import Cause, Source
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, close_incident, only_attempt

pytestmark = pytest.mark.django_db

BECAUSE = Cause(source=Source.WORKER, because="test")
CHARGE = incidents.Charge("ref-0001", 5000, "XOF", credited_reference="ref-0001")


@pytest.fixture
def payment(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """PENDING at FeexPay."""
    return begin()


def move(payment: Payment, *statuses: Status) -> list[bool]:
    attempt = Attempt.objects.filter(payment=payment).latest("ordinal")
    return [ledger.move(attempt.pk, status, BECAUSE) for status in statuses]


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
    assert payment.settled_at == clock.at

    move(payment, Status.REVIEW)
    payment.refresh_from_db()
    assert payment.settled_at is None


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


def test_success_after_a_signalled_failure_is_signalled_as_late_too(payment: Payment) -> None:
    move(payment, Status.EXPIRED, Status.SUCCESSFUL)

    assert announced(payment) == ["payment_failed", "payment_succeeded", "payment_succeeded_late"]


def test_success_after_a_review_is_not_late_if_no_failure_was_signalled(payment: Payment) -> None:
    move(payment, Status.REVIEW, Status.SUCCESSFUL)

    assert announced(payment) == ["payment_needs_review", "payment_succeeded"]


def test_two_charged_attempts_give_one_credit_and_one_incident(payment: Payment) -> None:
    move(payment, Status.FAILED)
    first, second = payment.attempts.get(ordinal=1), second_attempt(payment)
    ledger.move(second.pk, Status.PENDING, BECAUSE)

    assert ledger.move(second.pk, Status.SUCCESSFUL, BECAUSE)
    assert ledger.move(first.pk, Status.SUCCESSFUL, BECAUSE)

    assert Credit.objects.get(payment=payment).attempt == second
    incident = Incident.objects.get(payment=payment)
    assert (incident.kind, incident.attempt, incident.closed_at) == ("duplicate_charge", first, None)
    assert (incident.gateway_reference, incident.credited_reference) == ("ref-0001", second.gateway_reference or "")
    assert (incident.amount, incident.currency) == (5000, "XOF")
    assert announced(payment) == [
        "payment_failed",
        "payment_succeeded",
        "payment_succeeded_late",
        "duplicate_charge_found",
    ]


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


# --- append-only events ---------------------------------------------------------------------------------


def test_event_cannot_be_changed_or_deleted_through_the_model(payment: Payment) -> None:
    event = payment.events.earliest("id")
    event.because = "rewritten"

    for forbidden in (
        event.save,
        event.delete,
        payment.events.all().delete,
        lambda: payment.events.update(because="rewritten"),
    ):
        with pytest.raises(AppendOnlyError):
            forbidden()

    assert payment.events.earliest("id").because == "started"


@pytest.mark.postgres_only
@pytest.mark.parametrize("statement", ["UPDATE {} SET because = 'x'", "DELETE FROM {}"])
def test_event_cannot_be_changed_or_deleted_by_sql(payment: Payment, statement: str) -> None:
    table = PaymentEvent._meta.db_table

    with (
        pytest.raises(Exception, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format(table))

    assert payment.events.earliest("id").because == "started"


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


# --- what the database itself refuses -------------------------------------------------------------------


@pytest.mark.parametrize("status", ["created", "sending", "pending", "unknown"])
def test_two_live_attempts_of_a_payment_are_impossible(payment: Payment, status: str) -> None:
    first = only_attempt(payment)

    with (
        pytest.raises(IntegrityError, match=r"feexpay_one_live_attempt|feexpay_attempt\.payment_id"),
        transaction.atomic(),
    ):
        Attempt.objects.create(
            payment=payment,
            ordinal=2,
            status=status,
            amount=5000,
            expires_at=first.expires_at,
            created_at=first.created_at,
            updated_at=first.updated_at,
        )


def test_two_attempts_cannot_hold_one_reference(payment: Payment, begin: Begin) -> None:
    other = only_attempt(begin(merchant_reference="another"))

    with pytest.raises(IntegrityError, match="reference"), transaction.atomic():
        Attempt.objects.filter(pk=other.pk).update(gateway_reference=only_attempt(payment).gateway_reference)


@pytest.mark.parametrize(
    ("model", "column", "value"),
    [
        (Payment, "amount", 0),
        (Payment, "charged_amount", -1),
        (Payment, "fee", -1),
        (Payment, "status", "paid"),
        (Attempt, "amount", 0),
        (Attempt, "status", "done"),
    ],
)
def test_database_refuses_impossible_values(
    payment: Payment, model: type[Payment | Attempt], column: str, value: object
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        model._default_manager.update(**{column: value})


def test_user_with_payments_cannot_be_deleted(payment: Payment) -> None:
    assert payment.user is not None
    with pytest.raises(IntegrityError):
        payment.user.delete()


def test_opening_an_attempt_is_atomic(payment: Payment) -> None:
    """The second attempt's ordinal is taken: nothing of it stays."""
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


def test_incident_is_closed_once_with_the_first_note(payment: Payment, clock: Clock) -> None:
    incidents.open_once(Incident.Kind.DUPLICATE_CHARGE, only_attempt(payment), CHARGE, clock.at)
    incident = Incident.objects.get()
    clock.advance(60)

    assert close_incident(incident.pk, "refunded") is True
    assert close_incident(incident.pk, "again") is False

    incident.refresh_from_db()
    assert (incident.closed_at, incident.note) == (clock.at, "refunded")
