"""Payments in every state, and staff with exactly the permissions that a test names."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django import Settings

from django_feexpay import conf
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.models import (
    Alert,
    Attempt,
    Checkout,
    Comparison,
    Credit,
    Discrepancy,
    Erasure,
    Finding,
    Heartbeat,
    Payment,
    Payout,
    Purge,
    Refund,
    ReviewProposal,
    WebhookDelivery,
)
from django_feexpay.payments import daily_totals, idempotency, initiate, prompts
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.retry import retry
from django_feexpay.payments.terms import PaymentRequest, msisdn_of
from tests.admin.recording_transport import RecordingGateway

StartPayment = Callable[..., Payment]
StaffClient = Callable[..., Client]


@pytest.fixture
def gateway(settings: Settings) -> Iterator[RecordingGateway]:
    settings.FEEXPAY = {
        **settings.FEEXPAY,
        "PAYABLE": "any_amount",
    }
    played = RecordingGateway()
    with conf.use_transport(played):
        yield played


@pytest.fixture
def player(db: None) -> User:
    return User.objects.create_user("ayo")


@pytest.fixture
def start_payment(gateway: RecordingGateway, player: User) -> StartPayment:
    """A payment of 5 000 F CFA, started as the API does it; `order` overrides fields."""
    return starter(player)


def starter(player: User) -> StartPayment:
    numbers = itertools.count(1)

    def start(*, key: str = "", **order: Any) -> Payment:
        values: dict[str, Any] = {
            "user": player,
            "provider": "mtn_bj",
            "amount": 5000,
            "phone": "+229 01 97 00 00 50",
            "merchant_reference": f"order-{next(numbers)}",
        }
        intent = idempotency.Key(user=player, value=key, fingerprint="f" * 64) if key else None
        return initiate.start(PaymentRequest(**(values | order)), source=Source.API, key=intent)

    return start


@pytest.fixture
def start_failed(start_payment: StartPayment, gateway: RecordingGateway) -> StartPayment:
    """A payment whose only attempt FeexPay confirmed as failed."""

    def start(**order: Any) -> Payment:
        return fail(start_payment(**order), gateway)

    return start


def fail(payment: Payment, gateway: RecordingGateway) -> Payment:
    gateway.statuses[str(payment.attempt.gateway_reference)] = "FAILED"
    reconcile(payment.attempt.pk, source=Source.WORKER)
    return Payment.objects.for_reading().get(pk=payment.pk)


@pytest.fixture
def charged_twice(start_payment: StartPayment, gateway: RecordingGateway) -> Payment:
    return charge_twice(start_payment, gateway)


def charge_twice(start: StartPayment, gateway: RecordingGateway) -> Payment:
    """A payment with a row in every ledger: failed, retried, late success, and the second attempt succeeds, too."""
    payment = fail(start(key="tap-1"), gateway)
    payment = retry(payment.pk, source=Source.API, actor="ayo")
    for attempt in payment.attempts.order_by("ordinal"):
        gateway.statuses[str(attempt.gateway_reference)] = "SUCCESSFUL"
        reconcile(attempt.pk, source=Source.WORKER)
    deliver(payment.attempt)
    make_discrepancy(payment.attempt)
    propose(payment.attempt)
    now = conf.now()
    Heartbeat.objects.create(name="worker", beat_at=now)
    make_checkout(payment)
    Alert.objects.create(fact="duplicate_charges", severity="critical", value=1, opened_at=now, seen_at=now)
    daily_totals.rebuild()
    Purge.objects.create(source=Source.COMMAND, state="complete", counts={"numbers": 2}, started_at=now, beat_at=now)
    Erasure.objects.create(user_key="0", state="done", actor="ayo", reason="a letter", asked_at=now, done_at=now)
    prompts.lift(number(), lasts=timedelta(hours=1), actor="ayo", reason="a fair")
    return Payment.objects.for_reading().get(pk=payment.pk)


def make_checkout(payment: Payment) -> Checkout:
    """The checkout that led to a payment, with an hour left to pay."""
    now = conf.now()
    return Checkout.objects.create(
        id=uuid4(),
        payment=payment,
        return_url="https://shop.example/thanks/",
        created_at=now,
        expires_at=now + timedelta(hours=1),
    )


def number() -> Msisdn:
    """The payer's number."""
    found = msisdn_of("+229 01 97 00 00 50", CATALOGUE["mtn_bj"])
    assert found is not None
    return found


@pytest.fixture
def start_review(start_payment: StartPayment, gateway: RecordingGateway) -> StartPayment:
    """A payment of 5 000 F CFA of which FeexPay took 4 999: under review."""

    def start(**order: Any) -> Payment:
        payment = start_payment(**order)
        reference = str(payment.attempt.gateway_reference)
        gateway.statuses[reference], gateway.charged_amounts[reference] = "SUCCESSFUL", 4999
        reconcile(payment.attempt.pk, source=Source.WORKER)
        return Payment.objects.for_reading().get(pk=payment.pk)

    return start


def propose(attempt: Attempt, **columns: Any) -> ReviewProposal:
    """A proposal that ended; `columns` overrides its values."""
    values: dict[str, Any] = {
        "attempt": attempt,
        "decision": "credit_taken",
        "reason": "Seen in the account",
        "gateway_word": "successful",
        "gateway_amount": 4999,
        "source": Source.ADMIN,
        "proposed_by": "0",
        "proposed_at": conf.now(),
        "outcome": "not_needed",
        "ended_at": conf.now(),
    }
    return ReviewProposal.objects.create(**(values | columns))


def make_payout(payment: Payment, **columns: Any) -> Payout:
    """A refund by payout and its payout, whose outcome is unknown."""
    now, attempt = conf.now(), Credit.objects.get(payment=payment).attempt
    persons = {"proposed_by": "1", "approved_by": "2"}
    refund = Refund.objects.create(
        payment=payment,
        attempt=attempt,
        credited=True,
        amount=1000,
        currency="XOF",
        way="payout",
        reason="ticket 7",
        state="approved",
        source=Source.ADMIN,
        proposed_at=now,
        approved_at=now,
        **persons,
    )
    values: dict[str, Any] = {
        "payment": payment,
        "refund": refund,
        "provider_code": "mtn_bj",
        "route": "transfer/global",
        "amount": 1000,
        "currency": "XOF",
        "masked_msisdn": attempt.masked_msisdn,
        "msisdn_sealed": attempt.msisdn_sealed,
        "state": "unknown",
        "reason_code": "outcome_unknown",
        "created_at": now,
        "sent_at": now,
    }
    return Payout.objects.create(**(values | persons | columns))


def make_discrepancy(attempt: Attempt | None, **columns: Any) -> Discrepancy:
    """A discrepancy of a finished comparison, about an attempt or about a payment we do not have."""
    now = conf.now()
    comparison = Comparison.objects.create(
        first_day=now, last_day=now, state="complete", started_at=now, beat_at=now, finished_at=now, open_count=1
    )
    values: dict[str, Any] = {
        "kind": "status" if attempt else "missing_here",
        "identity": f"difference {comparison.pk}",
        "attempt": attempt,
        "payment": attempt.payment if attempt else None,
        "gateway_reference": attempt.gateway_reference if attempt else "theirs",
        "our_status": attempt.status if attempt else "",
        "our_amount": attempt.amount if attempt else None,
        "currency": "XOF" if attempt else "",
        "their_word": "failed",
        "their_amount": 5000,
        "money_at_stake": True,
        "comparison": comparison,
        "last_comparison": comparison,
        "found_at": now,
    }
    row = Discrepancy.objects.create(**(values | columns))
    Finding.objects.create(comparison=comparison, difference=row, is_open=True, money_at_stake=row.money_at_stake)
    return row


def deliver(attempt: Attempt | None, **columns: Any) -> WebhookDelivery:
    """A stored delivery, about an attempt or about a payment we do not have."""
    values: dict[str, Any] = {
        "dedupe_key": f"{WebhookDelivery.objects.count():064}",
        "gateway_reference": attempt.gateway_reference if attempt else "",
        "reported_status": "SUCCESSFUL",
        "attempt": attempt,
        "body": {"status": "SUCCESSFUL"},
        "received_at": conf.now(),
    }
    return WebhookDelivery.objects.create(**(values | columns))


@pytest.fixture
def staff_client(db: None) -> StaffClient:
    """Log in staff that hold these permissions of the app and no other: `staff_client("view_payment")`."""
    numbers = itertools.count(1)

    def log_in(*permissions: str) -> Client:
        user = User.objects.create_user(f"staff-{next(numbers)}", is_staff=True)
        held = Permission.objects.filter(content_type__app_label="feexpay", codename__in=permissions)
        assert held.count() == len(permissions)
        user.user_permissions.set(held)
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def superuser_client(db: None) -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def page_of(payment: Payment) -> str:
    return f"/admin/feexpay/payment/{payment.pk}/change/"
