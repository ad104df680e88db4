"""FeexPay's history of a period, read as completely as it can be.

One answer holds at most 31 days and 500 rows. Where it is cut, the question is split: into fewer days, then by
FeexPay's word, then by provider. No filter reaches a word such as REVERSED: payments with another word are looked for
provider by provider. What is still cut, or was not answered, is told as a gap: absence from a gap proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

from django_feexpay import conf
from django_feexpay.catalogue.providers import CATALOGUE, ProviderSpec
from django_feexpay.gateway.client import LONGEST_HISTORY_DAYS
from django_feexpay.gateway.errors import GatewayError, MisconfiguredError
from django_feexpay.gateway.reports import HistoryPage, HistoryRow, Word
from django_feexpay.payments.admission import rate_budget

#: What happened on a day of ours may stand on the day before or after at FeexPay: nobody told us its time zone.
A_DAY = timedelta(days=1)

#: A payment that moves on between two questions moves down this list, so it is met at least once.
_WORDS = (Word.PENDING, Word.FAILED, Word.SUCCESSFUL)

#: After so many questions in a row without an answer the rest is not asked.
_SILENCES = 3

#: Less is no deadline that a connection could meet.
_SHORTEST_QUESTION_SECONDS = 0.05


class Gap(StrEnum):
    """Why a part of the history is not complete."""

    CUT = "cut"  # more rows than one answer holds, and the question cannot be split further
    UNREADABLE = "unreadable"  # a row or the total could not be read
    UNCOUNTED = "uncounted"  # split by word or provider, fewer rows came than the whole was said to have
    UNANSWERED = "unanswered"  # FeexPay gave no answer
    REFUSED = "refused"  # FeexPay does not accept our key, our shop or our address
    NOT_ASKED = "not_asked"  # there were no questions, or there was no time, left


#: Gaps behind which there is no answer at all.
UNHEARD = frozenset({Gap.UNANSWERED, Gap.REFUSED, Gap.NOT_ASKED})


@dataclass(frozen=True, slots=True)
class Slice:
    """A question to the history: days, both included, narrowed to a word or a provider where they are given.

    `the_rest`: of the days, what no provider filter reaches.
    """

    start: date
    end: date
    word: Word | None = None
    provider: ProviderSpec | None = None
    the_rest: bool = False

    def pieces(self) -> list[Slice]:
        """The smaller questions that ask the same, in the order of time; none when it cannot be split."""
        if self.end > self.start:
            middle = self.start + (self.end - self.start) // 2
            return [replace(self, end=middle), replace(self, start=middle + A_DAY)]
        if self.word is None:
            return [replace(self, word=word) for word in _WORDS]
        return self.by_provider()

    def by_provider(self) -> list[Slice]:
        """The same question for each provider that the filter knows; none when it is one provider's already."""
        if self.provider is not None:
            return []
        return [replace(self, provider=spec) for spec in CATALOGUE.values() if spec.in_history_filter]

    def concerns(self, provider: ProviderSpec) -> bool:
        """Whether a payment by this provider could be among the answer."""
        if self.the_rest:
            return not provider.in_history_filter
        return self.provider is None or self.provider.code == provider.code


@dataclass(frozen=True, slots=True)
class Part:
    """What came of one question: its rows, and why there may be more of them (None: there are no more)."""

    slice: Slice
    rows: tuple[HistoryRow, ...] = ()
    gap: Gap | None = None


class Reader:
    """Reads periods with a bounded number of questions. One page is held at a time.

    most_questions, timeout_seconds: when they are used up, what is left is a gap. stop: asked before each question;
    True ends the reading as if they were. waits_seconds: so long, all in all, it waits for a turn where FeexPay is
    used to the full, and lets others go first. longest_question_seconds: another deadline of
    each than the usual one. other_words: False spares the questions, sixteen a busy day, about payments whose word is
    none of _WORDS; where there are such payments, that is a gap.
    """

    def __init__(
        self,
        *,
        most_questions: int,
        timeout_seconds: float | None = None,
        waits_seconds: float = 0,
        longest_question_seconds: float | None = None,
        other_words: bool = True,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.questions = 0
        self._most = most_questions
        self._ends_at = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self._longest_question = longest_question_seconds
        self._other_words = other_words
        self._stop = stop
        self._waits = waits_seconds
        self._silences = 0

    def read(self, start: date, end: date, *, provider: ProviderSpec | None = None) -> Iterator[Part]:
        """The history of those days, both included, day after day; every row at least once.

        provider: only this one's, where FeexPay can filter by it. Changes: nothing.
        Raises: MisconfiguredError, as nothing else would be answered either.
        """
        narrowed = provider if provider is not None and provider.in_history_filter else None
        while start <= end:
            last = min(end, start + timedelta(days=LONGEST_HISTORY_DAYS - 1))
            yield from self._read(Slice(start, last, provider=narrowed))
            start = last + A_DAY

    def _read(self, question: Slice) -> Generator[Part, None, int]:
        """The parts of an answer; returns how many payments are accounted for, by a row or by a gap."""
        page = self._ask(question)
        if isinstance(page, Gap):
            yield Part(question, gap=page)
            return 0
        pieces = question.pieces() if page.cut else []
        if not pieces:
            yield Part(question, page.rows, _gap_of(page))
            return page.total
        accounted = 0
        for piece in pieces:
            accounted += yield from self._read(piece)
        missing = _left_out(question, page, accounted)
        if missing is not None and missing.word is None and self._other_words:
            missing = yield from self._read_other_words(missing, page.total - accounted)
        if missing is not None:
            yield Part(missing, gap=Gap.UNCOUNTED)
        return max(accounted, page.total)

    def _read_other_words(self, question: Slice, count: int) -> Generator[Part, None, Slice | None]:
        """The payments of a day whose word is none of _WORDS, of which there are `count`; returns what may hold the
        rest, or None when all were met.
        """
        pieces = question.by_provider()
        found = 0
        for piece in pieces:
            for part in self._read(piece):
                found += sum(row.report.word not in _WORDS for row in part.rows)
                yield part
        if found >= count:
            return None
        return replace(question, the_rest=True) if pieces else question

    def _ask(self, question: Slice) -> HistoryPage | Gap:
        if self._is_over() or not self._has_turn():
            return Gap.NOT_ASKED
        self.questions += 1
        try:
            page = conf.gateway().search_history(
                question.start,
                question.end,
                provider=question.provider,
                word=question.word,
                total_seconds=self._seconds_for_one(),
            )
        except MisconfiguredError:
            raise
        except GatewayError:
            self._silences += 1
            return Gap.UNANSWERED
        self._silences = 0
        return page

    def _has_turn(self) -> bool:
        while wait := rate_budget.wait_seconds(rate_budget.READING):
            self._waits -= wait
            if self._waits < 0 or self._is_over():
                return False
            time.sleep(wait)
        return True

    def _seconds_for_one(self) -> float | None:
        """For those who wait themselves a question ends with their patience; a worker's last one may be answered."""
        if self._longest_question is None or self._ends_at is None:
            return self._longest_question
        return max(_SHORTEST_QUESTION_SECONDS, min(self._longest_question, self._ends_at - time.monotonic()))

    def _is_over(self) -> bool:
        late = self._ends_at is not None and time.monotonic() >= self._ends_at
        return late or self.questions >= self._most or self._silences >= _SILENCES or self._stop()


def _gap_of(page: HistoryPage) -> Gap | None:
    if page.complete:
        return None
    return Gap.CUT if page.cut else Gap.UNREADABLE


def _left_out(question: Slice, page: HistoryPage, accounted: int) -> Slice | None:
    """What the pieces of a cut answer may have left out, or None. Days leave nothing out; words and providers may:
    there are payments with another word, and providers that the filter does not know.
    """
    if question.end > question.start:
        return None
    if question.word is None:
        return question if accounted < page.total else None
    says_how_many = page.total > len(page.rows)
    if says_how_many and accounted >= page.total:
        return None
    return replace(question, the_rest=True)
