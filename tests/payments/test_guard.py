"""The fixture that forbids gateway calls inside a transaction must really forbid them."""

from __future__ import annotations

import pytest
from django.db import transaction

from django_feexpay import conf
from django_feexpay.models import Provider
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import CallInTransactionError, Guard
from tests.sandbox.running import RunningSandbox


@pytest.mark.django_db
def test_guard_stops_a_call_inside_a_transaction(guard: Guard, gateway: ModelGateway) -> None:
    with pytest.raises(CallInTransactionError), transaction.atomic():
        conf.gateway().balance()

    assert guard.offences == ["GET http://127.0.0.1:9/api/balance/public/getByShop/SANDBOXSHOP0001"]
    assert gateway.questions == 0
    guard.offences.clear()


@pytest.mark.django_db(transaction=True)
def test_guard_stops_a_call_over_the_socket_too(guard: Guard, sandbox: RunningSandbox) -> None:
    with pytest.raises(CallInTransactionError), transaction.atomic():
        conf.gateway().balance()

    assert len(guard.offences) == 1
    guard.offences.clear()


@pytest.mark.django_db(transaction=True)
def test_guard_allows_a_call_outside_a_transaction(sandbox: RunningSandbox) -> None:
    assert conf.gateway().balance()["MTN"] == 0


@pytest.mark.django_db(transaction=True)
def test_provider_rows_exist_after_a_test_that_flushed_the_tables() -> None:
    """TransactionTestCase flushes the tables, and post_migrate writes the rows again."""
    assert Provider.objects.get(code="mtn_bj").is_available
