"""FeexPay's book (the sandbox's rows) and ours, and what they say about each other. Pure: rows in, texts out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class OurAttempt:
    """What we hold of one attempt. `credited`: the amount its credit counts, or None; `because` of its last move."""

    payment: str
    status: str
    because: str
    amount: int
    credited: int | None = None
    refund_opened: bool = False


@dataclass
class Verdict:
    """What the comparison found. `lost`, `duplicates`: texts, one a case; `other`: every other violation."""

    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        lost = [f"LOST {text}" for text in self.lost]
        return lost + [f"DUPLICATE {text}" for text in self.duplicates] + self.other


def compare(theirs: Sequence[Row], ours: Mapping[str, OurAttempt], coins: Mapping[str, Sequence[int]]) -> Verdict:
    """`theirs`: the sandbox's rows; `ours`: by attempt id; `coins`: what the shop gave, by payment id."""
    verdict = Verdict()
    by_echo: dict[str, list[Row]] = defaultdict(list)
    for row in theirs:
        by_echo[row["echo"] or ""].append(row)
    for echo, rows in by_echo.items():
        verdict.lost += _lost(echo, rows, ours.get(echo))
        verdict.other += _asked_twice(echo, rows)
    for pk, attempt in ours.items():
        verdict.other += _unfounded(pk, attempt, by_echo[pk])
    verdict.duplicates += _credited_twice(ours, coins)
    verdict.other += _coins_astray(ours, coins)
    return verdict


def _lost(echo: str, rows: Iterable[Row], attempt: OurAttempt | None) -> Iterator[str]:
    """Money that was taken: it must be credited, to be refunded, or under review for a reason that is true."""
    for row in rows:
        if not row["charged"]:
            continue
        if attempt is None:
            yield f"charge {row['reference']}: its echo {echo or 'is missing'} is no attempt of ours"
        elif not _accounted_for(row, attempt):
            yield f"charge {row['reference']}: attempt {echo} is {attempt.status} ({attempt.because})"


def _accounted_for(row: Row, attempt: OurAttempt) -> bool:
    if attempt.status == "successful":
        return attempt.credited is not None or attempt.refund_opened
    is_short = row["paid_amount"] != row["amount"]
    return attempt.status == "review" and attempt.because == "amount_mismatch" and is_short


def _asked_twice(echo: str, rows: Sequence[Row]) -> Iterator[str]:
    prompts, charges = sum(row["prompts"] for row in rows), sum(row["charged"] for row in rows)
    if len(rows) > 1 or prompts > 1 or charges > 1:
        yield f"attempt {echo}: {len(rows)} requests, {prompts} prompts, {charges} charges"


def _unfounded(pk: str, attempt: OurAttempt, rows: Sequence[Row]) -> Iterator[str]:
    """A success that no charge of just this amount stands behind, a review nobody can explain, an end never reached."""
    paid = [row["paid_amount"] for row in rows if row["charged"]]
    if attempt.status == "successful" and paid != [attempt.amount]:
        yield f"attempt {pk}: successful, {attempt.amount} asked for, {paid} paid"
    if attempt.credited is not None and attempt.credited != attempt.amount:
        yield f"attempt {pk}: {attempt.credited} credited, {attempt.amount} asked for"
    if attempt.status in ("created", "sending", "pending", "unknown"):
        yield f"attempt {pk}: still {attempt.status}"
    if attempt.status == "review" and not _may_be_doubted(attempt, rows):
        yield f"attempt {pk}: in review without a reason ({attempt.because})"


def _may_be_doubted(attempt: OurAttempt, rows: Sequence[Row]) -> bool:
    """Paid short, or sent by somebody who died before it left."""
    if attempt.because == "amount_mismatch":
        return any(row["charged"] and row["paid_amount"] != attempt.amount for row in rows)
    return attempt.because == "not_found_in_history" and not rows


def _credited_twice(ours: Mapping[str, OurAttempt], coins: Mapping[str, Sequence[int]]) -> Iterator[str]:
    credits_ = Counter(attempt.payment for attempt in ours.values() if attempt.credited is not None)
    for payment, count in credits_.items():
        if count > 1:
            yield f"payment {payment}: {count} credits"
    for payment, entries in coins.items():
        if len(entries) > 1:
            yield f"payment {payment}: coins given {len(entries)} times"


def _coins_astray(ours: Mapping[str, OurAttempt], coins: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """The shop gives a coin for ten francs."""
    owed = {attempt.payment: attempt.credited // 10 for attempt in ours.values() if attempt.credited is not None}
    for payment in sorted(owed.keys() | coins.keys()):
        if (given := sum(coins.get(payment, ()))) != owed.get(payment, 0):
            yield f"payment {payment}: {given} coins given, {owed.get(payment, 0)} owed"
