"""FEEXPAY["PAYABLE"] as a class: its price is charged, its other methods are delivered like signals."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from django_feexpay import Payable, signals
from django_feexpay.models import OutboxMessage, OutboxReceipt, Payment
from django_feexpay.payments import outbox
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.terms import PaymentRequest, validate
from tests.conftest import Configure
from tests.payments.fakes import Clock
from tests.sample.money import credited_payment

CALLS: list[tuple[str, uuid.UUID, uuid.UUID]] = []
FAILURES: list[Exception] = []


class Orders(Payable):
    def price(
        self, *, user: Any, merchant_reference: str, amount: int, currency: str, metadata: Mapping[str, Any]
    ) -> int:
        if merchant_reference != "order-7":
            raise ValidationError("There is no such order.")
        return 5000

    def paid(self, payment: Payment, event_id: uuid.UUID) -> None:
        CALLS.append(("paid", payment.pk, event_id))
        if FAILURES:
            raise FAILURES.pop()

    async def reversed(self, payment: Payment, event_id: uuid.UUID) -> None:
        CALLS.append(("reversed", payment.pk, event_id))


ORDERS = f"{__name__}.Orders"


@pytest.fixture(autouse=True)
def orders(configure: Configure, db: None) -> Iterator[None]:
    configure(PAYABLE=ORDERS)
    yield
    CALLS.clear()
    FAILURES.clear()


@pytest.fixture
def payment(player: User) -> Payment:
    return credited_payment(player, amount=5000)


def order(**changes: Any) -> PaymentRequest:
    given = {"provider": "mtn_bj", "amount": 5000, "phone": "0161000050", "merchant_reference": "order-7"}
    return PaymentRequest(user=None, **given | changes)


def test_price_of_the_class_is_owed() -> None:
    assert validate(order()).quote.charged_amount == 5000

    with pytest.raises(NotAllowedError) as refused:
        validate(order(amount=100))
    assert [error.code for error in refused.value.errors] == ["wrong_price"]


def test_refusal_of_the_class_is_the_payers_answer() -> None:
    with pytest.raises(NotAllowedError) as refused:
        validate(order(merchant_reference="order-8"))

    assert refused.value.errors[0].code == "not_payable"
    assert str(refused.value) == "There is no such order. (validation_error: amount)"


def test_paid_is_called_with_the_payment_and_its_event(payment: Payment) -> None:
    outbox.deliver()

    assert [("paid", payment.pk, OutboxMessage.objects.get().event_id)] == CALLS


def test_method_that_raises_is_called_again_later_and_no_other_receiver_is(clock: Clock, payment: Payment) -> None:
    FAILURES.append(OSError("the stock database is away"))
    others: list[uuid.UUID] = []

    def other(*, event_id: uuid.UUID, **kwargs: Any) -> None:
        others.append(event_id)

    signals.payment_succeeded.connect(other)
    try:
        outbox.deliver()
        error = OutboxMessage.objects.get().last_error
        clock.advance(3600)
        outbox.deliver()
    finally:
        signals.payment_succeeded.disconnect(other)

    assert error == f"OSError: {ORDERS}.paid"
    assert [name for name, *_ in CALLS] == ["paid", "paid"]
    assert len(others) == 1


def test_asynchronous_method_is_awaited(payment: Payment) -> None:
    event_id = uuid.uuid4()

    signals.payment_reversed.send(sender=Payment, payment=payment, event_id=event_id)

    assert [("reversed", payment.pk, event_id)] == CALLS


def test_method_that_is_not_overridden_is_no_receiver() -> None:
    assert ORDERS.rpartition(".")[2] not in str(outbox.receivers_of(signals.payment_failed))


def test_events_wait_while_payable_cannot_be_imported(configure: Configure, clock: Clock, payment: Payment) -> None:
    configure(PAYABLE=f"{__name__}.Misspelled")
    outbox.deliver()
    assert OutboxMessage.objects.get().delivered_at is None

    configure(PAYABLE=ORDERS)
    clock.advance(3600)
    outbox.deliver()

    assert [name for name, *_ in CALLS] == ["paid"]
    assert OutboxMessage.objects.get().delivered_at is not None


def test_any_amount_and_a_plain_function_receive_no_events(configure: Configure, payment: Payment) -> None:
    configure(PAYABLE="any_amount")

    assert outbox.deliver() == 1
    assert (CALLS, OutboxReceipt.objects.count()) == ([], 0)
    assert validate(order(amount=777)).quote.charged_amount == 777
