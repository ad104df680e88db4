"""The nightly comparisons of the year, and the differences that they found."""

from __future__ import annotations

import random
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django_feexpay.models import Attempt, Comparison, Discrepancy, Finding

_NIGHT = timedelta(hours=26)  # at two o'clock of the next day, in UTC
_TOOK = timedelta(minutes=4)
_ROWS_A_QUESTION = 50
_BATCH = 2000


@dataclass(slots=True)
class Differences:
    """Unsaved differences, each with the day whose comparison found it. Days are UTC, as in `Comparison`."""

    now: datetime
    found: list[tuple[date, Discrepancy]] = field(default_factory=list)
    sent: Counter[date] = field(default_factory=Counter)

    def night_after(self, at: datetime) -> datetime:
        """When the comparison of that day ran."""
        return _midnight(at.astimezone(UTC).date()) + _NIGHT

    def add(
        self,
        attempt: Attempt,
        kind: Discrepancy.Kind,
        *,
        at: datetime,
        their_word: str,
        their_amount: int | None = None,
        reference: str = "",
        at_stake: bool = False,
    ) -> Discrepancy:
        """A difference about this attempt, open for now."""
        payment = attempt.payment
        own = reference or attempt.gateway_reference or ""
        missing = kind is Discrepancy.Kind.MISSING_THERE
        taken = attempt.amount if their_amount is None else their_amount
        difference = Discrepancy(
            kind=kind,
            identity=f"{kind}:{reference or attempt.pk}",
            attempt=attempt,
            payment=payment,
            gateway_reference=own,
            echo="" if missing else str(attempt.pk),
            our_status=attempt.status,
            our_amount=attempt.amount,
            currency=payment.charged_currency,
            their_word=their_word,
            their_amount=None if missing else taken,
            their_date="" if missing else attempt.created_at.isoformat(),
            money_at_stake=at_stake,
            found_at=at,
            outcome=Discrepancy.Outcome.NO_CHANGE,
        )
        self.found.append((attempt.created_at.astimezone(UTC).date(), difference))
        return difference

    def add_foreign(self, at: datetime, amount: int, chance: random.Random) -> None:
        """A row of FeexPay's history that belongs to none of our attempts."""
        reference = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        difference = Discrepancy(
            kind=Discrepancy.Kind.MISSING_HERE,
            identity=f"{Discrepancy.Kind.MISSING_HERE}:{reference}",
            gateway_reference=reference,
            currency="XOF",
            their_word="successful",
            their_amount=amount,
            their_date=at.isoformat(),
            money_at_stake=True,
            found_at=self.night_after(at),
        )
        self.found.append((at.astimezone(UTC).date(), difference))

    def settle(self, difference: Discrepancy, outcome: Discrepancy.Outcome) -> None:
        """FeexPay's answer ended it."""
        difference.state, difference.outcome = Discrepancy.State.SETTLED, outcome
        difference.ended_at = difference.found_at

    def close(self, difference: Discrepancy, at: datetime, note: str) -> None:
        """Staff closed it."""
        difference.state, difference.ended_at, difference.note = Discrepancy.State.CLOSED, at, note

    def write(self) -> None:
        """Write a comparison for each day that is over, with its differences and findings.

        Changes: Comparison, Discrepancy, Finding. Must run inside the caller's transaction. Safe to repeat: no.
        """
        by_day: dict[date, list[Discrepancy]] = defaultdict(list)
        for day, difference in self.found:
            by_day[day].append(difference)
        taken = set(Comparison.objects.filter(night__isnull=False).values_list("night", flat=True))
        days = sorted(day for day in {*self.sent, *by_day} if _midnight(day) + _NIGHT + _TOOK < self.now)
        days = [day for day in days if day + timedelta(days=1) not in taken]
        comparisons = Comparison.objects.bulk_create(
            [self._comparison(day, by_day[day]) for day in days], batch_size=_BATCH
        )
        differences: list[Discrepancy] = []
        for comparison in comparisons:
            for difference in by_day[comparison.first_day]:
                difference.comparison = difference.last_comparison = comparison
                differences.append(difference)
        Discrepancy.objects.bulk_create(differences, batch_size=_BATCH)
        Finding.objects.bulk_create(map(_finding, differences), batch_size=_BATCH)

    def _comparison(self, day: date, found: list[Discrepancy]) -> Comparison:
        started_at = _midnight(day) + _NIGHT
        findings = list(map(_finding, found))
        foreign = sum(1 for row in found if row.attempt_id is None)
        return Comparison(
            first_day=day,
            last_day=day,
            night=day + timedelta(days=1),
            state=Comparison.State.COMPLETE,
            question_count=1 + self.sent[day] // _ROWS_A_QUESTION,
            row_count=self.sent[day] + foreign,
            compared_count=self.sent[day],
            found_count=len(findings),
            settled_count=sum(not row.is_open for row in findings),
            open_count=sum(row.is_open for row in findings),
            at_stake_count=sum(row.is_open and row.money_at_stake for row in findings),
            started_at=started_at,
            beat_at=started_at + _TOOK,
            finished_at=started_at + _TOOK,
        )


def _finding(difference: Discrepancy) -> Finding:
    """As that night's comparison saw it: what staff closed later was open."""
    fields: dict[str, Any] = (
        {}
        if difference.pk is None
        else {
            "comparison": difference.comparison,
            "difference": difference,
        }
    )
    is_open = difference.state != Discrepancy.State.SETTLED
    return Finding(**fields, is_open=is_open, money_at_stake=difference.money_at_stake)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
