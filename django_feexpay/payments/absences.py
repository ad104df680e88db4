"""What it means that FeexPay's history lacks an attempt: closed where that is proof enough, given to staff where it
cannot be, else looked for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from django.db.models import F

from django_feexpay import conf
from django_feexpay.gateway.reports import HistoryRow, StatusReport, Word
from django_feexpay.lifecycle import NEVER_ARRIVED, Status
from django_feexpay.models import Attempt
from django_feexpay.payments import history_search, leases, ledger, never_arrived
from django_feexpay.payments.ledger import Cause, Source

#: FeexPay's word on an attempt whose payment its history, read whole, does not have. Nothing is settled by it.
NOT_IN_HISTORY = StatusReport(word=Word.MISSING)

#: A refusal in doubt that history could not be asked about for a day is sought for so long more, each hour; then a
#: person decides.
_REFUSED_UNREAD_AFTER = timedelta(hours=30)
_SEEK_REFUSED_EVERY = timedelta(hours=1)

_NO_EVIDENCE: Mapping[str, Any] = MappingProxyType({})

#: Payments like an attempt's that its review names.
_LISTED_AT_MOST = 5


def note_absence(attempt: Attempt, source: Source, found: history_search.Found) -> StatusReport | None:
    """Its payment is not among what we were shown: close it where that is proof enough, else look again later.

    Returns NOT_IN_HISTORY if nothing of the history is missing, else None.
    """
    if contradicting := _contradicting(attempt, found):
        to_review(attempt, source, "payment_like_it_in_history", {"like_it": _listed(contradicting)})
        return NOT_IN_HISTORY if found.complete else None
    if attempt.is_doubtful_refusal and not found.complete:
        seek_refused(attempt, source)
        return None
    ending = _ending_of_unknown if attempt.life_status is Status.UNKNOWN else _ending_of_page
    now = conf.now()
    first_absence_at = attempt.first_empty_search_at or (now if found.complete else None)
    if first_absence_at is not None and first_absence_at > now + conf.CLOCK_SLACK:  # by a clock that was ahead
        first_absence_at = now
    if not ending(attempt, source, found, first_absence_at):
        if attempt.life_status is Status.UNKNOWN:
            leases.schedule(attempt, first_empty_search_at=first_absence_at)
        else:
            poll_later(attempt, over=found.complete and attempt.sent_at is None)
    return NOT_IN_HISTORY if found.complete else None


def _contradicting(attempt: Attempt, found: history_search.Found) -> list[HistoryRow]:
    """Of an attempt that we called not charged without FeexPay's word for it: payments like it in the history that no
    attempt of ours made, and that were or may still be paid.
    """
    closed_by_rule = attempt.life_status is Status.EXPIRED and attempt.reason_code == NEVER_ARRIVED
    if not (attempt.is_doubtful_refusal or closed_by_rule):
        return []
    unclaimed = never_arrived.unclaimed_among(attempt, found.similar)
    return [row for row in unclaimed if row.report.word is not Word.FAILED]


def seek_refused(attempt: Attempt, source: Source) -> None:
    """A refusal in doubt could not be looked for: look again within the hour; unread for too long, a person decides."""
    now = conf.now()
    if now - (attempt.sent_at or attempt.created_at) >= _REFUSED_UNREAD_AFTER:
        to_review(attempt, source, "not_found_in_history")
    else:
        leases.schedule(attempt, no_later_than=now + _SEEK_REFUSED_EVERY)


def _listed(rows: list[HistoryRow]) -> list[dict[str, Any]]:
    """What staff need to find these payments at FeexPay; no personal data."""
    reports = [row.report for row in rows[:_LISTED_AT_MOST]]
    return [{"reference": report.reference, "word": report.word, "amount": report.amount} for report in reports]


def _ending_of_unknown(
    attempt: Attempt, source: Source, found: history_search.Found, first_absence_at: datetime | None
) -> bool:
    """Close an attempt whose answer was lost, or give it to staff, by the rule of `never_arrived`; True if it was."""
    now = conf.now()
    unclaimed = never_arrived.unclaimed_among(attempt, found.similar) if found.complete else []
    ending = never_arrived.ending_of(
        attempt, complete=found.complete, unclaimed=len(unclaimed), first_absence_at=first_absence_at, now=now
    )
    if ending is None:
        return False
    evidence = {
        "complete": found.complete,
        "unclaimed": len(unclaimed),
        "like_it": _listed(unclaimed),
        "sent_at": _written(attempt.sent_at or attempt.created_at),
        "first_absence_at": _written(first_absence_at),
        "last_absence_at": _written(now),
    }
    changes = {
        "first_empty_search_at": first_absence_at,
        "payer_sealed": None,
        "next_poll_at": leases.unless_changed(attempt, leases.next_poll(attempt, ending.to_status)),
        "poll_count": attempt.poll_count + 1,
        "reason_code": ending.because if ending.to_status is Status.EXPIRED else attempt.reason_code,
    }
    cause = Cause(source=source, because=ending.because, evidence=evidence)
    return ledger.move(attempt.pk, ending.to_status, cause, changes=changes)


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _ending_of_page(attempt: Attempt, source: Source, found: history_search.Found, _: datetime | None) -> bool:
    """Nobody paid so far, as far as we were shown. Closed, and nothing of the history missing: we stop expecting the
    payer.
    """
    if attempt.life_status is not Status.PENDING or not attempt.sought_by_echo:
        return False
    now = conf.now()
    if found.complete and now >= attempt.expires_at:
        changes = {
            "payer_sealed": None,
            "next_poll_at": leases.unless_changed(attempt, leases.next_poll(attempt, Status.EXPIRED)),
            "poll_count": attempt.poll_count + 1,
            "reason_code": "expired",
        }
        cause = Cause(source=source, because="page_not_used")
        return ledger.move(attempt.pk, Status.EXPIRED, cause, changes=changes)
    if not found.complete and now - attempt.created_at >= never_arrived.LONGEST_SEARCH:
        to_review(attempt, source, "not_found_in_history")
        return True
    return False


def poll_later(attempt: Attempt, *, over: bool = False) -> None:
    """Count a look that moved nothing. What waits to be sent is due when it is to be sent, and never for a look.

    over: there is nothing left to look for, unless a webhook names it.
    """
    if attempt.life_status is Status.CREATED:
        return
    if over:
        rows = Attempt.objects.filter(pk=attempt.pk, status=attempt.status)
        rows.update(poll_count=F("poll_count") + 1, next_poll_at=leases.unless_changed(attempt, None))
    else:
        leases.schedule(attempt)


def to_review(attempt: Attempt, source: Source, because: str, evidence: Mapping[str, Any] = _NO_EVIDENCE) -> None:
    """Give an attempt to staff; one that is in REVIEW already is only looked at again, later."""
    next_poll_at = leases.next_poll(attempt, Status.REVIEW, polls=attempt.poll_count + 1)
    changes = {"next_poll_at": next_poll_at, "payer_sealed": None}
    cause = Cause(source=source, because=because, evidence=evidence)
    if not ledger.move(attempt.pk, Status.REVIEW, cause, changes=changes):
        poll_later(attempt)
