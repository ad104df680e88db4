"""FeexPay's book (the sandbox's rows) and ours, and what they say about each other. Pure: rows in, texts out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]

#: Words of a payment whose money was taken, be it that it was given back later. FeexPay may also say FAILED of the
#: latter, which only an incident tells from any other failure.
_WAS_PAID = ("SUCCESSFUL", "REVERSED", "REFUNDED", "CANCELLED")


@dataclass(frozen=True)
class OurAttempt:
    """What we hold of one attempt. `credited`: the amount its credit counts, or None; `because` of its last move.

    reference: of the charge it stands for. duplicates, reversals: the charges that incidents name as charged twice and
    as taken back. differences: the charges that open differences with money at stake name. All in lower case.
    """

    payment: str
    status: str
    because: str
    amount: int
    credited: int | None = None
    reference: str = ""
    duplicates: frozenset[str] = frozenset()
    reversals: frozenset[str] = frozenset()
    differences: frozenset[str] = frozenset()


@dataclass
class Verdict:
    """What the comparison found: texts, one a case. `forgotten`: nobody is told and nobody asks any more, or asks for
    ever; `other`: every other violation.
    """

    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        lost = [f"LOST {text}" for text in self.lost]
        duplicates = [f"DUPLICATE {text}" for text in self.duplicates]
        return lost + duplicates + [f"FORGOTTEN {text}" for text in self.forgotten] + self.other


def compare(theirs: Sequence[Row], ours: Mapping[str, OurAttempt], coins: Mapping[str, Sequence[int]]) -> Verdict:
    """`theirs`: the sandbox's rows; `ours`: by attempt id; `coins`: what the shop gave, by payment id."""
    verdict = Verdict()
    by_id: dict[str, list[Row]] = defaultdict(list)
    for row in theirs:
        by_id[attempt_id(row)].append(row)
    for pk, rows in by_id.items():
        verdict.lost += _lost(pk, rows, ours.get(pk))
        verdict.other += _asked_twice(pk, rows)
    for pk, attempt in ours.items():
        verdict.forgotten += _forgotten(pk, attempt, by_id[pk])
        verdict.other += _unfounded(pk, attempt, by_id[pk])
        verdict.other += _false_alarms(pk, attempt, by_id[pk])
    verdict.duplicates += _credited_twice(ours, coins)
    verdict.other += _coins_astray(ours, coins)
    return verdict


def attempt_id(row: Row) -> str:
    """The attempt a row names: a collect echoes its id, a payment on a page bears it as `custom_id`."""
    return str(row["echo"] or row["custom_id"] or "")


def _lost(pk: str, rows: Iterable[Row], attempt: OurAttempt | None) -> Iterator[str]:
    """Money that was taken: it must be credited, or in front of staff for a reason that is true."""
    for row in rows:
        if not row["charged"]:
            continue
        if attempt is None:
            yield f"charge {row['reference']}: its echo {pk or 'is missing'} is no attempt of ours"
        elif not _accounted_for(row, attempt):
            yield f"charge {row['reference']}: attempt {pk} is {attempt.status} ({attempt.because})"


def _accounted_for(row: Row, attempt: OurAttempt) -> bool:
    """Credited, to be refunded by an incident that names it, under review, or an open difference."""
    reference = _reference(row)
    if attempt.status == "successful" and attempt.credited is not None and reference == attempt.reference:
        return True
    if reference in attempt.duplicates | attempt.differences:
        return True
    is_short = row["paid_amount"] != row["amount"]
    return attempt.status == "review" and attempt.because == "amount_mismatch" and is_short


def _asked_twice(pk: str, rows: Sequence[Row]) -> Iterator[str]:
    """Requests, prompts and charges of ours, which are one each. What FeexPay charged beside them is its own."""
    asked = [row for row in rows if not _is_charged_again(row)]
    prompts, charges = sum(row["prompts"] for row in asked), sum(row["charged"] for row in asked)
    if len(asked) > 1 or prompts > 1 or charges > 1:
        yield f"attempt {pk}: {len(asked)} requests, {prompts} prompts, {charges} charges"


def _is_charged_again(row: Row) -> bool:
    """Whether FeexPay took this money without anybody asking for it."""
    return row["prompts"] == 0 and row["status"] in _WAS_PAID


def _forgotten(pk: str, attempt: OurAttempt, rows: Sequence[Row]) -> Iterator[str]:
    """An end never reached, and a credit whose money was taken back without a word."""
    if attempt.status in ("created", "sending", "pending", "unknown"):
        yield f"attempt {pk}: still {attempt.status}"
    for row in _own(attempt, rows):
        if attempt.credited is not None and not row["charged"] and attempt.reference not in attempt.reversals:
            yield f"attempt {pk}: credited, and {row['reference']} is {row['status']} without an incident"


def _unfounded(pk: str, attempt: OurAttempt, rows: Sequence[Row]) -> Iterator[str]:
    """A success that no charge of just this amount stands behind, a review that nothing explains."""
    if attempt.status == "successful" and not _is_taken_back(attempt, rows):
        paid = [row["paid_amount"] for row in _own(attempt, rows)]
        if paid != [attempt.amount]:
            yield f"attempt {pk}: successful, {attempt.amount} asked for, {paid} paid"
    if attempt.credited is not None and attempt.credited != attempt.amount:
        yield f"attempt {pk}: {attempt.credited} credited, {attempt.amount} asked for"
    if attempt.status == "review" and not _may_be_doubted(attempt, rows):
        yield f"attempt {pk}: in review without a reason ({attempt.because})"


def _false_alarms(pk: str, attempt: OurAttempt, rows: Sequence[Row]) -> Iterator[str]:
    """Incidents and open differences about money that is where it belongs."""
    charged = {_reference(row) for row in rows if row["charged"]}
    for reference in sorted(attempt.duplicates):
        is_credited = attempt.credited is not None and reference == attempt.reference
        if reference not in charged or is_credited:
            yield f"attempt {pk}: {reference} is called a second charge, and is none"
    for reference in sorted(attempt.reversals & charged):
        yield f"attempt {pk}: {reference} is called reversed, and is paid"
    if attempt.credited is not None and attempt.reference in attempt.differences & charged:
        yield f"attempt {pk}: {attempt.reference} is an open difference, and is credited"


def _own(attempt: OurAttempt, rows: Iterable[Row]) -> list[Row]:
    """The charge that an attempt stands for, which is one."""
    return [row for row in rows if _reference(row) == attempt.reference]


def _is_taken_back(attempt: OurAttempt, rows: Iterable[Row]) -> bool:
    """Whether the money of a credit is gone, which `_forgotten` judges."""
    return attempt.credited is not None and any(not row["charged"] for row in _own(attempt, rows))


def _reference(row: Row) -> str:
    return str(row["reference"]).lower()


def _may_be_doubted(attempt: OurAttempt, rows: Sequence[Row]) -> bool:
    """Paid short; pending or taken back after it had failed; taken back before it was credited; or sent by a process
    that died before it left.
    """
    if attempt.because == "amount_mismatch":
        return any(row["charged"] and row["paid_amount"] != attempt.amount for row in rows)
    if attempt.because == "unknown_word":
        return any(row["status"] in _WAS_PAID and not row["charged"] for row in rows)
    if attempt.because == "alive_after_failure":
        return any(row["status"] != "FAILED" and not row["charged"] for row in rows)
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
