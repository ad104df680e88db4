"""Migration 0007: attempts that were no longer polled after a week are polled again, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from django_feexpay import conf
from django_feexpay.models import Attempt
from django_feexpay.payments.invariants import INVARIANTS
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import only_attempt

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.unmeasured]


def migrate(name: str) -> None:
    MigrationExecutor(connection).migrate([("feexpay", name)])


def newest() -> str:
    return next(name for app, name in MigrationExecutor(connection).loader.graph.leaf_nodes() if app == "feexpay")


@pytest.fixture(autouse=True)
def migrated_again() -> Iterator[None]:
    end = newest()
    yield
    migrate(end)


def test_attempts_that_were_given_up_are_due_within_a_week(begin: Begin, gateway: ModelGateway) -> None:
    states = ("review", "expired", "failed", "expired unsent", "pending")
    attempts = {state: only_attempt(begin(merchant_reference=state)) for state in states}
    end = newest()
    migrate("0006_flows")
    for state, attempt in attempts.items():
        Attempt.objects.filter(pk=attempt.pk).update(
            status=state.split()[0],
            sent_at=None if "unsent" in state else attempt.sent_at,
            next_poll_at=attempt.next_poll_at if state == "pending" else None,
            created_at=conf.now() - timedelta(days=30),
        )

    migrate(end)  # to the newest migration, because the models have its columns

    due = {state: Attempt.objects.get(pk=attempt.pk).next_poll_at for state, attempt in attempts.items()}
    assert due["failed"] is due["expired unsent"] is None
    assert due["pending"] == attempts["pending"].next_poll_at
    for state in ("review", "expired"):
        instant = due[state]
        assert instant is not None
        assert instant <= conf.now() + timedelta(days=7)
    assert list(INVARIANTS["I7"]()) == []
