"""An attempt's payment in FeexPay's history, found by the id of ours that it bears."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django_feexpay import conf
from django_feexpay.gateway.reports import HistoryRow, Word
from django_feexpay.models import Attempt
from django_feexpay.payments.never_arrived import CLOSED_AFTER, may_be_of
from django_feexpay.payments.reconciliation.history import A_DAY, UNHEARD, Part, Reader

#: What one search may ask. Three days fit, each by three words and, for the words that no filter reaches, by the
#: sixteen providers that the filter knows.
MOST_QUESTIONS = 64

#: Of several payments with our id the one that was paid counts, else one that still may be.
_WORTH = {Word.SUCCESSFUL: 3, Word.PENDING: 2, Word.UNKNOWN: 1}


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to.

    complete: nothing of its provider's history is missing, so that absence says something. similar: rows that may be
    the attempt's payment though they do not prove it (`never_arrived.may_be_of`). answered: FeexPay answered at least
    one question.
    """

    row: HistoryRow | None
    complete: bool
    similar: tuple[HistoryRow, ...] = ()
    answered: bool = True


def search(attempt: Attempt, *, timeout_seconds: float, longest_question_seconds: float | None = None) -> Found:
    """Our row in the history of the days on which it can have been made; a search ends early with one that was paid.

    longest_question_seconds: for those who wait for a page themselves. Changes: nothing.
    """
    found, complete, answered = None, True, False
    similar: list[HistoryRow] = []
    # Before that age absence closes nothing.
    is_final = conf.now() - (attempt.sent_at or attempt.created_at) >= CLOSED_AFTER
    for part in _parts(attempt, timeout_seconds, longest_question_seconds, other_words=is_final):
        complete = complete and not (part.gap and part.slice.concerns(attempt.payment.provider.spec))
        answered = answered or part.gap not in UNHEARD
        for row in part.rows:
            if is_of(attempt, row):
                found = row if found is None or _worth(row) >= _worth(found) else found
            elif may_be_of(attempt, row):
                similar.append(row)
        if found is not None and found.report.word is Word.SUCCESSFUL:
            break
    return Found(found, complete, tuple(similar), answered)


def charges(
    attempt: Attempt, *, timeout_seconds: float, longest_question_seconds: float | None = None
) -> tuple[list[HistoryRow], bool]:
    """Every payment of an attempt in that history that was paid, each once, as far as the history was shown; and
    whether FeexPay answered every question.

    Changes: nothing.
    """
    found: dict[str, HistoryRow] = {}
    answered = True
    for part in _parts(attempt, timeout_seconds, longest_question_seconds, other_words=False):
        answered = answered and not (part.gap in UNHEARD and part.slice.concerns(attempt.payment.provider.spec))
        for row in part.rows:
            if row.report.word is Word.SUCCESSFUL and is_of(attempt, row):
                found.setdefault(str(row.report.reference).casefold(), row)
    return list(found.values()), answered


def _parts(
    attempt: Attempt, timeout_seconds: float, longest_question_seconds: float | None, *, other_words: bool
) -> Iterator[Part]:
    """The history of the days on which an attempt's payment can have been made."""
    reader = Reader(
        most_questions=MOST_QUESTIONS,
        timeout_seconds=timeout_seconds,
        longest_question_seconds=longest_question_seconds,
        other_words=other_words,
    )
    last = _last_instant(attempt)
    first = min(attempt.created_at, last)  # by a clock that was ahead it may have been made in the future
    days = (first.astimezone(UTC).date() - A_DAY, last.astimezone(UTC).date() + A_DAY)
    return reader.read(*days, provider=attempt.payment.provider.spec)


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
