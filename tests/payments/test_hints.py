"""What webhooks are good for: knowing that it is time to ask. Nothing they say is believed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from django_feexpay.gateway.reports import hint_from
from django_feexpay.models import Attempt, WebhookDelivery
from django_feexpay.payments import hints
from tests.payments.conftest import Begin
from tests.payments.model_gateway import ModelGateway
from tests.payments.stage import Clock, only_attempt, run_until_told, sweep

pytestmark = pytest.mark.django_db


def tell(gateway: ModelGateway, **body: Any) -> None:
    """A delivery at our door, as the webhook view hands it on."""
    hints.receive(hint_from({"reference": gateway.last().reference, "status": "SUCCESSFUL"} | body))


def test_hint_makes_the_attempt_due_now_and_decides_nothing(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()

    tell(gateway, amount=1, callback_info="forged")

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.next_poll_at) == ("pending", clock.at)
    sweep()
    assert only_attempt(payment).status == "pending"


def test_many_hints_give_one_look_in_three_seconds(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    begin()
    tell(gateway)
    sweep()

    for number in range(20):
        tell(gateway, date=str(number))
        sweep()
    assert gateway.questions == 1

    clock.advance(3)
    sweep()
    assert gateway.questions == 2


def test_repeated_hint_is_one_row_that_counts(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()

    for _ in range(4):
        tell(gateway)

    delivery = WebhookDelivery.objects.get()
    assert (delivery.repeat_count, delivery.attempt) == (3, only_attempt(payment))


@pytest.mark.parametrize("status", ["expired", "failed", "review"])
def test_hint_about_a_failed_payment_is_asked_about(
    begin: Begin, gateway: ModelGateway, clock: Clock, status: str
) -> None:
    payment = begin()
    Attempt.objects.filter(payment=payment).update(status=status, next_poll_at=None)

    tell(gateway)

    assert only_attempt(payment).next_poll_at == clock.at


def test_hint_about_a_credited_payment_is_stored_and_asks_nothing(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin()
    gateway.last().approve()
    run_until_told(payment, clock)

    tell(gateway, status="FAILED")

    assert only_attempt(payment).next_poll_at is None
    assert WebhookDelivery.objects.count() == 1


def test_hint_never_delays_a_look_that_is_nearer(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    nearer = clock.at + timedelta(seconds=1)
    Attempt.objects.filter(payment=payment).update(next_poll_at=nearer, last_look_at=clock.at)

    tell(gateway)

    assert only_attempt(payment).next_poll_at == nearer


def test_hint_of_an_unknown_reference_waits_for_it(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    hints.receive(hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"}))
    assert WebhookDelivery.objects.get().attempt is None

    payment = begin()

    attempt = only_attempt(payment)
    assert WebhookDelivery.objects.get().attempt == attempt
    assert attempt.next_poll_at == clock.at


def test_hint_that_crossed_with_the_answer_is_matched_by_the_worker(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = begin()
    hints.receive(hint_from({"reference": "ref-0001", "status": "SUCCESSFUL"}))
    WebhookDelivery.objects.update(attempt=None)

    assert hints.match_stragglers() == 1

    assert WebhookDelivery.objects.get().attempt == only_attempt(payment)
    assert hints.match_stragglers() == 0


def test_hint_without_a_reference_is_kept_and_points_nowhere(gateway: ModelGateway, clock: Clock) -> None:
    hints.receive(hint_from({"status": "COMPLETED", "type": "PAYMENT_HISTORY"}))

    assert WebhookDelivery.objects.get().attempt is None
    assert hints.match_stragglers() == 0


def test_strangers_cannot_fill_the_table(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "UNMATCHED_AT_MOST", 2)
    payment = begin()

    for number in range(5):
        hints.receive(hint_from({"reference": f"junk-{number}", "status": "SUCCESSFUL"}))
    assert WebhookDelivery.objects.count() == 2

    tell(gateway)
    assert WebhookDelivery.objects.filter(attempt=only_attempt(payment)).count() == 1
