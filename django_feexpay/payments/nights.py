"""Once a night the two days before are compared with FeexPay's history, by whichever process is first.

The night's Comparison row is the turn-taking. A process that dies is relieved, and a night on which FeexPay did not
answer is tried again an hour later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from django.db import IntegrityError
from django.db.models import F

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.gateway.errors import MisconfiguredError
from django_feexpay.models import Attempt, Comparison
from django_feexpay.payments.compare import begin, compare
from django_feexpay.payments.durability import durable
from django_feexpay.payments.history import A_DAY, Gap
from django_feexpay.payments.ledger import Source

logger = logging.getLogger("django_feexpay.payments")

State = Comparison.State

#: Yesterday, and the day before once more: some successes and some rows are late.
DAYS = 2

MOST_STARTS = 5
SILENT_AFTER = timedelta(minutes=10)
AGAIN_AFTER = timedelta(hours=1)

_MAY_BE_ANSWERED_LATER = {Gap.UNANSWERED, Gap.NOT_ASKED, Gap.REFUSED}


def compare_night(*, source: Source, stop: Callable[[], bool] = lambda: False) -> Comparison | None:
    """This night's comparison, if it is time for it and nobody has done or does it; else None, after one statement.

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
    """The right to do this night's comparison, for one caller.

    Changes: Comparison. Safe to repeat: yes.
    """
    at = feexpay.compare_at
    if at is None:
        return None
    night = (now.astimezone(UTC) - timedelta(hours=at.hour, minutes=at.minute)).date()
    known = Comparison.objects.filter(night=night).first()
    if known is None:
        return _first(night)
    return _again(known, now) if _is_to_be_done_again(known, now) else None


def _first(night: date) -> Comparison | None:
    """Where nothing was ever sent before that night there is nothing to compare."""
    if not Attempt.objects.filter(sent_at__lt=datetime.combine(night, time.min, UTC)).exists():
        return None
    try:
        with durable():
            return begin(night - DAYS * A_DAY, night - A_DAY, night=night)
    except IntegrityError:  # somebody else was quicker
        return None


def _is_to_be_done_again(known: Comparison, now: datetime) -> bool:
    if known.start_count >= MOST_STARTS:
        return False
    since = now - known.beat_at
    if since < -conf.CLOCK_SLACK:  # its last sign of life is in the future: a clock was ahead, and nobody is at it
        return known.state != State.COMPLETE
    if known.state == State.RUNNING:
        return since > SILENT_AFTER
    if known.state == State.INCOMPLETE:
        return since > AGAIN_AFTER and any(gap["why"] in _MAY_BE_ANSWERED_LATER for gap in known.gaps)
    return known.state == State.STOPPED


def _again(known: Comparison, now: datetime) -> Comparison | None:
    anew = Comparison(first_day=known.first_day, last_day=known.last_day, started_at=now, beat_at=now)
    columns = [field.name for field in Comparison._meta.fields if field.name not in ("id", "night", "start_count")]
    taken = Comparison.objects.filter(pk=known.pk, beat_at=known.beat_at).update(
        **{name: getattr(anew, name) for name in columns}, start_count=F("start_count") + 1
    )
    if not taken:
        return None
    known.refresh_from_db()
    return known


def give_back_future_nights(now: datetime) -> int:
    """Free the turns of nights that are not here yet: a clock that was ahead took them; how many.

    Changes: Comparison. Safe to repeat: yes.
    """
    future = Comparison.objects.filter(night__gt=now.astimezone(UTC).date() + A_DAY)
    return future.update(night=None)
