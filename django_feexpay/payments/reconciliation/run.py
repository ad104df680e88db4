"""Compare a period with FeexPay's history: what is missing here or there, other amounts, other statuses.

What a difference means for money is found out by asking about the attempt, never read off the history. Nothing is
called missing that a gap of the history could hide.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from django.db.models import Q

from django_feexpay import conf
from django_feexpay.gateway.errors import MisconfiguredError
from django_feexpay.gateway.reports import HistoryRow
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Comparison, Discrepancy
from django_feexpay.payments import leases
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation import discrepancies
from django_feexpay.payments.reconciliation.discrepancies import Difference, Kind
from django_feexpay.payments.reconciliation.history import A_DAY, Gap, Part, Reader, Slice

logger = logging.getLogger("django_feexpay.payments")

State = Comparison.State

#: More than a busy shop's month takes; a bound, so that a history that makes no sense ends, too.
MOST_QUESTIONS = 5000

#: All in all; then the rest is not asked this time.
WAITS_SECONDS = 300

#: Differences that are asked about at once; the attempts of the others are made due, and the worker asks.
MOST_ASKED = 500

_GAPS_KEPT = 100
_BEAT_EVERY = timedelta(seconds=10)

Watcher = Callable[[Discrepancy], None]


def compare(
    comparison: Comparison,
    *,
    source: Source,
    repair: bool = True,
    stop: Callable[[], bool] = lambda: False,
    watch: Watcher = lambda _: None,
) -> Comparison:
    """Hold the attempts sent on the comparison's days against FeexPay's history, and put right what asking can.

    repair: False only reports. stop: asked again and again; True ends it as STOPPED, to be done anew. watch: told each
    difference as it is found. One day's attempts are held at a time, however long the period.
    Changes: Comparison, Discrepancy, Finding; attempts and incidents, by `reconcile` and `second_charges` alone.
    Raises: MisconfiguredError. Safe to repeat: yes.
    """
    return _Run(comparison, source=source, repair=repair, stop=stop, watch=watch).through()


def begin(first_day: date, last_day: date, *, night: date | None = None) -> Comparison:
    """A comparison of those days, both included, not run yet.

    Changes: Comparison. Raises: ValueError for a period that runs backward or is not over; IntegrityError if the night
    has its comparison.
    """
    now = conf.now()
    if first_day > last_day:
        raise ValueError("the first day is after the last")
    if last_day > now.date():
        raise ValueError("the period is not over yet")
    return Comparison.objects.create(first_day=first_day, last_day=last_day, night=night, started_at=now, beat_at=now)


class _Run:
    """One comparison under way."""

    def __init__(
        self, comparison: Comparison, *, source: Source, repair: bool, stop: Callable[[], bool], watch: Watcher
    ) -> None:
        self._row = comparison
        self._source = source
        self._repair = repair
        self._stop = stop
        self._watch = watch
        self._reader = Reader(most_questions=MOST_QUESTIONS, waits_seconds=WAITS_SECONDS, stop=stop)
        self._seen: dict[date, set[UUID]] = defaultdict(set)
        self._seen_unsent: set[UUID] = set()
        self._found: set[str] = set()
        self._gaps: list[Slice] = []
        self._next_day = comparison.first_day
        self._asked = 0

    def through(self) -> Comparison:
        try:
            return self._read_and_judge()
        except MisconfiguredError:
            self._note_gap(Slice(self._next_day, self._row.last_day), Gap.REFUSED)
            self._finish(State.INCOMPLETE)
            raise

    def _read_and_judge(self) -> Comparison:
        row = self._row
        for part in self._reader.read(row.first_day - A_DAY, row.last_day + A_DAY):
            if self._stop():
                break
            # What was sent on a day stands in the history of that day, of the one before or of the one after.
            self._look_for_absent(until=part.slice.start - 2 * A_DAY)
            self._take(part)
        if not self._stop():
            self._look_for_absent(until=row.last_day)
        if self._stop():
            return self._finish(State.STOPPED)
        return self._finish(State.INCOMPLETE if row.gap_count else State.COMPLETE)

    def _take(self, part: Part) -> None:
        if part.gap is not None:
            self._note_gap(part.slice, part.gap)
        self._row.row_count += len(part.rows)
        self._hold_against(part.rows)
        self._beat()

    def _note_gap(self, missing: Slice, why: Gap) -> None:
        self._gaps.append(missing)
        self._row.gap_count += 1
        if len(self._row.gaps) < _GAPS_KEPT:
            self._row.gaps.append(_told(missing, why))

    # --- from their side ------------------------------------------------------------------------------

    def _hold_against(self, rows: tuple[HistoryRow, ...]) -> None:
        attempts = discrepancies.matching(rows)
        found: list[Difference] = []
        for row in rows:
            attempt = attempts.get(row)
            if attempt is not None:
                found += self._differences(attempt, row)
            elif discrepancies.our_id(row) is not None:
                found.append(Difference(Kind.MISSING_HERE, None, row))
            else:
                self._row.foreign_count += 1
        for difference in found:
            self._see_to(difference)

    def _differences(self, attempt: Attempt, row: HistoryRow) -> Iterator[Difference]:
        """What is to be said of an attempt of this period. Those of the days around it are their own comparison's."""
        day = _day_of(attempt)
        if day is not None:
            if not self._row.first_day <= day <= self._row.last_day:
                return
            if attempt.pk not in self._seen[day]:
                self._seen[day].add(attempt.pk)
                self._row.compared_count += 1
        else:
            self._seen_unsent.add(attempt.pk)
        for kind in discrepancies.between(attempt, row):
            yield Difference(kind, attempt, row)

    # --- from our side --------------------------------------------------------------------------------

    def _look_for_absent(self, *, until: date) -> None:
        """Attempts of the days up to `until` that FeexPay gave a reference for, and whose row was not seen."""
        until = min(until, self._row.last_day)
        if until < self._next_day:
            return
        for attempt in _expected_there(self._next_day, until):
            day = _day_of(attempt)
            if day is None or attempt.pk in self._seen[day]:
                continue
            if self._may_hide(attempt, day):
                self._row.unproven_count += 1
            else:
                self._see_to(Difference(Kind.MISSING_THERE, attempt, None))
        self._end_those_gone(self._next_day, until)
        for day in [day for day in self._seen if day <= until]:
            del self._seen[day]
        self._gaps = [gap for gap in self._gaps if gap.end >= until]
        self._next_day = until + A_DAY

    def _end_those_gone(self, first: date, last: date) -> None:
        """End the open differences about attempts of those days that were seen again and agree now.

        All rows that could show them were read by now: each attempt's own day, the one before and the one after. Where
        a gap may hide a row, nothing ends.
        """
        for row in discrepancies.open_about(_midnight(first), _midnight(last + A_DAY)):
            assert row.attempt is not None  # noqa: S101 -- `open_about` asks for it
            if row.identity not in self._found and self._was_seen(row.attempt, last):
                discrepancies.end(row, self._row)

    def _was_seen(self, attempt: Attempt, last: date) -> bool:
        day = _day_of(attempt)
        if day is None:
            return attempt.pk in self._seen_unsent and last == self._row.last_day and not self._row.gap_count
        return attempt.pk in self._seen[day] and not self._may_hide(attempt, day)

    def _may_hide(self, attempt: Attempt, day: date) -> bool:
        spec = attempt.payment.provider.spec
        return any(gap.start - A_DAY <= day <= gap.end + A_DAY and gap.concerns(spec) for gap in self._gaps)

    # --- what is done about it ------------------------------------------------------------------------

    def _see_to(self, difference: Difference) -> None:
        self._found.add(difference.identity)
        row = discrepancies.record(self._row, difference)
        if row.state == Discrepancy.State.CLOSED:
            return
        if self._repair:
            self._ask_about(row, difference)
        discrepancies.keep_finding(self._row, row)
        self._watch(row)
        self._beat()

    def _ask_about(self, row: Discrepancy, difference: Difference) -> None:
        if self._asked >= MOST_ASKED or self._stop():
            if difference.attempt is not None:
                leases.make_due_now(difference.attempt)
            return
        self._asked += difference.attempt is not None
        discrepancies.tell(row, discrepancies.repair(difference, self._source, f"comparison {self._row.pk}"))

    # --- its own row ----------------------------------------------------------------------------------

    def _beat(self) -> None:
        if abs(conf.now() - self._row.beat_at) >= _BEAT_EVERY:
            self._row.beat_at = conf.now()
            self._row.save(update_fields=["beat_at"])

    def _finish(self, state: Comparison.State) -> Comparison:
        row, now = self._row, conf.now()
        row.state, row.beat_at = state, now
        row.finished_at = None if state is State.STOPPED else now
        row.question_count = self._reader.questions
        _count_findings(row)
        row.save()
        _log(row)
        return row


def _count_findings(row: Comparison) -> None:
    """The counts of a comparison are those of its findings: its page shows both."""
    left_open = row.findings.filter(is_open=True)
    row.found_count, row.open_count = row.findings.count(), left_open.count()
    row.settled_count = row.found_count - row.open_count
    row.at_stake_count = left_open.filter(money_at_stake=True).count()


def _expected_there(first: date, last: date) -> Iterator[Attempt]:
    """The attempts sent on those days that FeexPay took on: it gave a reference for them."""
    sent = Q(sent_at__gte=_midnight(first), sent_at__lt=_midnight(last + A_DAY))
    taken_on = Attempt.objects.filter(sent, gateway_reference__isnull=False)
    rows = taken_on.exclude(status__in=[Status.REJECTED, Status.SENDING]).select_related("payment__provider")
    return rows.order_by("sent_at", "pk").iterator(chunk_size=500)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _day_of(attempt: Attempt) -> date | None:
    """The day (UTC) it was sent; None if it never left, and then its row in the history is news on any day."""
    return None if attempt.sent_at is None else attempt.sent_at.astimezone(UTC).date()


def _told(part: Slice, gap: Gap) -> dict[str, str]:
    told = {"from": part.start.isoformat(), "to": part.end.isoformat(), "why": gap.value}
    if part.word is not None:
        told["status"] = part.word.value
    if part.provider is not None:
        told["provider"] = part.provider.code
    if part.the_rest:
        told["provider"] = "the rest"
    return told


def _log(row: Comparison) -> None:
    words = (row.pk, row.first_day, row.last_day, row.state, row.open_count, row.at_stake_count)
    text = "comparison %s of %s to %s: %s, %s differences open, money at stake in %s"
    worth_a_look = logging.WARNING if row.open_count or row.gap_count else logging.INFO
    logger.log(logging.ERROR if row.at_stake_count else worth_a_look, text, *words)
