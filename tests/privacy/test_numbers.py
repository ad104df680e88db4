"""Numbers are erased a day after the payment ended; everything that works without them goes on."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from django_feexpay.background.worker import Worker
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Credit, Incident, Payment, Refund
from django_feexpay.models.fields import Sealed
from django_feexpay.payments import refunds, retry
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.privacy import numbers
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, only_attempt
from tests.privacy.conftest import PAYER, Settle, pass_days

pytestmark = pytest.mark.django_db


def work() -> None:
    """One round of a worker that was just started."""
    with Worker(concurrency=1) as worker:
        worker.sweep()


def has_number(payment: Payment) -> bool:
    return only_attempt(payment).msisdn_sealed is not None


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres_only
def test_worker_erases_the_number_a_day_after_the_end_and_keeps_hash_and_mask(settle: Settle, clock: Clock) -> None:
    payment = settle()
    before = only_attempt(payment)

    clock.advance(24 * 3600 - 1)
    work()
    assert has_number(payment)
    clock.advance(2)
    work()

    after = only_attempt(payment)
    assert after.msisdn_sealed is None
    assert (after.msisdn_hash, after.masked_msisdn) == (before.msisdn_hash, "+229 01 •• •• •• 50")


def test_time_is_a_setting_and_numbers_of_open_payments_stay(
    settle: Settle, begin: Begin, clock: Clock, configure: Configure
) -> None:
    configure(RETENTION={"numbers": "48h"})
    ended = settle(approved=False)
    pending, review = begin(merchant_reference="a"), begin(merchant_reference="b")
    Attempt.objects.filter(payment__in=[pending, review]).update(settled_at=clock.at, next_poll_at=None)
    Attempt.objects.filter(payment=pending).update(status=Status.PENDING)
    Attempt.objects.filter(payment=review).update(status=Status.REVIEW)

    pass_days(clock, 1.5)
    numbers.erase_unneeded()
    assert has_number(ended)
    pass_days(clock, 1)
    numbers.erase_unneeded()

    assert [has_number(payment) for payment in (ended, pending, review)] == [False, True, True]


def test_details_that_a_crash_left_are_erased_within_minutes(settle: Settle, clock: Clock) -> None:
    payment = settle(**PAYER)
    assert only_attempt(payment).payer_sealed is None  # erased with FeexPay's answer
    Attempt.objects.update(payer_sealed=Sealed.of(PAYER))

    numbers.erase_unneeded()
    assert only_attempt(payment).payer_sealed is not None  # a transaction may just be writing it
    clock.advance(301)
    numbers.erase_unneeded()

    assert only_attempt(payment).payer_sealed is None


def test_number_stays_while_a_refund_waits_for_its_payout(settle: Settle, clock: Clock, configure: Configure) -> None:
    configure(PAYOUTS=True)
    payment = settle()
    refund = refunds.record(payment.pk, amount=1000, way="payout", reason="ticket 7", actor="1", source=Source.ADMIN)
    pass_days(clock, 2)
    numbers.erase_unneeded()
    assert has_number(payment)

    refunds.cancel(refund.pk, reason="no", actor="2", source=Source.ADMIN)
    numbers.erase_unneeded()

    assert not has_number(payment)


@pytest.mark.parametrize("payouts", [True, False])
def test_number_stays_while_an_incident_may_need_a_payout(
    settle: Settle, clock: Clock, configure: Configure, payouts: bool
) -> None:
    configure(PAYOUTS=payouts)
    payment = settle()
    attempt = only_attempt(payment)
    incident = Incident.objects.create(
        kind="duplicate_charge", payment=payment, attempt=attempt, gateway_reference="ref-2", opened_at=clock.at
    )
    pass_days(clock, 2)
    numbers.erase_unneeded()
    assert has_number(payment) is payouts

    Incident.objects.filter(pk=incident.pk).update(closed_at=clock.at)
    numbers.erase_unneeded()

    assert not has_number(payment)


def test_refund_that_begins_meanwhile_keeps_the_number(settle: Settle, clock: Clock) -> None:
    """The conditions are read again under the lock: here a payout is proposed after the rows were chosen."""
    payment = settle()
    pass_days(clock, 2)
    attempt = only_attempt(payment)

    def propose_after_the_choice(execute: Any, sql: str, *rest: Any) -> Any:
        chosen = execute(sql, *rest)
        if sql.startswith("SELECT") and "feexpay_attempt" in sql and not Refund.objects.exists():
            Refund.objects.create(
                payment=payment,
                attempt=attempt,
                credited=True,
                amount=900,
                currency="XOF",
                way="payout",
                reason="x",
                state="proposed",
                source=Source.ADMIN,
                proposed_by="1",
                proposed_at=clock.at,
            )
        return chosen

    with connection.execute_wrapper(propose_after_the_choice):
        assert numbers.erase_unneeded() == 0

    assert Refund.objects.count() == 1
    assert has_number(payment)


def erased(payment: Payment) -> Payment:
    Attempt.objects.update(msisdn_sealed=None)
    payment.refresh_from_db()
    return payment


def test_retry_without_the_number_asks_for_it_again(settle: Settle, gateway: ModelGateway) -> None:
    payment = erased(settle(approved=False))

    with pytest.raises(NotAllowedError) as refused:
        retry.retry(payment.pk, source=Source.API)
    again = retry.retry(payment.pk, source=Source.API, phone="01 61 00 00 50")

    assert (refused.value.code, refused.value.errors[0].field) == ("validation_error", "phone")
    assert (again.status, again.attempt.ordinal) == (Status.PENDING, 2)


def test_late_success_without_the_number_is_credited(settle: Settle, gateway: ModelGateway) -> None:
    payment = erased(settle(approved=False))
    gateway.last().approve()

    reconcile(only_attempt(payment).pk, source=Source.WORKER)

    assert Credit.objects.get().payment_id == payment.pk


def test_payout_needs_the_erased_number_again_and_only_the_one_that_paid(settle: Settle, configure: Configure) -> None:
    configure(PAYOUTS=True)
    payment = erased(settle())

    def propose(phone: str) -> str:
        try:
            refunds.record(
                payment.pk, amount=1000, way="payout", reason="x", actor="1", source=Source.ADMIN, phone=phone
            )
        except NotAllowedError as refusal:
            return refusal.errors[0].field if refusal.errors else refusal.code
        return ""

    assert [propose(phone) for phone in ("", "01 61 00 00 51", "123")] == ["msisdn_erased", "phone", "phone"]
    assert not has_number(payment)
    assert propose("+229 61 00 00 50") == ""
    assert has_number(payment)


def test_refund_page_asks_for_an_erased_number_and_never_shows_it(
    settle: Settle, configure: Configure, admin_client: Client
) -> None:
    configure(PAYOUTS=True)
    payment = settle()
    url = f"{reverse('admin:feexpay_refund_record')}?payment={payment.pk}"
    assert b'name="phone"' not in admin_client.get(url).content
    erased(payment)
    form = {"amount": "1000", "way": "payout", "reason": "ticket 7", "seen": "0"}

    assert b'name="phone"' in admin_client.get(url).content
    for phone, said in (("", "Ask the payer"), ("01 61 00 00 51", "not the number that paid")):
        page = admin_client.post(url, {**form, "phone": phone}).content.decode()
        assert said in page
        assert "61 00 00 51" not in page
    assert admin_client.post(url, {**form, "phone": "01 61 00 00 50"}).status_code == 302

    assert [(row.way, row.state) for row in Refund.objects.all()] == [("payout", "proposed")]
    assert has_number(payment)
