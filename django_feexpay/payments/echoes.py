"""An attempt's payment in FeexPay's history, found by the id of ours that it bears."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django_feexpay import conf
from django_feexpay.gateway.reports import HistoryRow, Word
from django_feexpay.models import Attempt
from django_feexpay.payments.history import A_DAY, Reader

#: What one search may ask: three days, each by three words, fit.
MOST_QUESTIONS = 14

#: Of several payments with our id the one that was paid counts, else one that still may be.
_WORTH = {Word.SUCCESSFUL: 3, Word.PENDING: 2, Word.UNKNOWN: 1}


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to. complete: nothing of that history is missing, so that absence says something."""

    row: HistoryRow | None
    complete: bool


def search(attempt: Attempt, *, patience_seconds: float, longest_question_seconds: float | None = None) -> Found:
    """Our row in the history of the days on which it can have been made; a search ends early with one that was paid.

    longest_question_seconds: for those who wait for a page themselves. Changes: nothing.
    """
    reader = Reader(
        most_questions=MOST_QUESTIONS,
        patience_seconds=patience_seconds,
        longest_question_seconds=longest_question_seconds,
    )
    last = _last_instant(attempt)
    first = min(attempt.created_at, last)
    days = (first.astimezone(UTC).date() - A_DAY, last.astimezone(UTC).date() + A_DAY)
    found, complete = None, True
    for part in reader.read(*days, provider=attempt.payment.provider.spec):
        complete = complete and part.gap is None
        for row in part.rows:
            if is_of(attempt, row) and (found is None or _worth(row) >= _worth(found)):
                found = row
        if found is not None and found.report.word is Word.SUCCESSFUL:
            break
    return Found(found, complete)


def _last_instant(attempt: Attempt) -> datetime:
    """When FeexPay can have made our payment at the latest: it was asked once, but on a page the payer does it."""
    now = conf.now()
    sent_at = max(attempt.created_at, attempt.sent_at or attempt.created_at)
    if sent_at > now + conf.CLOCK_SLACK:  # by a clock that was ahead: FeexPay's own had the days of just now
        return now
    return max(sent_at, min(attempt.expires_at, now)) if attempt.sought_by_echo else sent_at


def is_of(attempt: Attempt, row: HistoryRow) -> bool:
    """Whether a payment of the history is that of an attempt: a collect echoes our id, a page is known by it."""
    return row.report.reference is not None and str(attempt.pk) in (row.report.echo, row.custom_id)


def _worth(row: HistoryRow) -> int:
    return _WORTH.get(row.report.word, 0)
