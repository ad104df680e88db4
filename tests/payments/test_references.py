"""The reference of FeexPay that an attempt gets: the first one stays, and no two attempts share one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.payments import ledger, reconcile
from django_feexpay.payments.ledger import Cause, Source
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, moves, only_attempt

pytestmark = pytest.mark.django_db


def test_first_reference_stays(begin: Begin, gateway: ModelGateway) -> None:
    payment = begin()

    assert reconcile.record_reference(only_attempt(payment), "another", Source.WORKER) is True

    assert only_attempt(payment).gateway_reference == "ref-0001"


def test_reference_keeps_the_time_of_the_sending(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    page = begin(provider="visa", phone="")
    gateway.pay_on_page().approve()
    sent_at = only_attempt(page).sent_at
    Attempt.objects.update(created_at=clock.at - timedelta(seconds=9))

    assert reconcile.record_reference(only_attempt(page), "card-0001", Source.WORKER) is True

    assert only_attempt(page).sent_at == sent_at


def test_reference_of_another_attempt_goes_to_staff(
    lost: Payment, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    begin(merchant_reference="order-2")
    assert reconcile.record_reference(only_attempt(lost), "ref-0002", Source.COMMAND) is False

    event = lost.events.latest("id")
    assert (event.to_status, event.because, event.source) == ("review", "reference_conflict", "command")
    assert only_attempt(lost).gateway_reference is None


def test_conflict_of_an_attempt_that_changed_meanwhile_is_polled_later(lost: Payment, begin: Begin) -> None:
    begin(merchant_reference="order-2")
    before = only_attempt(lost)
    Attempt.objects.update(otp_count=1)

    assert reconcile.record_reference(before, "ref-0002", Source.WORKER) is False

    assert (only_attempt(lost).status, only_attempt(lost).poll_count) == ("unknown", 1)


@pytest.mark.django_db(transaction=True)
def test_conflict_that_staff_closed_is_only_polled_later(
    lost: Payment, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    begin(merchant_reference="order-2")
    ledger.move(only_attempt(lost).pk, Status.REVIEW, Cause(source=Source.WORKER, because="reference_conflict"))
    ledger.move(only_attempt(lost).pk, Status.FAILED, Cause(source=Source.ADMIN, because="not_paid"))
    polls = only_attempt(lost).poll_count

    assert reconcile.record_reference(only_attempt(lost), "ref-0002", Source.WORKER) is False

    assert (moves(lost)[-1], only_attempt(lost).poll_count) == ("failed", polls + 1)
