"""The answer of a start and of a retry: made from the rows that were just written, equal to what is read afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_feexpay.api.outputs import payment_body
from django_feexpay.gateway.reports import hint_from
from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import Payment
from django_feexpay.models.payment import read_payments
from django_feexpay.payments import webhook_hints
from django_feexpay.payments.admission import gate
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.retry import retry
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import (
    Charge,
    ModelGateway,
    accept,
    accept_as,
    cannot_reach,
    charge_and_answer,
    lose_the_answer,
    refuse,
)
from tests.payments.fakes import Clock, only_attempt, sweep_until_final
from tests.payments.watch import Watch

pytestmark = pytest.mark.django_db

BAD_REQUEST = {"message": "Bad Request"}


def body_read_again(payment: Payment) -> dict[str, Any]:
    return payment_body(read_payments().get(pk=payment.pk))


def refuse_doubtfully(charge: Charge) -> WireReply:
    """A doubtful refusal: FeexPay names no reason, and may have charged the payer."""
    return charge_and_answer(400, BAD_REQUEST, names_it=False)(charge)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (accept, "pending"),
        (lose_the_answer, "unknown"),
        (cannot_reach, "created"),
        (refuse(), "rejected"),
        (refuse_doubtfully, "rejected"),
    ],
    ids=["accepted", "unknown", "not sent", "refused", "doubtful"],
)
def test_answer_of_a_start_equals_the_payment_that_is_read_afterwards(
    begin: Begin, gateway: ModelGateway, clock: Clock, outcome: Callable[[Charge], WireReply], status: str
) -> None:
    gateway.next_collects = [outcome]

    payment = begin(merchant_reference="order-7", metadata={"pack": ("a", 1), 7: None}, currency="EUR", amount=1000)

    assert payment.status == status
    assert payment_body(payment) == body_read_again(payment)


def test_answer_of_a_hosted_page_and_of_a_queued_start_equals_the_payment_that_is_read_afterwards(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    page = begin(provider="visa", phone="", merchant_reference="order-7")
    configure(DISPATCH="queue")
    queued = begin(merchant_reference="order-8")

    assert page.attempt.redirect_url
    for payment in (page, queued):
        assert payment_body(payment) == body_read_again(payment)


def test_answer_of_a_retry_equals_the_payment_that_is_read_afterwards(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin(merchant_reference="order-7")
    gateway.last().decline()
    sweep_until_final(payment, clock)

    answer = retry(payment.pk, source=Source.API)

    assert (answer.status, answer.attempt.ordinal) == ("pending", 2)
    assert payment_body(answer) == body_read_again(answer)


def test_answer_shows_a_poll_that_an_early_webhook_made_due(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    def accept_after_the_webhook(charge: Charge) -> WireReply:
        webhook_hints.receive(hint_from({"reference": "early-1", "status": "SUCCESSFUL"}))
        return accept_as("early-1")(charge)

    gateway.next_collects = [accept_after_the_webhook]

    payment = begin(merchant_reference="order-7")

    assert payment.attempt.next_poll_at == clock.at
    assert payment_body(payment) == body_read_again(payment)


def test_order_that_was_refused_while_it_was_started_again_is_asked_about_before_a_second_prompt(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second start found no payment of the order. Before it got the user's lock, the first one was refused."""
    admit = gate.admit

    def refuse_another_start_first(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(gate, "admit", admit)
        gateway.next_collects = [refuse_doubtfully]
        begin(merchant_reference="order-7")
        return admit(*args, **kwargs)

    monkeypatch.setattr(gate, "admit", refuse_another_start_first)

    with pytest.raises(NotAllowedError) as refusal:
        begin(merchant_reference="order-7")

    assert (refusal.value.code, len(gateway.charges)) == ("gateway_unavailable", 1)
    assert Payment.objects.count() == 1


def test_provider_that_is_switched_off_while_feexpay_is_asked_prompts_nobody(
    begin: Begin, gateway: ModelGateway, watch: Watch, clock: Clock, change_provider: Callable[..., None]
) -> None:
    gateway.next_collects = [refuse_doubtfully]
    begin(merchant_reference="order-7")
    gateway.forget(gateway.last())
    watch.meanwhile = lambda: change_provider(enabled=False)

    payment = begin(merchant_reference="order-7")

    assert (payment.status, only_attempt(payment).reason_code) == ("rejected", "provider_disabled")
    assert gateway.charges == []


def test_payments_of_another_user_with_the_same_order_number_do_not_count(
    begin: Begin, gateway: ModelGateway, clock: Clock, django_user_model: Any
) -> None:
    begin(merchant_reference="order-7")

    payment = begin(merchant_reference="order-7", user=django_user_model.objects.create_user("kofi"))

    assert (payment.status, len(gateway.charges)) == ("pending", 2)
