"""A back office with work to do: made-up payments of a year, staff of each role, and a case for each question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.test import Client
from shop.demo_data import making
from shop.models import CoinPack

from django_feexpay import conf
from django_feexpay.gateway.client import CallSeen
from django_feexpay.gateway.errors import OutcomeUnknownError
from django_feexpay.gateway.refusals import IN_MAINTENANCE
from django_feexpay.models import Attempt, Heartbeat, Payment, ReviewDecision
from django_feexpay.payments import daily_totals, initiate, reviews
from django_feexpay.payments.admission import circuit_breaker
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.retry import retry
from django_feexpay.payments.terms import PaymentRequest
from tests.admin.conftest import make_discrepancy
from tests.admin.recording_transport import RecordingGateway
from tests.browser.chromium import PASSWORD

#: The user names of the demo data, by role.
STAFF = {"Support": "awa.support", "Finance": "koffi.finance", "Operations": "ines.ops"}
FRONT_PAGE = "/admin/feexpay/"
WHY_CREDITED = "MTN confirmed the debit by mail, case 4711"

#: With 400, last month has no credit of MTN Benin at some hours of the day.
_PAYMENTS, _SEED = 1200, 1
_PACKS = {"mini": (50, 500), "standard": (220, 2_000), "champion": (650, 5_000), "maxi": (1_200, 10_000)}


@dataclass(frozen=True, slots=True)
class Office:
    """The payments that the questions are about. `sessions`: the key of a session that is signed in, by role."""

    sessions: dict[str, str]
    paid: Payment
    differing: Payment
    stuck: Payment
    charged_twice: Payment
    under_review: Payment
    credited_by_hand: Payment


@contextmanager
def opened() -> Iterator[Office]:
    """Fill the database as `migrate` leaves it. Changes: all ledgers, User, Group, CoinPack."""
    _packs()
    making.make(_PAYMENTS, _SEED, lambda written: None)
    User.objects.filter(username__in=STAFF.values()).update(password=make_password(PASSWORD))
    gateway = RecordingGateway()
    with conf.use_transport(gateway):
        yield _cases(gateway)


def stop_orange() -> None:
    """Orange answers five payments in a row with "in maintenance", so its circuit breaker opens."""
    down = OutcomeUnknownError()
    down.code = IN_MAINTENANCE
    for _call in range(circuit_breaker.FAILURES_IN_A_ROW):
        seen = CallSeen("collect", down.code, 0.0, provider_code="orange_sn", http_status=503, error=down)
        circuit_breaker.record(seen)


def _packs() -> None:
    """Those of the migration are lost when another test empties the database."""
    for code, (coins, price) in _PACKS.items():
        values = {"name": code.title(), "coins": coins, "price": price, "position": price}
        CoinPack.objects.update_or_create(code=code, defaults=values)


def _cases(gateway: RecordingGateway) -> Office:
    ayo = User.objects.create_user("ayo.dossou", first_name="Ayo", last_name="Dossou")
    koffi = str(User.objects.get(username=STAFF["Finance"]).pk)

    stuck = _start(ayo, "order-1002")
    _backdate(stuck, conf.now() - timedelta(minutes=50))

    charged_twice = _start(ayo, "order-1003", amount=2000)
    _answer(gateway, charged_twice, "FAILED")
    retry(charged_twice.pk, source=Source.API, actor="ayo.dossou")
    for attempt in charged_twice.attempts.order_by("ordinal"):
        gateway.statuses[str(attempt.gateway_reference)] = "SUCCESSFUL"
        reconcile(attempt.pk, source=Source.WORKER)

    under_review = _start(ayo, "order-1004")
    _answer(gateway, under_review, "SUCCESSFUL", took=4999)

    credited_by_hand = _start(ayo, "order-1005", amount=10_000)
    _answer(gateway, credited_by_hand, "SUCCESSFUL", took=9995)
    decision = ReviewDecision.CREDIT_PRICE
    reviews.close(credited_by_hand.pk, decision, reason=WHY_CREDITED, actor=koffi, source=Source.ADMIN)

    paid = _start(ayo, "order-1001")
    _answer(gateway, paid, "SUCCESSFUL")

    differing = _start(ayo, "order-1006")
    _answer(gateway, differing, "SUCCESSFUL")
    make_discrepancy(Attempt.objects.get(payment=differing))
    Heartbeat.objects.create(name="worker", beat_at=conf.now())
    daily_totals.rebuild()
    return Office(_sessions(), paid, differing, stuck, charged_twice, under_review, credited_by_hand)


def _sessions() -> dict[str, str]:
    found = {}
    for role, username in STAFF.items():
        client = Client()
        client.force_login(User.objects.get(username=username))
        found[role] = str(client.session.session_key)
    return found


def _start(player: User, merchant_reference: str, amount: int = 5000) -> Payment:
    request = PaymentRequest(
        user=player,
        provider="mtn_bj",
        amount=amount,
        phone="+229 01 97 00 00 50",
        merchant_reference=merchant_reference,
    )
    return initiate.start(request, source=Source.API)


def _answer(gateway: RecordingGateway, payment: Payment, word: str, *, took: int | None = None) -> None:
    reference = str(payment.attempt.gateway_reference)
    gateway.statuses[reference] = word
    if took is not None:
        gateway.charged_amounts[reference] = took
    reconcile(payment.attempt.pk, source=Source.WORKER)


def _backdate(payment: Payment, at: datetime) -> None:
    Payment.objects.filter(pk=payment.pk).update(created_at=at)
    Attempt.objects.filter(payment=payment).update(created_at=at, sent_at=at)
