"""The polls that webhooks cause have a rate limit, however many webhooks are posted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from django_feexpay.gateway.reports import hint_from
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.payments import ledger, webhook_hints, webhook_pace
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.webhook_pace import Pace
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, only_attempt

pytestmark = pytest.mark.django_db

BeginFailed = Callable[..., list[Payment]]


@pytest.fixture
def begin_failed(begin: Begin, gateway: ModelGateway, clock: Clock) -> BeginFailed:
    """`begin_failed(3)`: three failed payments without a next poll."""

    def start(number: int, status: Status = Status.FAILED, **changes: Any) -> list[Payment]:
        payments = [begin(merchant_reference=f"failed-{n}", **changes) for n in range(number)]
        for payment in payments:
            ledger.move(only_attempt(payment).pk, status, Cause(source=Source.WORKER, because="test"))
            Attempt.objects.filter(payment=payment).update(next_poll_at=None)
        return payments

    return start


def post(payment: Payment, **body: Any) -> None:
    reference = only_attempt(payment).gateway_reference
    webhook_hints.receive(hint_from({"reference": reference, "status": "SUCCESSFUL"} | body))


def waits(payments: list[Payment], clock: Clock) -> list[float | None]:
    """Seconds until each is polled; None: its webhook changed nothing."""
    dues = [only_attempt(payment).next_poll_at for payment in payments]
    return [None if at is None else round((at - clock.at).total_seconds(), 3) for at in dues]


@pytest.mark.parametrize("status", [Status.FAILED, Status.EXPIRED, Status.REVIEW])
def test_five_settled_payments_of_a_user_are_polled_at_once_and_then_one_in_ten_seconds(
    status: Status, begin_failed: BeginFailed, clock: Clock
) -> None:
    payments = begin_failed(8, status)

    for payment in payments:
        post(payment)

    assert waits(payments, clock) == [0, 0, 0, 0, 0, 10, 20, 30]


def test_each_user_has_a_separate_pace(begin_failed: BeginFailed, clock: Clock, django_user_model: Any) -> None:
    for payment in begin_failed(20):
        post(payment)
    [theirs] = begin_failed(1, Status.EXPIRED, user=django_user_model.objects.create_user("kofi"))

    post(theirs)

    assert waits([theirs], clock) == [0]


def test_settled_payments_of_all_users_share_a_pace(
    begin_failed: BeginFailed, clock: Clock, django_user_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_pace, "SETTLED_OF_ALL", Pace(at_once=2, seconds_apart=1))
    users = [django_user_model.objects.create_user(f"user-{n}") for n in range(4)]
    payments = [payment for user in users for payment in begin_failed(1, user=user)]

    for payment in payments:
        post(payment)

    assert waits(payments, clock) == [0, 0, 1, 2]


def test_webhooks_over_a_users_pace_do_not_count_against_the_pace_of_all(
    begin_failed: BeginFailed, clock: Clock, django_user_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_pace, "SETTLED_OF_ALL", Pace(at_once=6, seconds_apart=1))
    for payment in begin_failed(30):
        post(payment)
    [theirs] = begin_failed(1, user=django_user_model.objects.create_user("kofi"))

    post(theirs)

    assert waits([theirs], clock) == [0]


def test_repeated_webhooks_about_one_payment_count_once(begin_failed: BeginFailed, clock: Clock) -> None:
    first, *rest = begin_failed(6)
    for number in range(40):
        post(first, date=str(number))

    for payment in rest:
        post(payment)

    assert waits(rest, clock) == [0, 0, 0, 0, 10]


def test_pace_recovers_with_time(begin_failed: BeginFailed, clock: Clock) -> None:
    first, second = begin_failed(6), begin_failed(1)
    for payment in first:
        post(payment)
    clock.advance(60)

    post(second[0])

    assert waits(second, clock) == [0]


def test_webhooks_over_the_pace_of_live_payments_change_no_poll(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempts over the pace keep their next poll, here in five seconds."""
    monkeypatch.setattr(webhook_pace, "LIVE_OF_USER", Pace(at_once=2, seconds_apart=4))
    payments = [begin(merchant_reference=str(number)) for number in range(5)]

    for payment in payments:
        post(payment)

    assert waits(payments, clock) == [0, 0, 4, 5, 5]


def test_live_payment_does_not_count_against_the_pace_of_settled_ones(
    begin: Begin, begin_failed: BeginFailed, clock: Clock
) -> None:
    for payment in begin_failed(20):
        post(payment)
    live = begin(merchant_reference="live")

    post(live)

    assert waits([live], clock) == [0]


def test_payment_without_a_user_counts_only_against_the_pace_of_all(
    begin_failed: BeginFailed, clock: Clock, player: User
) -> None:
    payments = begin_failed(7)
    Payment.objects.update(user=None)

    for payment in payments:
        post(payment)

    assert waits(payments, clock) == [0] * 7


def test_attempt_that_is_being_sent_does_not_count(
    begin: Begin, gateway: ModelGateway, clock: Clock, player: User
) -> None:
    payment = begin()
    Attempt.objects.update(status=Status.SENDING)

    post(payment)

    assert cache.get(f"feexpay:webhooks:live:{player.pk}") is None


def test_shortest_gap_between_polls_of_one_attempt_is_kept(begin_failed: BeginFailed, clock: Clock) -> None:
    [payment] = begin_failed(1)
    Attempt.objects.update(last_polled_at=clock.at - timedelta(seconds=1))

    post(payment)

    assert waits([payment], clock) == [2]


@pytest.mark.django_db(transaction=True)
def test_missing_cache_table_prevents_neither_the_delivery_nor_the_poll(
    begin_failed: BeginFailed, clock: Clock, settings: Any
) -> None:
    """Its error must not reach the transaction that stores the delivery."""
    [payment] = begin_failed(1)
    table = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "no_such_table"}
    settings.CACHES = {"default": table}

    post(payment)

    assert waits([payment], clock) == [0]
    assert only_attempt(payment).deliveries.count() == 1
