"""Leases on attempts: one caller gets each, and they end by themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from django_feexpay import failpoints
from django_feexpay.gateway.reports import hint_from
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.payments import leases, ledger, reconcile, webhook_hints
from django_feexpay.payments.ledger import Cause, Source
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, now, only_attempt

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("seconds", "status"), [(5, "pending"), (900, "expired")], ids=["waiting", "at its expiry"])
def test_webhook_during_a_poll_is_not_overwritten_by_the_poll(
    seconds: int, status: str, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """The poll's answer is older than the webhook: it must not delay the next poll."""
    payment = begin()
    clock.advance(seconds)
    [held] = leases.claim_due(10, unsent=False)
    hint = hint_from({"reference": gateway.last().reference, "status": "SUCCESSFUL"})

    with failpoints.arm("asked", lambda: webhook_hints.receive(hint)):
        reconcile.reconcile(held.attempt_id, source=Source.WORKER)

    attempt = only_attempt(payment)
    assert (attempt.status, attempt.next_poll_at) == (status, clock.at + timedelta(seconds=3))


def test_attempt_of_a_dead_worker_is_due_again_after_its_lease(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    begin()
    clock.advance(5)
    assert len(leases.claim_due(10, unsent=False)) == 1

    clock.advance(44)
    assert leases.claim_due(10, unsent=False) == []
    clock.advance(1)
    assert len(leases.claim_due(10, unsent=False)) == 1


def test_row_by_row_claim_is_won_by_one(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    """As on SQLite: the update succeeds only if `next_poll_at` is unchanged."""
    attempt = only_attempt(begin())
    clock.advance(5)

    winner = leases.claim(attempt, clock.at)
    loser = leases.claim(attempt, clock.at)

    assert (winner, loser) == (True, False)


def test_nothing_is_claimed_without_free_threads(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    begin()
    clock.advance(5)

    assert leases.claim_due(0, unsent=False) == []


def test_database_without_skip_locked_claims_row_by_row(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection.features, "has_select_for_update_skip_locked", False)
    for number in range(3):
        begin(merchant_reference=str(number))
    clock.advance(5)

    claims = leases.claim_due(2, unsent=False)

    assert len({held.attempt_id for held in claims}) == 2
    assert {held.lease for held in claims} == {clock.at + timedelta(seconds=45)}
    assert len(leases.claim_due(2, unsent=False)) == 1
    assert leases.claim_due(2, unsent=False) == []


def settle_as_failed(payment: Payment) -> None:
    """FAILED, and due because of a webhook."""
    ledger.move(only_attempt(payment).pk, Status.FAILED, Cause(source=Source.WORKER, because="test"))
    Attempt.objects.filter(payment=payment).update(next_poll_at=now() - timedelta(hours=1))


@pytest.mark.parametrize("skip_locked", [True, False], ids=["as it is", "row by row"])
def test_live_attempts_are_claimed_before_settled_ones(
    skip_locked: bool, begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the settled ones have been due longer."""
    if not skip_locked:
        monkeypatch.setattr(connection.features, "has_select_for_update_skip_locked", False)
    for number in range(3):
        settle_as_failed(begin(merchant_reference=str(number)))
    live = only_attempt(begin(merchant_reference="live"))
    clock.advance(5)

    claims = leases.claim_due(2, unsent=False)

    assert [held.status for held in claims] == [Status.PENDING, Status.FAILED]
    assert claims[0].attempt_id == live.pk


def test_live_and_settled_attempts_are_claimed_separately(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    settle_as_failed(begin(merchant_reference="failed"))
    begin(merchant_reference="live")
    clock.advance(5)

    assert [held.status for held in leases.claim_due(9, unsent=False, live=True)] == [Status.PENDING]
    assert [held.status for held in leases.claim_due(9, unsent=False, live=False)] == [Status.FAILED]
    assert leases.claim_due(9, unsent=True) == []


def test_pending_answer_does_not_change_an_attempt_that_moved_meanwhile(
    begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """Another worker credited it: it is not polled again."""
    attempt = only_attempt(begin())
    Attempt.objects.update(next_poll_at=None)
    attempt.refresh_from_db()
    ledger.move(attempt.pk, Status.SUCCESSFUL, Cause(source=Source.WORKER, because="test"))

    leases.schedule(attempt)

    moved = Attempt.objects.get()
    assert (moved.status, moved.next_poll_at, moved.poll_count) == ("successful", None, 0)
