"""When a status read asks FeexPay about a due attempt before it answers, and when it leaves it to the worker."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from django_feexpay.models import Attempt, Payment
from django_feexpay.payments import leases, reconcile
from django_feexpay.payments.admission import rate_budget
from django_feexpay.payments.ledger import Source
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, only_attempt
from tests.payments.watch import Watch

pytestmark = pytest.mark.django_db


@pytest.fixture
def payment(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """PENDING at FeexPay as `ref-0001`."""
    return begin(merchant_reference="order-1")


def show(attempt: Attempt) -> bool:
    return reconcile.reconcile_if_due(attempt, source=Source.API, total_seconds=2.0)


def test_status_read_asks_from_the_moment_at_which_the_attempt_is_due(
    payment: Payment, gateway: ModelGateway, watch: Watch, clock: Clock
) -> None:
    gateway.last().approve()
    attempt = only_attempt(payment)
    assert attempt.next_poll_at is not None
    clock.at = attempt.next_poll_at - timedelta(microseconds=1)
    assert show(attempt) is False

    clock.at = attempt.next_poll_at
    assert show(attempt) is True

    assert watch.asked == [("ref-0001", 2.0)]
    assert payment.events.latest("id").source == "api"


def test_status_read_asks_nothing_if_another_process_does_or_no_poll_is_planned(
    payment: Payment, watch: Watch, clock: Clock
) -> None:
    clock.advance(60)
    before = only_attempt(payment)
    assert leases.claim(before, clock.at) is True
    assert show(before) is False

    Attempt.objects.update(next_poll_at=None)
    assert show(only_attempt(payment)) is False
    assert watch.asked == []


def test_status_read_asks_nothing_without_a_slot_or_a_share_of_the_rate(
    payment: Payment, watch: Watch, clock: Clock, configure: Configure
) -> None:
    clock.advance(60)
    due = only_attempt(payment)
    configure(GATEWAY_AT_ONCE=1)
    with rate_budget.slot():
        assert show(due) is False
    configure(GATEWAY_PER_SECOND=2)
    rate_budget.wait_seconds(rate_budget.SENDING)
    assert show(due) is False

    assert (watch.asked, only_attempt(payment).next_poll_at) == ([], due.next_poll_at)
    clock.advance(1)
    assert show(due) is True


@pytest.mark.django_db(transaction=True)
def test_status_read_asks_nothing_while_autocommit_is_off(payment: Payment, watch: Watch, clock: Clock) -> None:
    clock.advance(60)
    due = only_attempt(payment)
    connection.set_autocommit(False)
    try:
        assert show(due) is False
    finally:
        connection.rollback()
        connection.set_autocommit(True)

    assert watch.asked == []
