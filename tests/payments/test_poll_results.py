"""Results of polls that moved nothing, written together: the same rows as written one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from django_feexpay.gateway.reports import hint_from
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt
from django_feexpay.payments import leases, ledger, reconcile, webhook_hints
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.poll_results import PollResults
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock

pytestmark = pytest.mark.django_db

Poll = Callable[..., list[leases.Claim]]

#: After the second poll, by default.
SECOND_WAIT = timedelta(seconds=10)


@pytest.fixture
def poll(begin: Begin, gateway: ModelGateway, clock: Clock) -> Poll:
    """Begin attempts, claim them when they are due, and poll them."""

    def begun(results: PollResults, count: int = 3) -> list[leases.Claim]:
        for number in range(count):
            begin(merchant_reference=f"order-{number}")
        clock.advance(5)
        claims = leases.claim_due(count, unsent=False)
        for held in claims:
            assert reconcile.reconcile_claimed(held, source=Source.WORKER, poll_later=results.add) is True
        return claims

    return begun


def rows(claims: Sequence[leases.Claim]) -> list[Attempt]:
    found = Attempt.objects.in_bulk([held.attempt_id for held in claims])
    return [found[held.attempt_id] for held in claims]


@pytest.mark.parametrize("skip_locked", [True, False], ids=["as it is", "row by row"])
@pytest.mark.parametrize("count", [1, 3])
def test_results_are_counted_and_planned(
    count: int, skip_locked: bool, poll: Poll, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not skip_locked:
        monkeypatch.setattr(connection.features, "has_select_for_update_skip_locked", False)
    results = PollResults()
    claims = poll(results, count)

    results.write()

    planned = [(attempt.poll_count, attempt.next_poll_at) for attempt in rows(claims)]
    assert planned == [(1, clock.at + SECOND_WAIT)] * count


@pytest.mark.postgres_only
def test_results_cost_one_statement_however_many_there_are(poll: Poll) -> None:
    results = PollResults()
    poll(results, 7)

    with CaptureQueriesContext(connection) as captured:
        results.write()
        results.write()

    assert len(captured) == 1


def test_results_that_are_not_written_leave_the_lease(poll: Poll, clock: Clock) -> None:
    """As after a kill: another worker polls again when the lease ends."""
    poll(PollResults())

    clock.advance(44)
    assert leases.claim_due(9, unsent=False) == []
    clock.advance(1)
    assert len(leases.claim_due(9, unsent=False)) == 3


def test_webhook_after_the_answer_is_not_overwritten(poll: Poll, gateway: ModelGateway, clock: Clock) -> None:
    results = PollResults()
    claims = poll(results)
    named = rows(claims)[1]
    webhook_hints.receive(hint_from({"reference": named.gateway_reference, "status": "SUCCESSFUL"}))

    results.write()

    waits = [(attempt.poll_count, attempt.next_poll_at - clock.at) for attempt in rows(claims) if attempt.next_poll_at]
    assert waits == [(1, SECOND_WAIT), (1, leases.MIN_POLL_GAP), (1, SECOND_WAIT)]


def test_lease_of_the_next_worker_is_not_overwritten(poll: Poll, clock: Clock) -> None:
    """The first worker hung for longer than its lease before it wrote."""
    results = PollResults()
    poll(results)
    clock.advance(45)
    claimed_again = leases.claim_due(9, unsent=False)

    results.write()

    assert [attempt.next_poll_at for attempt in rows(claimed_again)] == [clock.at + leases.LEASE] * 3


def test_attempt_that_moved_meanwhile_is_not_polled_by_the_schedule_of_its_old_status(poll: Poll) -> None:
    results = PollResults()
    claims = poll(results)
    ledger.move(claims[1].attempt_id, Status.SUCCESSFUL, Cause(source=Source.WORKER, because="test"))
    moved = rows(claims)[1]

    results.write()

    assert [attempt.poll_count for attempt in rows(claims)] == [1, 0, 1]
    assert rows(claims)[1].next_poll_at == moved.next_poll_at


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_locked_row_delays_no_other_and_is_written_the_next_time(poll: Poll, clock: Clock) -> None:
    """Waiting for it while the others are locked could end in a deadlock, and would stop the worker's loop."""
    results = PollResults()
    claims = poll(results)
    is_locked, may_end = threading.Event(), threading.Event()

    def lock_one() -> None:
        try:
            with transaction.atomic():
                Attempt.objects.select_for_update().get(pk=claims[1].attempt_id)
                is_locked.set()
                assert may_end.wait(30)
        finally:
            connections.close_all()

    other = threading.Thread(target=lock_one)
    other.start()
    assert is_locked.wait(30)
    results.write()
    counts = [attempt.poll_count for attempt in rows(claims)]
    may_end.set()
    other.join()
    results.write()

    assert counts == [1, 0, 1]
    assert {(attempt.poll_count, attempt.next_poll_at) for attempt in rows(claims)} == {(1, clock.at + SECOND_WAIT)}
