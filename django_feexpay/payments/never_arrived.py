"""When an attempt that FeexPay never acknowledged may be closed: its request never arrived, so nothing was taken.

Absence proves something only if FeexPay's history was read whole, long enough after the sending, twice, and holds no
payment that could be ours under another name. Whatever stays in doubt goes to staff.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.gateway.reports import HistoryRow, spellings_of
from django_feexpay.lifecycle import NEVER_ARRIVED, Status
from django_feexpay.models import Attempt

_LIKE_OUR_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WIRE_NAMES = frozenset(spec.wire_name.casefold() for spec in CATALOGUE.values() if spec.wire_name)

#: Two searches that show the same must be this far apart.
APART = timedelta(minutes=10)

#: An attempt is not closed earlier than this after its sending: a row may come late.
CLOSED_AFTER = timedelta(hours=24)

#: A history that cannot be read whole for so long will prove nothing: staff must decide, or the payer waits for ever.
LONGEST_SEARCH = timedelta(days=1)

#: Longer, where it was read whole before: one answer that is missing at the end of the day makes no review.
_GRACE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Ending:
    """Where an attempt that is not in history goes, and why."""

    to_status: Status
    because: str


def ending_of(
    attempt: Attempt, *, complete: bool, unclaimed: int, first_absence_at: datetime | None, now: datetime
) -> Ending | None:
    """What one more search without the attempt's payment means; None: search again later.

    complete: nothing of the history is missing. unclaimed: rows that may be its payment, see `unclaimed_among`.
    first_absence_at: the first complete search that did not show it, None if there was none.
    """
    sent_at = attempt.sent_at or attempt.created_at
    seen_twice = first_absence_at is not None and now - first_absence_at >= APART
    if not complete:
        patience = LONGEST_SEARCH if first_absence_at is None else LONGEST_SEARCH + _GRACE
        return Ending(Status.REVIEW, "not_found_in_history") if now - sent_at >= patience else None
    if not seen_twice:
        return None
    if unclaimed:
        return Ending(Status.REVIEW, "payment_like_it_in_history")
    if now - sent_at < CLOSED_AFTER:
        return None
    if attempt.deliveries.exists():
        return Ending(Status.REVIEW, "named_by_webhook_only")
    return Ending(Status.EXPIRED, NEVER_ARRIVED)


def may_be_of(attempt: Attempt, row: HistoryRow) -> bool:
    """Whether a row may be the attempt's payment though it does not prove it: our id without a reference, or the same
    provider, number and amount, whatever it echoes. What a row does not say counts as the same.
    """
    report = row.report
    if str(attempt.pk) in (report.echo, row.custom_id):
        return True
    named = row.provider_wire_name.casefold()
    if named in _WIRE_NAMES and named != attempt.payment.provider.spec.wire_name.casefold():
        return False
    known = attempt.masked_msisdn
    if known and report.msisdn_ending is not None and not known.endswith(report.msisdn_ending):
        return False
    return report.amount in (None, attempt.amount, attempt.payment.charged_price + attempt.payment.fee)


def unclaimed_among(attempt: Attempt, rows: Collection[HistoryRow]) -> list[HistoryRow]:
    """Those of the rows that no other attempt of ours holds, by its id or its reference. Two statements."""
    ids = {known for row in rows for known in _our_ids(row)}
    spellings = {way for row in rows if row.report.reference for way in spellings_of(row.report.reference)}
    others = Attempt.objects.exclude(pk=attempt.pk)
    held_ids = set(others.filter(pk__in=ids).values_list("pk", flat=True)) if ids else set()
    held = others.filter(gateway_reference__in=spellings).values_list("gateway_reference", flat=True)
    held_references = {str(reference).casefold() for reference in held} if spellings else set()
    return [
        row
        for row in rows
        if not held_ids.intersection(_our_ids(row)) and (row.report.reference or "").casefold() not in held_references
    ]


def _our_ids(row: HistoryRow) -> set[UUID]:
    names = (row.report.echo, row.custom_id)
    return {UUID(name) for name in names if name is not None and _LIKE_OUR_ID.fullmatch(name)}
