"""The nightly comparison with FeexPay's history, run by one process at a time.

The Comparison row is the claim: its `night` (the UTC date on which it is due) is unique, its `beat_at` is the heartbeat
of the process that runs it. When that process dies, another one takes over. When FeexPay gave no answer, the comparison
is started again. Missed nights are compared later, one by one, oldest first, each for its own days.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from django.db import IntegrityError
from django.db.models import F, Min

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.gateway.errors import MisconfiguredError
from django_feexpay.gateway.request_bodies import LONGEST_HISTORY_DAYS
from django_feexpay.models import Attempt, Comparison
from django_feexpay.payments.durability import durable
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation.history import A_DAY, UNANSWERED_GAPS, Gap, utc_day
from django_feexpay.payments.reconciliation.run import begin, compare

logger = logging.getLogger("django_feexpay.payments")

State = Comparison.State

#: Yesterday and the day before: some successes and some history rows come a day late.
DAYS = 2

#: Sunday's comparison also covers the week before: it finds reversals that no webhook announced.
DAYS_ON_SUNDAY = 9

#: After this many starts without success a comparison is started once a day, for a month.
MAX_STARTS = 5
#: A running comparison without a heartbeat for this time has lost its process.
HEARTBEAT_TIMEOUT = timedelta(minutes=10)
#: A comparison without an answer is started again after RESTART_AFTER, and once it had MAX_STARTS starts, after
#: LATE_RESTART_AFTER.
RESTART_AFTER = timedelta(hours=1)
LATE_RESTART_AFTER = A_DAY
#: Older nights are no longer compared.
OLDEST_NIGHT_AGE = timedelta(days=LONGEST_HISTORY_DAYS)

#: Missed nights are searched among this many of the newest ones. Staff compare older days by command.
NIGHTS_REMEMBERED = 100


def run_nightly(*, source: Source, stop: Callable[[], bool] = lambda: False) -> Comparison | None:
    """Run the oldest nightly comparison that is due, unless another process runs one.

    More may be due afterwards: call again. A call with nothing to do costs one statement.
    Changes: as `run.compare`. Safe to repeat: yes, also concurrently.
    """
    claimed = claim(conf.now())
    if claimed is None:
        return None
    try:
        return compare(claimed, source=source, stop=stop)
    except MisconfiguredError as error:
        logger.error("nightly comparison: FeexPay refuses our requests: %s", error.code)
        return claimed


def claim(now: datetime) -> Comparison | None:
    """Claim the oldest nightly comparison that is missing or must be started again.

    Nothing is claimed while another nightly comparison runs, or shortly after one in which FeexPay did not answer.
    Changes: Comparison. Safe to repeat: yes.
    """
    at = feexpay.compare_at
    if at is None:
        return None
    tonight = latest_night(at, now)
    newest = Comparison.objects.filter(night__isnull=False).order_by("-night")[:NIGHTS_REMEMBERED]
    known = sorted(newest, key=_night_of)
    if any(_blocks_others(row, now) for row in known):
        return None
    unfinished = next((row for row in known if _must_restart(row, now)), None)
    missed = _first_missed(known, tonight)
    if unfinished is not None and (missed is None or _night_of(unfinished) < missed):
        return _restart(unfinished, now)
    if missed is None:
        return None
    days = DAYS_ON_SUNDAY if missed.isoweekday() == 7 else DAYS
    try:
        with durable():
            return begin(missed - days * A_DAY, missed - A_DAY, night=missed)
    except IntegrityError:  # another process claimed it
        return None


def latest_night(at: time, now: datetime) -> date:
    """The newest night, a UTC date, whose time of day `at` has come."""
    return (now.astimezone(UTC) - timedelta(hours=at.hour, minutes=at.minute)).date()


def _night_of(row: Comparison) -> date:
    assert row.night is not None  # noqa: S101 -- the caller selects rows with a night
    return row.night


def _first_missed(known: list[Comparison], tonight: date) -> date | None:
    """The oldest night, up to tonight, without a comparison.

    The first nightly comparison is due the night after the first attempt was sent, at most a month ago.
    """
    nights = {_night_of(row) for row in known}
    if nights:
        night = min(nights)
    else:
        sent_at: datetime | None = Attempt.objects.aggregate(first=Min("sent_at"))["first"]
        if sent_at is None:
            return None
        night = max(utc_day(sent_at) + A_DAY, tonight - OLDEST_NIGHT_AGE)
    while night in nights:
        night += A_DAY
    return night if night <= tonight else None


def _blocks_others(row: Comparison, now: datetime) -> bool:
    """Whether this comparison runs now, or FeexPay just gave it no answer."""
    age = now - row.beat_at
    if age < -conf.CLOCK_SLACK:  # a clock that was ahead wrote the heartbeat
        return False
    if row.state == State.RUNNING:
        return age <= HEARTBEAT_TIMEOUT
    return row.state == State.INCOMPLETE and age <= RESTART_AFTER and _has_gap(row, UNANSWERED_GAPS - {Gap.NOT_ASKED})


def _must_restart(row: Comparison, now: datetime) -> bool:
    """Whether it must run again: its process died, was stopped or got no answers."""
    if row.state == State.STOPPED:
        return True
    unanswered = row.state == State.INCOMPLETE and _has_gap(row, UNANSWERED_GAPS)
    if row.state != State.RUNNING and not unanswered:
        return False
    age = now - row.beat_at
    if row.start_count < MAX_STARTS:
        # A heartbeat in the future was written by a clock that was ahead: no process runs this comparison.
        return age < -conf.CLOCK_SLACK or age > (RESTART_AFTER if unanswered else HEARTBEAT_TIMEOUT)
    # Once a day, for a month.
    return age > LATE_RESTART_AFTER and utc_day(now) - _night_of(row) < OLDEST_NIGHT_AGE


def _has_gap(row: Comparison, reasons: frozenset[Gap]) -> bool:
    return any(gap["why"] in reasons for gap in row.gaps)


def _restart(known: Comparison, now: datetime) -> Comparison | None:
    """Reset the comparison and its findings; None if another process restarted it first."""
    fresh = Comparison(first_day=known.first_day, last_day=known.last_day, started_at=now, beat_at=now)
    columns = [field.name for field in Comparison._meta.fields if field.name not in ("id", "night", "start_count")]
    with durable():
        claimed = Comparison.objects.filter(pk=known.pk, beat_at=known.beat_at).update(
            **{name: getattr(fresh, name) for name in columns}, start_count=F("start_count") + 1
        )
        if not claimed:
            return None
        known.findings.all().delete()
    known.refresh_from_db()
    return known


def release_future_nights(now: datetime) -> int:
    """Release future nights, claimed by a clock that was ahead; return how many.

    Changes: Comparison. Safe to repeat: yes.
    """
    return Comparison.objects.filter(night__gt=utc_day(now) + A_DAY).update(night=None)
