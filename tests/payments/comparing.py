"""What the tests of comparisons share: rows of FeexPay's history, a settled payment, the discrepancies found."""

from __future__ import annotations

from datetime import date
from typing import Any

from django_feexpay.models import Discrepancy, Payment
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from tests.payments import fake_history
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import Charge, ModelGateway
from tests.payments.fake_history import FakeHistory
from tests.payments.fakes import only_attempt


def write(history: FakeHistory, charge: Charge, day: date, **changes: Any) -> None:
    """Add FeexPay's history row of a charge."""
    row = fake_history.row(charge.reference, day.isoformat())
    own = {"status": charge.status, "amount": charge.amount, "callback_info": {"callback_info": charge.echo}}
    history.rows.append(row | own | changes)


def settled(begin: Begin, gateway: ModelGateway, **changes: Any) -> Payment:
    payment = begin(**changes)
    gateway.last().approve()
    reconcile(only_attempt(payment).pk, source=Source.WORKER)
    payment.refresh_from_db()
    return payment


def found() -> list[tuple[str, str, str, bool]]:
    rows = Discrepancy.objects.order_by("id").values_list("kind", "state", "outcome", "money_at_stake")
    return [tuple(row) for row in rows]  # type: ignore[misc]
