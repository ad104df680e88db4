"""Find an attempt's payments in FeexPay's history by our id, echoed in each row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django_feexpay import conf
from django_feexpay.catalogue.outcomes import Word
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.gateway.reports import HistoryRow
from django_feexpay.models import Attempt
from django_feexpay.payments.reconciliation.history import A_DAY, UNANSWERED_GAPS, Part, Reader, utc_day
from django_feexpay.payments.report_evaluation import amount_agrees, msisdn_agrees

#: Limit of one search. It is enough for three days, each asked by three words and, for words without a filter, by the
#: sixteen providers that the filter knows.
MOST_QUESTIONS = 64

#: An attempt is not closed earlier than this after its sending: FeexPay may list a payment late.
CLOSED_AFTER = timedelta(hours=24)

#: Of several payments with our id, take a paid one, else one that may still be paid.
_RANK = {Word.SUCCESSFUL: 3, Word.PENDING: 2, Word.UNKNOWN: 1}

_ATTEMPT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
_WIRE_NAMES = frozenset(spec.wire_name.casefold() for spec in CATALOGUE.values() if spec.wire_name)


@dataclass(frozen=True, slots=True)
class Found:
    """The result of one search.

    row: the attempt's payment, if a row shows it. complete: the history of its provider has no gap, so absence means
    something. similar: rows that may be the attempt's payment without proof (`may_belong_to`). answered: FeexPay
    answered at least one question.
    """

    row: HistoryRow | None
    complete: bool
    similar: tuple[HistoryRow, ...] = ()
    answered: bool = True


def search(attempt: Attempt, *, timeout_seconds: float, longest_question_seconds: float | None = None) -> Found:
    """Search the days on which FeexPay can have made the attempt's payment.

    A paid row ends the search. longest_question_seconds: deadline of each question while a person waits for the page.
    Changes: nothing.
    """
    found, complete, answered = None, True, False
    similar: list[HistoryRow] = []
    # Only absence at that age closes an attempt, so only then must every word be read.
    is_final = conf.now() - (attempt.sent_at or attempt.created_at) >= CLOSED_AFTER
    for part in _parts(attempt, timeout_seconds, longest_question_seconds, other_words=is_final):
        complete = complete and not (part.gap and part.slice.concerns(attempt.payment.provider.spec))
        answered = answered or part.gap not in UNANSWERED_GAPS
        for row in part.rows:
            if belongs_to(row, attempt):
                found = row if found is None or _rank(row) >= _rank(found) else found
            elif may_belong_to(row, attempt):
                similar.append(row)
        if found is not None and found.report.word is Word.SUCCESSFUL:
            break
    return Found(found, complete, tuple(similar), answered)


def paid_rows(attempt: Attempt, *, timeout_seconds: float) -> tuple[list[HistoryRow], bool]:
    """Each paid payment of an attempt, once, and whether FeexPay answered everything.

    Changes: nothing.
    """
    found: dict[str, HistoryRow] = {}
    answered = True
    for part in _parts(attempt, timeout_seconds, None, other_words=False):
        unheard = part.gap in UNANSWERED_GAPS and part.slice.concerns(attempt.payment.provider.spec)
        answered = answered and not unheard
        for row in part.rows:
            if row.report.word is Word.SUCCESSFUL and belongs_to(row, attempt):
                found.setdefault(str(row.report.reference).casefold(), row)
    return list(found.values()), answered


def _parts(
    attempt: Attempt, timeout_seconds: float, longest_question_seconds: float | None, *, other_words: bool
) -> Iterator[Part]:
    """Read the days of the attempt's possible payment, and one day on either side."""
    reader = Reader(
        most_questions=MOST_QUESTIONS,
        timeout_seconds=timeout_seconds,
        longest_question_seconds=longest_question_seconds,
        other_words=other_words,
    )
    last = _latest_payment_at(attempt)
    first = min(attempt.created_at, last)  # a clock that was ahead may have written a future time
    return reader.read(utc_day(first) - A_DAY, utc_day(last) + A_DAY, provider=attempt.payment.provider.spec)


def _latest_payment_at(attempt: Attempt) -> datetime:
    """The latest time of the payment: at the sending, or while a payment page is open."""
    now = conf.now()
    sent_at = max(attempt.created_at, attempt.sent_at or attempt.created_at)
    if sent_at > now + conf.CLOCK_SLACK:  # written by a clock that was ahead; FeexPay's clock says about now
        return now
    return max(sent_at, min(attempt.expires_at, now)) if attempt.sought_by_echo else sent_at


def _rank(row: HistoryRow) -> int:
    return _RANK.get(row.report.word, 0)


# --- whose payment a row is ----------------------------------------------------------------------------


def belongs_to(row: HistoryRow, attempt: Attempt) -> bool:
    """Whether a row has a reference and echoes the attempt's id (pages: `custom_id`)."""
    return row.report.reference is not None and str(attempt.pk) in (row.report.echo, row.custom_id)


def may_belong_to(row: HistoryRow, attempt: Attempt) -> bool:
    """Whether a row may be the attempt's payment without proof.

    That is: our id without a reference, or the same provider, msisdn and amount, whatever id it echoes. A fact that
    the row does not give counts as the same.
    """
    if str(attempt.pk) in (row.report.echo, row.custom_id):
        return True
    named = row.provider_wire_name.casefold()
    if named in _WIRE_NAMES and named != attempt.payment.provider.spec.wire_name.casefold():
        return False
    return msisdn_agrees(attempt, row.report) and amount_agrees(attempt, row.report.amount)


def attempt_ids_in(row: HistoryRow) -> list[UUID]:
    """The attempt ids in a row; empty: another system of the shop sent the request."""
    names = (row.report.echo, row.custom_id)
    return [UUID(name) for name in names if name is not None and _ATTEMPT_ID.fullmatch(name)]
