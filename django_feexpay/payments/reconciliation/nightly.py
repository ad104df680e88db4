"""Once a night the days before are compared with FeexPay's history, by whichever process is first.

The night's Comparison row is the turn-taking. A process that dies is relieved, and a night on which FeexPay did not
answer is tried again. Nights on which nothing ran are made up, the oldest first, one after the other: each of them is
the comparison it would have been.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from django.db import IntegrityError
from django.db.models import F, Min

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.gateway.client import LONGEST_HISTORY_DAYS
from django_feexpay.gateway.errors import MisconfiguredError
from django_feexpay.models import Attempt, Comparison
from django_feexpay.payments.durability import durable
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation.history import A_DAY, Gap
from django_feexpay.payments.reconciliation.run import begin, compare

logger = logging.getLogger("django_feexpay.payments")

State = Comparison.State

#: Yesterday, and the day before once more: some successes and some rows are late.
DAYS = 2

#: On the night to Sunday the week before them, too: what FeexPay took back later, and no webhook told, is found then.
DAYS_ON_SUNDAY = 9

#: After so many starts in vain a night is tried once a day, for a month.
MOST_STARTS = 5
SILENT_AFTER = timedelta(minutes=10)
AGAIN_AFTER = timedelta(hours=1)
AGAIN_LATER = timedelta(days=1)
GIVEN_UP_AFTER = timedelta(days=LONGEST_HISTORY_DAYS)

#: A gap between two nights is looked for among the newest; what is older than all of these is compared by hand.
NIGHTS_REMEMBERED = 100

_MAY_BE_ANSWERED_LATER = {Gap.UNANSWERED, Gap.NOT_ASKED, Gap.REFUSED}
_IS_SILENT = {Gap.UNANSWERED, Gap.REFUSED}


def run_nightly(*, source: Source, stop: Callable[[], bool] = lambda: False) -> Comparison | None:
    """The comparison of the oldest night that is still to be done, if no other process does it; else None, after one
    statement. More nights may be left: call again.

    Changes: as `compare.compare`. Safe to repeat: yes, also at the same time.
    """
    taken = take(conf.now())
    if taken is None:
        return None
    try:
        return compare(taken, source=source, stop=stop)
    except MisconfiguredError as error:
        logger.error("the night's comparison: FeexPay refuses to answer us: %s", error.code)
        return taken


def take(now: datetime) -> Comparison | None:
    """The right to do one night's comparison, for one caller: the oldest that is missing, or is to be done again.

    Changes: Comparison. Safe to repeat: yes.
    """
    at = feexpay.compare_at
    if at is None:
        return None
    tonight = (now.astimezone(UTC) - timedelta(hours=at.hour, minutes=at.minute)).date()
    newest = Comparison.objects.filter(night__isnull=False).order_by("-night")[:NIGHTS_REMEMBERED]
    known = sorted(newest, key=_night_of)
    if any(_holds_up_the_others(row, now) for row in known):
        return None
    again = next((row for row in known if _is_to_be_done_again(row, now)), None)
    missing = _first_missing(known, tonight)
    if again is not None and (missing is None or _night_of(again) < missing):
        return _again(again, now)
    return None if missing is None else _first(missing)


def _night_of(row: Comparison) -> date:
    assert row.night is not None  # noqa: S101 -- the caller asks for those that have one
    return row.night


def _first_missing(known: list[Comparison], tonight: date) -> date | None:
    """The oldest night, up to tonight, that has no comparison."""
    nights = [_night_of(row) for row in known]
    first = nights[0] if nights else _first_night(tonight)
    if first is None:
        return None
    taken = set(nights)
    return next((night for night in _days(first, tonight) if night not in taken), None)


def _first_night(tonight: date) -> date | None:
    """Where there was no night yet: the one after the first attempt was sent, a month ago at most; None before it."""
    sent_at: datetime | None = Attempt.objects.aggregate(first=Min("sent_at"))["first"]
    if sent_at is None:
        return None
    after = sent_at.astimezone(UTC).date() + A_DAY
    return None if after > tonight else max(after, tonight - GIVEN_UP_AFTER)


def _days(first: date, last: date) -> list[date]:
    return [first + number * A_DAY for number in range((last - first).days + 1)]


def _first(night: date) -> Comparison | None:
    days = DAYS_ON_SUNDAY if night.isoweekday() == 7 else DAYS
    try:
        with durable():
            return begin(night - days * A_DAY, night - A_DAY, night=night)
    except IntegrityError:  # another process was quicker
        return None


def _holds_up_the_others(row: Comparison, now: datetime) -> bool:
    """Whether a night is being compared, or FeexPay was silent about one just now: nights are done one by one, and
    none of them would be answered.
    """
    since = now - row.beat_at
    if since < -conf.CLOCK_SLACK:  # by a clock that was ahead
        return False
    if row.state == State.RUNNING:
        return since <= SILENT_AFTER
    return row.state == State.INCOMPLETE and since <= AGAIN_AFTER and _has_gap(row, _IS_SILENT)


def _is_to_be_done_again(row: Comparison, now: datetime) -> bool:
    """Whether its process died, was stopped, or got no answers. Not for ever, where it was not stopped by hand."""
    if row.state == State.STOPPED:
        return True
    unanswered = row.state == State.INCOMPLETE and _has_gap(row, _MAY_BE_ANSWERED_LATER)
    if row.state != State.RUNNING and not unanswered:
        return False
    since = now - row.beat_at
    if row.start_count < MOST_STARTS:
        if since < -conf.CLOCK_SLACK:  # its last sign of life is by a clock that was ahead: no process is at it
            return True
        return since > (AGAIN_AFTER if unanswered else SILENT_AFTER)
    return since > AGAIN_LATER and now.astimezone(UTC).date() - _night_of(row) < GIVEN_UP_AFTER


def _has_gap(row: Comparison, reasons: set[Gap]) -> bool:
    return any(gap["why"] in reasons for gap in row.gaps)


def _again(known: Comparison, now: datetime) -> Comparison | None:
    anew = Comparison(first_day=known.first_day, last_day=known.last_day, started_at=now, beat_at=now)
    columns = [field.name for field in Comparison._meta.fields if field.name not in ("id", "night", "start_count")]
    with durable():
        taken = Comparison.objects.filter(pk=known.pk, beat_at=known.beat_at).update(
            **{name: getattr(anew, name) for name in columns}, start_count=F("start_count") + 1
        )
        if not taken:
            return None
        known.findings.all().delete()  # they are of the start before, and counted anew
    known.refresh_from_db()
    return known


def give_back_future_nights(now: datetime) -> int:
    """Free the turns of nights that are not here yet: a clock that was ahead took them; how many.

    Changes: Comparison. Safe to repeat: yes.
    """
    future = Comparison.objects.filter(night__gt=now.astimezone(UTC).date() + A_DAY)
    return future.update(night=None)
