"""Compare a period with FeexPay's history.

A comparison finds rows that are missing on either side, other amounts and other statuses. The history decides nothing:
each discrepancy is settled by asking FeexPay about the attempt. A row that may be in a gap of the history is never
reported as missing.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from django.db.models import Q

from django_feexpay import conf
from django_feexpay.gateway.errors import MisconfiguredError
from django_feexpay.gateway.reports import HistoryRow
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Comparison, Discrepancy
from django_feexpay.payments import leases
from django_feexpay.payments.history_search import attempt_ids_in
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation import discrepancies
from django_feexpay.payments.reconciliation.discrepancies import Found, Kind
from django_feexpay.payments.reconciliation.history import A_DAY, Gap, Part, Reader, Slice, midnight, utc_day

logger = logging.getLogger("django_feexpay.payments")

State = Comparison.State

#: A month of a busy shop needs fewer. The limit stops a comparison that inconsistent answers would keep running
#: forever.
MAX_QUESTIONS = 5000

#: How long a comparison waits in total while the rate budget is spent.
WAITS_SECONDS = 300

#: A comparison asks about this many attempts itself; it makes the others due, and the worker asks.
MAX_ASKED = 500

_GAPS_KEPT = 100
_HEARTBEAT_EVERY = timedelta(seconds=10)


def compare(
    comparison: Comparison,
    *,
    source: Source,
    repair: bool = True,
    stop: Callable[[], bool] = lambda: False,
    watch: Callable[[Discrepancy], None] = lambda _: None,
) -> Comparison:
    """Compare the attempts of the comparison's days, and ask about each discrepancy.

    repair: False only reports. stop: called often; True ends the comparison as STOPPED, to be started again. watch:
    called with each discrepancy. Memory holds one day's attempts at a time.
    Changes: Comparison, Discrepancy, Finding; attempts and incidents only by `reconcile` and `second_charges`.
    Raises: MisconfiguredError. Safe to repeat: yes.
    """
    return _Run(comparison, source, repair, stop, watch).run()


def begin(first_day: date, last_day: date, *, night: date | None = None) -> Comparison:
    """Create a comparison of those days, both included, without running it.

    Changes: Comparison. Raises: ValueError if the first day is after the last or the period is not over; IntegrityError
    if the night has a comparison already.
    """
    now = conf.now()
    if first_day > last_day:
        raise ValueError("the first day is after the last")
    if last_day > now.date():
        raise ValueError("the period is not over yet")
    return Comparison.objects.create(first_day=first_day, last_day=last_day, night=night, started_at=now, beat_at=now)


@dataclass(eq=False)
class _Run:
    """One running comparison. It holds one day of history at a time."""

    _row: Comparison
    _source: Source
    _repair: bool
    _stop: Callable[[], bool]
    _watch: Callable[[Discrepancy], None]

    def __post_init__(self) -> None:
        self._reader = Reader(max_questions=MAX_QUESTIONS, waits_seconds=WAITS_SECONDS, stop=self._stop)
        self._seen: dict[date, set[UUID]] = defaultdict(set)
        self._seen_unsent: set[UUID] = set()
        self._found: set[str] = set()
        self._gaps: list[Slice] = []
        self._next_day = self._row.first_day
        self._asked = 0

    def run(self) -> Comparison:
        row = self._row
        try:
            for part in self._reader.read(row.first_day - A_DAY, row.last_day + A_DAY):
                if self._stop():
                    break
                # FeexPay may list an attempt one day before or after ours: a day is complete two days later.
                self._finish_days(until=part.slice.start - 2 * A_DAY)
                self._compare_part(part)
        except MisconfiguredError:
            self._note_gap(Slice(self._next_day, row.last_day), Gap.REFUSED)
            self._finish(State.INCOMPLETE)
            raise
        if not self._stop():
            self._finish_days(until=row.last_day)
        if self._stop():
            return self._finish(State.STOPPED)
        return self._finish(State.INCOMPLETE if row.gap_count else State.COMPLETE)

    # --- FeexPay's rows without a match here -----------------------------------------------------------

    def _compare_part(self, part: Part) -> None:
        if part.gap is not None:
            self._note_gap(part.slice, part.gap)
        self._row.row_count += len(part.rows)
        attempts = discrepancies.matching(part.rows)
        found: list[Found] = []
        for row in part.rows:
            attempt = attempts.get(row)
            if attempt is not None:
                found += self._compare_attempt(attempt, row)
            elif attempt_ids_in(row):
                found.append(Found(Kind.MISSING_HERE, None, row))
            else:
                self._row.foreign_count += 1
        for discrepancy in found:
            self._handle(discrepancy)
        self._write_heartbeat()

    def _compare_attempt(self, attempt: Attempt, row: HistoryRow) -> Iterator[Found]:
        """The discrepancies of an attempt; none if it was sent outside this period."""
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
            yield Found(kind, attempt, row)

    def _note_gap(self, missing: Slice, why: Gap) -> None:
        self._gaps.append(missing)
        self._row.gap_count += 1
        if len(self._row.gaps) < _GAPS_KEPT:
            self._row.gaps.append(_gap_columns(missing, why))

    # --- our attempts without a row at FeexPay ---------------------------------------------------------

    def _finish_days(self, *, until: date) -> None:
        """Report acknowledged attempts up to `until` that FeexPay does not list."""
        until = min(until, self._row.last_day)
        if until < self._next_day:
            return
        for attempt in _acknowledged(self._next_day, until):
            day = _day_of(attempt)
            if day is None or attempt.pk in self._seen[day]:
                continue
            if self._may_be_hidden(attempt, day):
                self._row.unproven_count += 1
            else:
                self._handle(Found(Kind.MISSING_THERE, attempt, None))
        self._end_resolved(self._next_day, until)
        for day in [day for day in self._seen if day <= until]:
            del self._seen[day]
        self._gaps = [gap for gap in self._gaps if gap.end >= until]
        self._next_day = until + A_DAY

    def _end_resolved(self, first: date, last: date) -> None:
        """End the discrepancies of those days whose attempt was seen and agrees now.

        All rows that can show these attempts are read by now. Where a gap may hide a row, nothing ends.
        """
        for row in discrepancies.about(midnight(first), midnight(last + A_DAY)):
            assert row.attempt is not None  # noqa: S101 -- `about` selects rows with an attempt
            if row.identity not in self._found and self._was_seen(row.attempt, last):
                discrepancies.end(row, self._row)

    def _was_seen(self, attempt: Attempt, last: date) -> bool:
        day = _day_of(attempt)
        if day is None:
            return attempt.pk in self._seen_unsent and last == self._row.last_day and not self._row.gap_count
        return attempt.pk in self._seen[day] and not self._may_be_hidden(attempt, day)

    def _may_be_hidden(self, attempt: Attempt, day: date) -> bool:
        """Whether a gap in the history may hide the attempt's row."""
        spec = attempt.payment.provider.spec
        return any(gap.start - A_DAY <= day <= gap.end + A_DAY and gap.concerns(spec) for gap in self._gaps)

    # --- record a discrepancy and ask about it ---------------------------------------------------------

    def _handle(self, found: Found) -> None:
        self._found.add(found.identity)
        row = discrepancies.record(self._row, found)
        if row.state == Discrepancy.State.CLOSED:
            return
        if self._repair and self._asked < MAX_ASKED and not self._stop():
            self._asked += found.attempt is not None
            outcome = discrepancies.repair(found, self._source, f"comparison {self._row.pk}")
            discrepancies.record_outcome(row, outcome)
        elif self._repair and found.attempt is not None:
            leases.make_due_now(found.attempt)
        discrepancies.record_finding(self._row, row)
        self._watch(row)
        self._write_heartbeat()

    # --- the Comparison row ----------------------------------------------------------------------------

    def _write_heartbeat(self) -> None:
        if abs(conf.now() - self._row.beat_at) >= _HEARTBEAT_EVERY:
            self._row.beat_at = conf.now()
            self._row.save(update_fields=["beat_at"])

    def _finish(self, state: Comparison.State) -> Comparison:
        row, now = self._row, conf.now()
        row.state, row.beat_at = state, now
        row.finished_at = None if state is State.STOPPED else now
        row.question_count = self._reader.questions
        left_open = row.findings.filter(is_open=True)
        row.found_count, row.open_count = row.findings.count(), left_open.count()
        row.settled_count = row.found_count - row.open_count
        row.at_stake_count = left_open.filter(money_at_stake=True).count()
        row.save()
        level = logging.WARNING if row.open_count or row.gap_count else logging.INFO
        logger.log(
            logging.ERROR if row.at_stake_count else level,
            "comparison %s of %s to %s: %s, %s discrepancies open, money at stake in %s",
            *(row.pk, row.first_day, row.last_day, row.state, row.open_count, row.at_stake_count),
        )
        return row


def _acknowledged(first: date, last: date) -> Iterator[Attempt]:
    """The attempts sent on those days that FeexPay gave a reference for."""
    sent = Q(sent_at__gte=midnight(first), sent_at__lt=midnight(last + A_DAY))
    acknowledged = Attempt.objects.filter(sent, gateway_reference__isnull=False)
    rows = acknowledged.exclude(status__in=[Status.REJECTED, Status.SENDING]).select_related("payment__provider")
    return rows.order_by("sent_at", "pk").iterator(chunk_size=500)


def _day_of(attempt: Attempt) -> date | None:
    """The UTC day on which it was sent; None if it was never sent: then its row counts on any day."""
    return None if attempt.sent_at is None else utc_day(attempt.sent_at)


def _gap_columns(part: Slice, gap: Gap) -> dict[str, str]:
    columns = {"from": part.start.isoformat(), "to": part.end.isoformat(), "why": gap.value}
    if part.word is not None:
        columns["status"] = part.word.value
    if part.provider is not None:
        columns["provider"] = part.provider.code
    if part.unfiltered:
        columns["provider"] = "the rest"
    return columns
