"""Decide about an attempt that FeexPay's history does not show.

The attempt waits, is closed, or goes to staff. Absence proves that nothing was taken only if two complete readings of
the history, long enough after the sending, show neither the attempt nor an unclaimed payment like it. Everything else
that stays in doubt goes to staff.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django_feexpay import conf
from django_feexpay.catalogue.outcomes import Word, spellings_of
from django_feexpay.gateway.reports import HistoryRow
from django_feexpay.lifecycle import NEVER_ARRIVED, Status
from django_feexpay.models import Attempt
from django_feexpay.payments.history_search import CLOSED_AFTER, Found, attempt_ids_in

#: Two empty searches prove absence only if they are this far apart.
SEARCHES_APART = timedelta(minutes=10)

#: After a day of incomplete readings staff decide, so that the payer does not wait forever.
LONGEST_SEARCH = timedelta(days=1)

#: More time if an earlier reading was complete, so that one missing answer does not cause a review.
_EXTRA_SEARCH = timedelta(hours=6)

#: A doubtful refusal is searched for this long while the history cannot be read; then staff decide.
_REFUSAL_UNREAD_AFTER = timedelta(hours=30)

#: A review names at most this many payments that are like the attempt.
_LISTED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class Decision:
    """The status that a missing attempt moves to, and why. `reason_code` "": the column stays as it is."""

    to_status: Status
    because: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    reason_code: str = ""


_NOT_FOUND = Decision(Status.REVIEW, "not_found_in_history")


def decide(attempt: Attempt, found: Found, now: datetime) -> Decision | None:
    """Decide about an attempt that a search did not find; None: search again later.

    Changes: nothing. It reads our attempts to see which similar payments are claimed.
    """
    if contradicting := _contradicting_rows(attempt, found):
        return Decision(Status.REVIEW, "payment_like_it_in_history", {"like_it": _listed(contradicting)})
    if attempt.is_doubtful_refusal:
        return None if found.complete else decide_unread_refusal(attempt, now)
    if attempt.life_status is Status.UNKNOWN:
        return _decide_unacknowledged(attempt, found, now)
    if attempt.life_status is Status.PENDING and attempt.sought_by_echo:
        if found.complete and now >= attempt.expires_at:
            return Decision(Status.EXPIRED, "page_not_used", reason_code="expired")
        if not found.complete and now - attempt.created_at >= LONGEST_SEARCH:
            return _NOT_FOUND
    return None


def decide_unread_refusal(attempt: Attempt, now: datetime) -> Decision | None:
    """Decide about a doubtful refusal while the history cannot be read completely."""
    unread_for = now - (attempt.sent_at or attempt.created_at)
    return _NOT_FOUND if attempt.is_doubtful_refusal and unread_for >= _REFUSAL_UNREAD_AFTER else None


def first_absence_at(attempt: Attempt, found: Found, now: datetime) -> datetime | None:
    """When a complete history first lacked the attempt; None: no complete one yet."""
    first = attempt.first_empty_search_at or (now if found.complete else None)
    was_ahead = first is not None and first > now + conf.CLOCK_SLACK  # written by a clock that was ahead
    return now if was_ahead else first


def _contradicting_rows(attempt: Attempt, found: Found) -> list[HistoryRow]:
    """Unclaimed payments like an attempt that we closed without FeexPay's status."""
    closed_by_rule = attempt.life_status is Status.EXPIRED and attempt.reason_code == NEVER_ARRIVED
    if not (attempt.is_doubtful_refusal or closed_by_rule):
        return []
    return [row for row in _unclaimed(attempt, found.similar) if row.report.word is not Word.FAILED]


def _decide_unacknowledged(attempt: Attempt, found: Found, now: datetime) -> Decision | None:
    """Decide about an attempt whose answer was lost: here absence can be a proof."""
    sent_at = attempt.sent_at or attempt.created_at
    first = first_absence_at(attempt, found, now)
    unclaimed = _unclaimed(attempt, found.similar) if found.complete else []
    evidence = {
        "complete": found.complete,
        "unclaimed": len(unclaimed),
        "like_it": _listed(unclaimed),
        "sent_at": sent_at.isoformat(),
        "first_absence_at": None if first is None else first.isoformat(),
        "last_absence_at": now.isoformat(),
    }
    if not found.complete:
        longest = LONGEST_SEARCH if first is None else LONGEST_SEARCH + _EXTRA_SEARCH
        return Decision(Status.REVIEW, "not_found_in_history", evidence) if now - sent_at >= longest else None
    if first is None or now - first < SEARCHES_APART:
        return None
    if unclaimed:
        return Decision(Status.REVIEW, "payment_like_it_in_history", evidence)
    if now - sent_at < CLOSED_AFTER:
        return None
    if attempt.deliveries.exists():
        return Decision(Status.REVIEW, "named_by_webhook_only", evidence)
    return Decision(Status.EXPIRED, NEVER_ARRIVED, evidence, reason_code=NEVER_ARRIVED)


def _listed(rows: list[HistoryRow]) -> list[dict[str, Any]]:
    """The data by which staff find these payments at FeexPay; no personal data."""
    reports = [row.report for row in rows[:_LISTED_AT_MOST]]
    return [{"reference": report.reference, "word": report.word, "amount": report.amount} for report in reports]


def _unclaimed(attempt: Attempt, rows: Collection[HistoryRow]) -> list[HistoryRow]:
    """The rows that no other attempt holds by id or reference. Two statements."""
    ids: set[UUID] = {known for row in rows for known in attempt_ids_in(row)}
    spellings = {spelling for row in rows if row.report.reference for spelling in spellings_of(row.report.reference)}
    others = Attempt.objects.exclude(pk=attempt.pk)
    held_ids = set(others.filter(pk__in=ids).values_list("pk", flat=True)) if ids else set()
    held = others.filter(gateway_reference__in=spellings).values_list("gateway_reference", flat=True)
    held_references = {str(reference).casefold() for reference in held} if spellings else set()
    return [
        row
        for row in rows
        if held_ids.isdisjoint(attempt_ids_in(row)) and (row.report.reference or "").casefold() not in held_references
    ]
