"""Read FeexPay's history of a period as completely as the gateway allows.

One answer holds at most 31 days and 500 rows. When an answer is cut, the reader splits the question: into fewer days,
then by status word, then by provider. No filter reaches a word such as REVERSED, so the reader looks for other words
provider by provider. A part that is still cut or was not answered is a gap: absence from a gap proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from django_feexpay import conf
from django_feexpay.catalogue.outcomes import Word
from django_feexpay.catalogue.providers import CATALOGUE, ProviderSpec
from django_feexpay.gateway.errors import GatewayError, MisconfiguredError
from django_feexpay.gateway.reports import HistoryPage, HistoryRow
from django_feexpay.gateway.request_bodies import LONGEST_HISTORY_DAYS
from django_feexpay.payments.admission import rate_budget

#: FeexPay's time zone is not documented: it may list a payment on our day, the day before or the day after.
A_DAY = timedelta(days=1)

#: Asked in this order, a payment whose status changes between two questions appears in at least one answer.
_WORDS = (Word.PENDING, Word.FAILED, Word.SUCCESSFUL)

#: After this many questions in a row without an answer, the reader stops asking.
_MAX_FAILURES_IN_A_ROW = 3

#: A shorter deadline leaves no time for a connection.
_SHORTEST_QUESTION_SECONDS = 0.05


def utc_day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


class Gap(StrEnum):
    """Why a part of the history is not complete."""

    CUT = "cut"  # more rows than one answer holds, and the question cannot be split further
    UNREADABLE = "unreadable"  # a row or the total could not be read
    UNCOUNTED = "uncounted"  # after a split, the answers together had fewer rows than the total said
    UNANSWERED = "unanswered"  # FeexPay gave no answer
    REFUSED = "refused"  # FeexPay does not accept our key, our shop or our address
    NOT_ASKED = "not_asked"  # no questions or no time left


#: Gaps where no answer came at all.
UNANSWERED_GAPS = frozenset({Gap.UNANSWERED, Gap.REFUSED, Gap.NOT_ASKED})


@dataclass(frozen=True, slots=True)
class Slice:
    """One question to the history: days, both included, and optionally a word or a provider.

    `unfiltered`: only the rows of those days that no provider filter finds.
    """

    start: date
    end: date
    word: Word | None = None
    provider: ProviderSpec | None = None
    unfiltered: bool = False

    def pieces(self) -> list[Slice]:
        """Split the question into smaller ones, oldest first; empty if it cannot be split."""
        if self.end > self.start:
            middle = self.start + (self.end - self.start) // 2
            return [replace(self, end=middle), replace(self, start=middle + A_DAY)]
        if self.word is None:
            return [replace(self, word=word) for word in _WORDS]
        return self.by_provider()

    def by_provider(self) -> list[Slice]:
        """The same question for each provider of the filter; empty if it names one."""
        if self.provider is not None:
            return []
        return [replace(self, provider=spec) for spec in CATALOGUE.values() if spec.in_history_filter]

    def concerns(self, provider: ProviderSpec) -> bool:
        """Whether the answer can hold a payment by this provider."""
        if self.unfiltered:
            return not provider.in_history_filter
        return self.provider is None or self.provider.code == provider.code


@dataclass(frozen=True, slots=True)
class Part:
    """The result of one question: its rows, and why some may be missing (`gap`)."""

    slice: Slice
    rows: tuple[HistoryRow, ...] = ()
    gap: Gap | None = None


@dataclass(kw_only=True, eq=False)
class Reader:
    """Reads periods with a bounded number of questions. It holds one page at a time.

    max_questions, timeout_seconds: when one of them is used up, the rest becomes a gap. stop: called before each
    question; if it returns True, the rest becomes a gap too. waits_seconds: how long in total it may wait while the
    rate budget is spent. longest_question_seconds: deadline of each question, instead of the gateway's usual one.
    other_words: whether to search for payments with other words than _WORDS, which takes sixteen questions on a busy
    day; if False, they are a gap.
    """

    max_questions: int
    timeout_seconds: float | None = None
    waits_seconds: float = 0
    longest_question_seconds: float | None = None
    other_words: bool = True
    stop: Callable[[], bool] = lambda: False
    questions: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._ends_at = None if self.timeout_seconds is None else time.monotonic() + self.timeout_seconds
        self._failures_in_a_row = 0

    def read(self, start: date, end: date, *, provider: ProviderSpec | None = None) -> Iterator[Part]:
        """Read those days, both included, oldest first; each row comes at least once.

        provider: only this provider's rows, if FeexPay can filter by it. Changes: nothing.
        Raises: MisconfiguredError, since no further question would be answered either.
        """
        narrowed = provider if provider is not None and provider.in_history_filter else None
        while start <= end:
            last = min(end, start + timedelta(days=LONGEST_HISTORY_DAYS - 1))
            yield from self._read(Slice(start, last, provider=narrowed))
            start = last + A_DAY

    def _read(self, question: Slice) -> Generator[Part, None, int]:
        """Yield the parts of an answer; return how many payments they account for."""
        page = self._ask(question)
        if isinstance(page, Gap):
            yield Part(question, gap=page)
            return 0
        pieces = question.pieces() if page.cut else []
        if not pieces:
            cause = Gap.CUT if page.cut else Gap.UNREADABLE
            yield Part(question, page.rows, None if page.complete else cause)
            return page.total
        accounted = 0
        for piece in pieces:
            accounted += yield from self._read(piece)
        missing = _unread_part(question, page, accounted)
        if missing is not None and missing.word is None and self.other_words:
            missing = yield from self._read_other_words(missing, page.total - accounted)
        if missing is not None:
            yield Part(missing, gap=Gap.UNCOUNTED)
        return max(accounted, page.total)

    def _read_other_words(self, question: Slice, count: int) -> Generator[Part, None, Slice | None]:
        """Read a day's `count` payments with other words; return the part that may hold the rest."""
        pieces = question.by_provider()
        found = 0
        for piece in pieces:
            for part in self._read(piece):
                found += sum(row.report.word not in _WORDS for row in part.rows)
                yield part
        if found >= count:
            return None
        return replace(question, unfiltered=True) if pieces else question

    def _ask(self, question: Slice) -> HistoryPage | Gap:
        if self._is_over() or not self._wait_for_budget():
            return Gap.NOT_ASKED
        self.questions += 1
        try:
            page = conf.gateway().search_history(
                question.start,
                question.end,
                provider=question.provider,
                word=question.word,
                total_seconds=self._question_seconds(),
            )
        except MisconfiguredError:
            raise
        except GatewayError:
            self._failures_in_a_row += 1
            return Gap.UNANSWERED
        self._failures_in_a_row = 0
        return page

    def _wait_for_budget(self) -> bool:
        while wait := rate_budget.wait_seconds(rate_budget.READING):
            self.waits_seconds -= wait
            if self.waits_seconds < 0 or self._is_over():
                return False
            time.sleep(wait)
        return True

    def _question_seconds(self) -> float | None:
        """The deadline of the next question, within the timeout; None: the gateway's."""
        if self.longest_question_seconds is None or self._ends_at is None:
            return self.longest_question_seconds
        return max(_SHORTEST_QUESTION_SECONDS, min(self.longest_question_seconds, self._ends_at - time.monotonic()))

    def _is_over(self) -> bool:
        late = self._ends_at is not None and time.monotonic() >= self._ends_at
        failing = self._failures_in_a_row >= _MAX_FAILURES_IN_A_ROW
        return late or failing or self.questions >= self.max_questions or self.stop()


def _unread_part(question: Slice, page: HistoryPage, accounted: int) -> Slice | None:
    """The part of a cut answer that its pieces may have missed, or None.

    A split by days misses nothing. A split by words or providers may: payments can have another word or a provider
    that the filter does not know.
    """
    if question.end > question.start:
        return None
    if question.word is None:
        return question if accounted < page.total else None
    says_how_many = page.total > len(page.rows)
    if says_how_many and accounted >= page.total:
        return None
    return replace(question, unfiltered=True)
