"""What the database itself refuses, whatever the code above it does."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from django_feexpay.models import Attempt, Payment, PaymentEvent
from django_feexpay.models.append_only import AppendOnlyError
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import only_attempt

pytestmark = pytest.mark.django_db


@pytest.fixture
def payment(begin: Begin, gateway: ModelGateway) -> Payment:
    """PENDING at FeexPay."""
    return begin()


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
