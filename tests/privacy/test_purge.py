"""`feexpay_purge`: each kind at its time, nothing that is still needed, and the rows still pass feexpay_verify."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection, transaction
from django.db.models.sql.constants import INNER

from django_feexpay.admin.purges import KINDS
from django_feexpay.background import tasks
from django_feexpay.lifecycle import Status
from django_feexpay.models import (
    Attempt,
    Comparison,
    Counter,
    Credit,
    Discrepancy,
    Heartbeat,
    IdempotencyRecord,
    Incident,
    OutboxMessage,
    Payment,
    PromptLift,
    Purge,
    WebhookDelivery,
)
from django_feexpay.payments import refunds
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.privacy import batches, purge, retention
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, only_attempt
from tests.payments.threads import at_once
from tests.privacy.conftest import Run, Settle, pass_days

pytestmark = pytest.mark.django_db


def deliver(attempt: Attempt | None, reference: str, at: datetime, body: Mapping[str, str] | None = None) -> Any:
    return WebhookDelivery.objects.create(
        dedupe_key=f"{reference}{WebhookDelivery.objects.count()}",
        attempt=attempt,
        gateway_reference=reference,
        body=body or {"status": "SUCCESSFUL"},
        received_at=at,
    )


def a_night(at: datetime, state: str = "complete") -> Comparison:
    return Comparison.objects.create(
        first_day=at.date(), last_day=at.date(), night=at.date(), state=state, started_at=at, beat_at=at
    )


def a_difference(comparison: Comparison, identity: str, state: str) -> Discrepancy:
    row = Discrepancy.objects.create(
        kind="missing_here",
        identity=identity,
        state=state,
        comparison=comparison,
        last_comparison=comparison,
        found_at=comparison.started_at,
        ended_at=None if state == "open" else comparison.started_at,
    )
    comparison.findings.create(difference=row, is_open=state == "open", money_at_stake=False)
    return row


def counts(printed: str) -> dict[str, int]:
    """The kinds of which something was purged."""
    rows = (line.split() for line in printed.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal() and int(row[1])}


def append_only_rows() -> list[Any]:
    found = []
    with connection.cursor() as cursor:
        for table in ("paymentevent", "credit", "staffaction", "refund", "payoutevent"):
            cursor.execute(f"SELECT * FROM feexpay_{table} ORDER BY 1")
            found += cursor.fetchall()
    return found


def broken() -> list[str]:
    return [str(violation) for violation in violations()]


@pytest.fixture
def everything(settle: Settle, clock: Clock) -> Payment:
    """One row of each kind, all of this moment."""
    payment, now = settle(), clock.at
    attempt = only_attempt(payment)
    deliver(attempt, str(attempt.gateway_reference), now)
    a_difference(a_night(now), "ended", "settled")
    Comparison.objects.update(night=None)
    Heartbeat.objects.create(name="worker", beat_at=now)
    Counter.objects.create(key="scope:1", value=1, expires_at=now)
    PromptLift.objects.create(
        msisdn_hash="h", masked_msisdn="+229 ••", lifted_at=now, until=now + timedelta(hours=1), actor="1", reason="x"
    )
    return payment


#: The days after which each kind is gone, and the kinds that are gone then.
DUE = {
    1.01: {"numbers": 1, "counters": 1},
    3.01: {"idempotency": 1},
    7.01: {"delivery_bodies": 1},
    30.01: {"deliveries": 1, "heartbeats": 1},
    90.1: {"outbox": 1, "prompt_lifts": 1},
    400.1: {"discrepancies": 1, "comparisons": 1},
    3652.6: {"payers": 1},
}


def test_each_kind_is_purged_at_its_time_and_not_before(everything: Payment, run: Run, clock: Clock) -> None:
    start, kept = clock.at, append_only_rows()
    for days, due in DUE.items():
        clock.at = start + timedelta(days=days) - timedelta(hours=3)
        assert counts(run("feexpay_purge")) == {}, f"before day {days}"
        clock.at = start + timedelta(days=days)
        assert counts(run("feexpay_purge", "--dry-run")) == due
        assert counts(run("feexpay_purge")) == due
        assert counts(run("feexpay_purge")) == {}, "a second time"
        Purge.objects.update(started_at=clock.at + timedelta(days=5000))  # this test is not about them

    assert broken() == []
    assert append_only_rows() == kept
    everything.refresh_from_db()
    assert (everything.amount, everything.status, everything.user_id) == (5000, "successful", None)
    assert Credit.objects.get().amount == 5000


def test_dry_run_changes_nothing(everything: Payment, run: Run, clock: Clock) -> None:
    pass_days(clock, 5000)

    printed = run("feexpay_purge", "--dry-run")

    assert "Nothing was changed" in printed
    assert len(counts(printed)) == 11
    assert Purge.objects.count() == 0
    assert only_attempt(everything).msisdn_sealed is not None
    assert [model.objects.count() for model in (WebhookDelivery, OutboxMessage, Heartbeat, Counter)] == [1, 1, 1, 1]


def test_counts_are_printed_and_kept(everything: Payment, run: Run, clock: Clock) -> None:
    pass_days(clock, 31)

    printed = run("feexpay_purge")

    row = Purge.objects.get()
    assert (row.state, row.source, row.finished_at) == ("complete", "command", clock.at)
    assert {kind: count for kind, count in row.counts.items() if count} == counts(printed)
    assert f"purge {row.pk}: {row.total} rows" in printed


# --- what is still needed ------------------------------------------------------------------------------


def test_keys_of_an_open_payment_stay(begin: Begin, settle: Settle, run: Run, clock: Clock) -> None:
    payment = settle()
    Payment.objects.update(status=Status.REVIEW)
    Attempt.objects.update(status=Status.REVIEW)

    pass_days(clock, 30)
    run("feexpay_purge")
    assert IdempotencyRecord.objects.count() == 1
    Payment.objects.filter(pk=payment.pk).update(status=Status.FAILED, settled_at=clock.at)  # a person closed it
    pass_days(clock, 2.9)
    run("feexpay_purge")
    assert IdempotencyRecord.objects.count() == 1
    pass_days(clock, 0.2)
    run("feexpay_purge")

    assert IdempotencyRecord.objects.count() == 0


def test_webhooks_about_doubtful_attempts_stay(settle: Settle, run: Run, clock: Clock) -> None:
    """Before a retry of a refused or expired attempt, FeexPay is asked because a webhook named it."""
    expired, failed = settle(approved=False, merchant_reference="a"), settle(approved=False, merchant_reference="b")
    Attempt.objects.filter(payment=expired).update(status=Status.EXPIRED)
    for payment in (expired, failed):
        deliver(only_attempt(payment), str(only_attempt(payment).gateway_reference), clock.at)
    deliver(None, "STRAY", clock.at)

    pass_days(clock, 31)
    run("feexpay_purge")

    assert [row.attempt for row in WebhookDelivery.objects.all()] == [only_attempt(expired)]


def test_echo_that_proves_a_second_charge_stays_until_its_row_goes(settle: Settle, run: Run, clock: Clock) -> None:
    attempt = only_attempt(settle())
    deliver(attempt, "another", clock.at, {"callback_info": str(attempt.pk)})

    pass_days(clock, 8)
    run("feexpay_purge")

    assert WebhookDelivery.objects.get().body == {"callback_info": str(attempt.pk)}
    assert broken() == []


def test_signals_that_were_not_delivered_and_those_of_failures_stay(
    settle: Settle, run: Run, clock: Clock, gateway: ModelGateway
) -> None:
    """A failure that was announced is followed by `payment_succeeded_late`, however late."""
    failed, waits = settle(approved=False, merchant_reference="a"), settle(merchant_reference="b")
    OutboxMessage.objects.filter(payment=waits).update(delivered_at=None, next_delivery_at=clock.at)

    pass_days(clock, 100)
    run("feexpay_purge")
    gateway.charges[0].approve()
    reconcile(only_attempt(failed).pk, source=Source.WORKER)

    signals = set(OutboxMessage.objects.values_list("payment", "signal"))
    assert signals == {
        (waits.pk, "payment_succeeded"),
        (failed.pk, "payment_failed"),
        (failed.pk, "payment_succeeded"),
        (failed.pk, "payment_succeeded_late"),
    }


def test_missing_signal_is_still_found_after_a_purge(settle: Settle, run: Run, clock: Clock) -> None:
    settle(merchant_reference="a")
    pass_days(clock, 100)
    run("feexpay_purge")
    assert broken() == []
    payment = settle(merchant_reference="b")

    OutboxMessage.objects.filter(payment=payment).delete()

    assert broken() == [f"I10 credit {payment.pk}: no message"]


def test_refund_and_incident_signals_may_be_purged_too(
    settle: Settle, run: Run, clock: Clock, gateway: ModelGateway
) -> None:
    payment = settle()
    refunds.record(payment.pk, amount=1000, way="cash", reason="a gift", actor="1", source=Source.ADMIN)
    gateway.charge_again(gateway.charges[0], "ref-again")
    reconcile(only_attempt(payment).pk, source=Source.ADMIN)
    assert Incident.objects.count() == 1
    OutboxMessage.objects.update(delivered_at=clock.at, next_delivery_at=None)

    pass_days(clock, 100)
    run("feexpay_purge")

    assert OutboxMessage.objects.count() == 0
    assert broken() == []


def test_open_discrepancy_keeps_its_comparison_and_the_newest_night_stays(run: Run, clock: Clock) -> None:
    """Otherwise the nightly comparison would begin again a month before."""
    old = [a_night(clock.at - timedelta(days=days)) for days in (3, 2, 1)]
    a_difference(old[0], "open", "open")
    a_difference(old[1], "ended", "gone")

    pass_days(clock, 500)
    run("feexpay_purge")

    assert set(Comparison.objects.all()) == {old[0], old[2]}
    assert [row.state for row in Discrepancy.objects.all()] == ["open"]


# --- nights, stops, other processes ----------------------------------------------------------------------


def nightly(stop: Callable[[], bool] = lambda: False) -> Purge | None:
    return purge.run_nightly(source=Source.WORKER, stop=stop)


def test_two_nights_each_purge_once(everything: Payment, clock: Clock, configure: Configure) -> None:
    clock.at = clock.at.replace(hour=3, minute=0)
    Attempt.objects.update(settled_at=clock.at)
    first = nightly()
    assert (first is not None, nightly()) == (True, None)

    clock.advance(24 * 3600 - 60)
    assert nightly() is None
    clock.advance(60)
    second = nightly()

    assert first is not None
    assert second is not None
    assert [first.counts["numbers"], second.counts["numbers"]] == [0, 1]
    assert [row.state for row in Purge.objects.order_by("night")] == ["complete", "complete"]
    configure(PURGE_AT="")
    pass_days(clock, 1)
    assert nightly() is None


def test_stopped_purge_is_continued_and_counts_everything_once(
    settle: Settle, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        settle(merchant_reference=str(number), phone_ending=f"5{number}")
    pass_days(clock, 2)
    monkeypatch.setattr(batches, "BATCH", 2)
    asked = iter([False, True])

    first = nightly(lambda: next(asked))
    assert first is not None
    assert (first.state, first.counts) == ("stopped", {"numbers": 2})
    again = nightly()

    assert again is not None
    assert (again.pk, again.state, again.counts["numbers"]) == (first.pk, "complete", 6)


def test_command_that_is_stopped_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    work = purge.run
    monkeypatch.setattr(purge, "run", lambda **options: work(**{**options, "stop": lambda: True}))

    with pytest.raises(CommandError, match="run it again") as stopped:
        run("feexpay_purge")

    assert stopped.value.returncode == 3


def test_purge_of_a_dead_process_is_taken_over_only_without_a_heartbeat(everything: Payment, clock: Clock) -> None:
    pass_days(clock, 2)
    clock.at = clock.at.replace(hour=12)  # no new night begins in the next ten minutes
    claimed = purge.claim(clock.at, Source.WORKER)
    assert claimed is not None

    clock.advance(599)
    assert nightly() is None
    clock.advance(2)
    taken = nightly()

    assert taken is not None
    assert (taken.pk, taken.state, taken.counts["numbers"]) == (claimed.pk, "complete", 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres_only
def test_four_processes_purge_one_night_once(everything: Payment, clock: Clock) -> None:
    pass_days(clock, 2)

    done = at_once(4, lambda _: nightly())

    finished = [row for row in done if isinstance(row, Purge)]
    assert [error for error in done if isinstance(error, Exception)] == []
    assert [row.counts["numbers"] for row in finished] == [1]
    assert Purge.objects.count() == 1


def test_cluster_purges_with_its_hourly_task(everything: Payment, clock: Clock, configure: Configure) -> None:
    configure(COMPARE_AT="")
    pass_days(clock, 2)

    assert tasks.run_nightly() == f"purge {Purge.objects.get().pk}: complete"
    assert only_attempt(everything).msisdn_sealed is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres_only
def test_locked_rows_are_left_to_the_next_run(settle: Settle, clock: Clock) -> None:
    busy, free = settle(merchant_reference="a"), settle(merchant_reference="b", phone_ending="51")
    pass_days(clock, 2)

    with transaction.atomic():
        Attempt.objects.select_for_update().get(payment=busy)
        [first] = at_once(1, lambda _: purge.run(source=Source.COMMAND))
    second = purge.run(source=Source.COMMAND)

    assert isinstance(first, Purge)
    assert [first.counts["numbers"], second.counts["numbers"]] == [1, 1]
    assert [only_attempt(payment).msisdn_sealed for payment in (busy, free)] == [None, None]


def test_every_step_has_words_for_staff() -> None:
    assert tuple(KINDS) == purge.NAMES


@pytest.mark.parametrize("kind", retention.KINDS, ids=lambda kind: kind.name)
def test_statement_of_a_batch_begins_with_the_rows_of_the_batch(kind: retention.Kind, clock: Clock) -> None:
    """An inner join may begin with the other table. SQLite did: it read every paid payment for each batch of messages,
    and meanwhile no payment could be written.
    """
    query = kind.unneeded(kind.old(clock()).model._default_manager.all()).query

    joins = [table for alias, table in query.alias_map.items() if query.alias_refcount[alias]]
    assert [join.table_name for join in joins if join.join_type == INNER] == []
