"""The purge: erase and delete what is older than its retention, and keep the counts.

Nightly by the background work, or by `feexpay_purge`. It works in small transactions and can be stopped after each:
what is done stays done, and the next run continues. It writes nothing into an append-only table.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from django.db import IntegrityError
from django.db.models import Q

from django_feexpay import conf, report_files
from django_feexpay.conf import feexpay
from django_feexpay.models import PaymentEvent, Purge
from django_feexpay.payments.durability import durable
from django_feexpay.payments.reconciliation.nightly import latest_night
from django_feexpay.privacy import erasure, retention
from django_feexpay.privacy.batches import Stop, StoppedError, in_batches

logger = logging.getLogger("django_feexpay.privacy")

Source = PaymentEvent.Source
State = Purge.State

#: A running purge without a heartbeat for this time has lost its process.
HEARTBEAT_TIMEOUT = timedelta(minutes=10)
_BEAT_EVERY_SECONDS = 10.0

#: What the purge does besides the rows of `retention.KINDS`.
REPORT_FILES, PAYERS, ERASURES = "report_files", "payers", "erasures"
NAMES = (*(kind.name for kind in retention.KINDS), REPORT_FILES, PAYERS, ERASURES)


def due() -> dict[str, int]:
    """How many rows of each kind a purge would erase or delete now. Changes: nothing."""
    now = conf.now()
    counts = {kind.name: kind.due(now).order_by().count() for kind in retention.KINDS}
    counts[REPORT_FILES] = report_files.expired().count()
    counts[PAYERS] = erasure.ready(erasure.old_payments(now), now).order_by().count()
    counts[ERASURES] = erasure.waiting().count()
    return counts


def run(*, source: Source, stop: Stop = lambda: False) -> Purge:
    """Purge now, whether or not it is due tonight.

    Changes: the rows of each kind, Purge. Safe to repeat: yes, also while payments and other purges run.
    """
    now = conf.now()
    return _work(Purge.objects.create(source=source, started_at=now, beat_at=now), stop)


def run_nightly(*, source: Source, stop: Stop = lambda: False) -> Purge | None:
    """Run tonight's purge if it is due; None if it is not due or another process runs it, which costs one statement.

    A purge that was stopped or lost its process is continued.
    Changes: as `run`. Safe to repeat: yes, also concurrently.
    """
    claimed = claim(conf.now(), source)
    return None if claimed is None else _work(claimed, stop)


def claim(now: datetime, source: Source) -> Purge | None:
    """Claim tonight's purge. Changes: Purge. Safe to repeat: yes."""
    if feexpay.purge_at is None:
        return None
    night = latest_night(feexpay.purge_at, now)
    known = Purge.objects.filter(night=night).first()
    if known is None:
        try:
            with durable():
                return Purge.objects.create(night=night, source=source, started_at=now, beat_at=now)
        except IntegrityError:  # another process claimed it
            return None
    lost = Q(state=State.RUNNING) & (
        Q(beat_at__lte=now - HEARTBEAT_TIMEOUT) | Q(beat_at__gt=now + conf.CLOCK_SLACK)  # by a clock that was ahead
    )
    free = Purge.objects.filter(Q(state=State.STOPPED) | lost, pk=known.pk, beat_at=known.beat_at)
    if known.state == State.COMPLETE or not free.update(state=State.RUNNING, beat_at=now):
        return None
    known.refresh_from_db()
    return known


def _work(purge: Purge, stop: Stop) -> Purge:
    """Do every step, adding to the counts of the row after each."""
    now = conf.now()
    watched = _with_heartbeat(purge, stop)
    try:
        for name, step in _steps(purge, now, watched):
            _add(purge, name, step())
    except StoppedError as stopped:
        _add(purge, name, stopped.done)
        _save(purge, state=State.STOPPED)
        return purge
    except Exception:
        _save(purge, state=State.STOPPED)  # the next check continues it
        raise
    _save(purge, state=State.COMPLETE, finished_at=conf.now())
    logger.info(
        "purged: %s", ", ".join(f"{name} {count}" for name, count in purge.counts.items() if count) or "nothing"
    )
    return purge


def _steps(purge: Purge, now: datetime, stop: Stop) -> Iterator[tuple[str, Callable[[], int]]]:
    for kind in retention.KINDS:
        if kind.name == "outbox":  # committed first: `feexpay_verify` asks for no message that may be deleted
            _save(purge, outbox_before=retention.limit_of("outbox", now))
        yield kind.name, partial(in_batches, kind.old(now), kind.work, stop, unneeded=kind.unneeded)
    yield REPORT_FILES, _delete_files
    yield PAYERS, partial(erasure.erase_old, now, stop)
    yield ERASURES, partial(erasure.continue_waiting, stop)


def _delete_files() -> int:
    count = 0
    while deleted := report_files.delete_expired():
        count += deleted
    return count


def _with_heartbeat(purge: Purge, stop: Stop) -> Stop:
    """`stop`, wrapped so that calling it also writes the heartbeat now and then."""
    last = time.monotonic()

    def stops() -> bool:
        nonlocal last
        if time.monotonic() - last >= _BEAT_EVERY_SECONDS:
            last = time.monotonic()
            _save(purge)
        return stop()

    return stops


def _add(purge: Purge, name: str, count: int) -> None:
    _save(purge, counts={**purge.counts, name: purge.counts.get(name, 0) + count})


def _save(purge: Purge, **columns: object) -> None:
    now = conf.now()
    Purge.objects.filter(pk=purge.pk).update(beat_at=now, **columns)
    for name, value in columns.items():
        setattr(purge, name, value)
