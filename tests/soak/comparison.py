"""Compares the sandbox's payments with the shop's attempts and lists every violation. Pure: rows in, texts out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]

#: Statuses of a payment that was paid, even if it was reversed later. FeexPay may also answer FAILED for a reversal;
#: only an incident distinguishes that from other failures.
_WAS_PAID = ("SUCCESSFUL", "REVERSED", "REFUNDED", "CANCELLED")


@dataclass(frozen=True)
class OurAttempt:
    """One attempt of the shop. `credited`: the amount of its credit, or None. `because`: of its last transition.

    `reference`: of its own charge. `duplicates`, `reversals`: references in incidents of a second charge and of a
    reversal. `open_discrepancies`: references in open discrepancies with money at stake. All in lower case.
    """

    payment: str
    status: str
    because: str
    amount: int
    credited: int | None = None
    reference: str = ""
    duplicates: frozenset[str] = frozenset()
    reversals: frozenset[str] = frozenset()
    open_discrepancies: frozenset[str] = frozenset()


@dataclass
class Verdict:
    """The violations found, one text each. `forgotten`: attempts without an end, signals never delivered, reversals
    without an incident. `other`: every other violation.
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
    """`theirs`: the sandbox's payments. `ours`: by attempt id. `coins`: given by the shop, by payment id."""
    verdict = Verdict()
    by_id: dict[str, list[Row]] = defaultdict(list)
    for row in theirs:
        by_id[attempt_id(row)].append(row)
    for pk, rows in by_id.items():
        verdict.lost += _lost(pk, rows, ours.get(pk))
        verdict.other += _requested_twice(pk, rows)
    for pk, attempt in ours.items():
        verdict.forgotten += _forgotten(pk, attempt, by_id[pk])
        verdict.other += _unjustified(pk, attempt, by_id[pk])
        verdict.other += _false_alarms(pk, attempt, by_id[pk])
    verdict.duplicates += _credited_twice(ours, coins)
    verdict.other += _wrong_coins(ours, coins)
    return verdict


def attempt_id(row: Row) -> str:
    """The attempt of a row: its id is the `callback_info` or, on a hosted page, the `custom_id`."""
    return str(row["echo"] or row["custom_id"] or "")


def _lost(pk: str, rows: Iterable[Row], attempt: OurAttempt | None) -> Iterator[str]:
    """Charges that are neither credited nor reported to staff for a true reason."""
    for row in rows:
        if not row["charged"]:
            continue
        if attempt is None:
            yield f"charge {row['reference']}: its echo {pk or 'is missing'} is no attempt of ours"
        elif not _accounted_for(row, attempt):
            yield f"charge {row['reference']}: attempt {pk} is {attempt.status} ({attempt.because})"


def _accounted_for(row: Row, attempt: OurAttempt) -> bool:
    """Whether a charge is credited, named by an incident or an open discrepancy, or under review."""
    reference = _reference(row)
    if attempt.status == "successful" and attempt.credited is not None and reference == attempt.reference:
        return True
    if reference in attempt.duplicates | attempt.open_discrepancies:
        return True
    is_short = row["paid_amount"] != row["amount"]
    return attempt.status == "review" and attempt.because == "amount_mismatch" and is_short


def _requested_twice(pk: str, rows: Sequence[Row]) -> Iterator[str]:
    """More than one request, prompt or charge per attempt. FeexPay's own second charges do not count."""
    asked = [row for row in rows if not _is_charged_again(row)]
    prompts, charges = sum(row["prompts"] for row in asked), sum(row["charged"] for row in asked)
    if len(asked) > 1 or prompts > 1 or charges > 1:
        yield f"attempt {pk}: {len(asked)} requests, {prompts} prompts, {charges} charges"


def _is_charged_again(row: Row) -> bool:
    """Whether FeexPay made this charge without a request of ours."""
    return row["prompts"] == 0 and row["status"] in _WAS_PAID


def _forgotten(pk: str, attempt: OurAttempt, rows: Sequence[Row]) -> Iterator[str]:
    """Attempts without an end, and reversed credits without an incident."""
    if attempt.status in ("created", "sending", "pending", "unknown"):
        yield f"attempt {pk}: still {attempt.status}"
    for row in _own(attempt, rows):
        if attempt.credited is not None and not row["charged"] and attempt.reference not in attempt.reversals:
            yield f"attempt {pk}: credited, and {row['reference']} is {row['status']} without an incident"


def _unjustified(pk: str, attempt: OurAttempt, rows: Sequence[Row]) -> Iterator[str]:
    """Successes without a charge of exactly their amount, and reviews without a reason."""
    if attempt.status == "successful" and not _is_reversed(attempt, rows):
        paid = [row["paid_amount"] for row in _own(attempt, rows)]
        if paid != [attempt.amount]:
            yield f"attempt {pk}: successful, {attempt.amount} asked for, {paid} paid"
    if attempt.credited is not None and attempt.credited != attempt.amount:
        yield f"attempt {pk}: {attempt.credited} credited, {attempt.amount} asked for"
    if attempt.status == "review" and not _may_be_in_review(attempt, rows):
        yield f"attempt {pk}: in review without a reason ({attempt.because})"


def _false_alarms(pk: str, attempt: OurAttempt, rows: Sequence[Row]) -> Iterator[str]:
    """Incidents and open discrepancies about charges that are in order."""
    charged = {_reference(row) for row in rows if row["charged"]}
    for reference in sorted(attempt.duplicates):
        is_credited = attempt.credited is not None and reference == attempt.reference
        if reference not in charged or is_credited:
            yield f"attempt {pk}: {reference} is called a second charge and is not one"
    for reference in sorted(attempt.reversals & charged):
        yield f"attempt {pk}: {reference} is called reversed and is paid"
    if attempt.credited is not None and attempt.reference in attempt.open_discrepancies & charged:
        yield f"attempt {pk}: {attempt.reference} is an open discrepancy and is credited"


def _own(attempt: OurAttempt, rows: Iterable[Row]) -> list[Row]:
    """The attempt's own charge, at most one row."""
    return [row for row in rows if _reference(row) == attempt.reference]


def _is_reversed(attempt: OurAttempt, rows: Iterable[Row]) -> bool:
    """Whether a credited charge was reversed, which `_forgotten` checks."""
    return attempt.credited is not None and any(not row["charged"] for row in _own(attempt, rows))


def _reference(row: Row) -> str:
    return str(row["reference"]).lower()


def _may_be_in_review(attempt: OurAttempt, rows: Sequence[Row]) -> bool:
    """Whether a review is justified: too little was paid; pending or reversed after a failure; reversed before the
    credit; or never sent, because its process was killed.
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


def _wrong_coins(ours: Mapping[str, OurAttempt], coins: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Payments whose coins do not match their credit, at one coin for ten francs."""
    owed = {attempt.payment: attempt.credited // 10 for attempt in ours.values() if attempt.credited is not None}
    for payment in sorted(owed.keys() | coins.keys()):
        if (given := sum(coins.get(payment, ()))) != owed.get(payment, 0):
            yield f"payment {payment}: {given} coins given, {owed.get(payment, 0)} owed"
