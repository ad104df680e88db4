"""Payments that have ended, and commands run as an operator runs them."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from django_feexpay.models import Payment
from django_feexpay.payments import idempotency, outbox
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from tests.payments.conftest import Begin, guarded_calls_and_any_price
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, only_attempt

#: Of every test in this folder.
__all__ = ["guarded_calls_and_any_price"]

Run = Callable[..., str]
Settle = Callable[..., Payment]

DAY = timedelta(days=1).total_seconds()
#: What `begin` sends; the old writing is the way FeexPay and staff may write it.
NUMBER, OLD_WRITING = "2290161000050", "61000050"
PAYER = {"first_name": "Afiavi", "last_name": "Zinsou", "email": "afiavi@payer.test"}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("feexpay_purge", "--dry-run")`: the command's output. `typed`: its standard input."""

    def call(command: str, *arguments: str, typed: str = "") -> str:
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        call_command(command, *arguments, stdout=out)
        out.seek(0)
        return out.read()

    return call


@pytest.fixture
def settle(begin: Begin, gateway: ModelGateway, player: User) -> Settle:
    """`settle(approved=False, phone_ending="51")`: a payment with a key that has ended, its signals delivered."""

    def make(*, approved: bool = True, **changes: Any) -> Payment:
        user = changes.get("user", player)
        if user is not None:
            changes["key"] = idempotency.Key(user=user, value=f"tap-{Payment.objects.count()}", fingerprint="f")
        payment = begin(**changes)
        charge = gateway.last()
        charge.approve() if approved else charge.decline()
        reconcile(only_attempt(payment).pk, source=Source.WORKER)
        outbox.deliver()
        payment.refresh_from_db()
        return payment

    return make


def pass_days(clock: Clock, days: float) -> None:
    clock.advance(days * DAY)
