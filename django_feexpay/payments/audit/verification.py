"""Find where a chain breaks. It reads small pages of rows, so tables may have any size, and payments may run meanwhile.

A page is read in one statement, which shows each payment and its events as of one moment.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F, FilteredRelation, Q

from django_feexpay.lifecycle import Status
from django_feexpay.models import Payment, StaffAction, StaffChain
from django_feexpay.payments.audit import chain, older_rows
from django_feexpay.payments.audit.keys import AuditKey, known_keys
from django_feexpay.payments.audit.older_rows import OLDER_ACTIONS

#: Payments, or staff actions, read by one statement.
PAGE = 500

NOT_CHAINED = "not chained: an earlier release wrote it, and feexpay_chain_history was not run, or its hash was removed"
_NOT_OURS = "its hash does not fit: it was changed, moved in the chain, or not written by this application"
_NO_KEY = "AUDIT_KEYS has no key {}: the row cannot be proved"


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """Where a chain breaks. `about`: `payment <id>` or `staff <actor>`. `row`: such as `event 12`, "": the chain."""

    about: str
    row: str
    problem: str

    def __str__(self) -> str:
        return f"{self.about}{', ' if self.row else ''}{self.row}: {self.problem}"


@dataclass(slots=True)
class Checked:
    """What was checked so far. `later`: rows that were chained after they were written, the last of them at `later_at`.

    `later_until`: the end of the last run that chained older rows; a row chained after it is a break.
    """

    payments: int = 0
    events: int = 0
    actions: int = 0
    later: int = 0
    later_at: datetime | None = None
    later_until: datetime | None = None

    def is_too_late(self, at: datetime | None) -> bool:
        """Count a row that was chained later; True if nothing was left to chain at that time."""
        if at is None:
            return False
        self.later += 1
        self.later_at = max(at, self.later_at or at)
        return self.later_until is not None and at > self.later_until


class EventRow(NamedTuple):
    """The columns of an event, with the names of the model."""

    id: int
    payment_id: UUID
    position: int | None
    key_id: str
    hash: str
    attempt_id: UUID
    from_status: str
    to_status: str
    because: str
    source: str
    actor: str
    note: str
    evidence: Any
    request_id: str
    created_at: datetime
    chained_later_at: datetime | None


class PaymentRow(NamedTuple):
    """The columns of a payment that its chain needs."""

    id: UUID
    event_count: int
    chain_hash: str
    amount: int
    currency: str
    charged_amount: int
    charged_currency: str


class CreditRow(NamedTuple):
    """The columns of a payment's credit, all None if it has none."""

    payment_id: UUID | None
    event_id: int | None
    attempt_id: UUID | None
    amount: int | None
    currency: str | None
    created_at: datetime | None
    hash: str | None


class ActionRow(NamedTuple):
    """The columns of a staff action, with the names of the model."""

    id: int
    position: int
    key_id: str
    hash: str
    action: str
    result: str
    actor: str
    actor_name: str
    source: str
    payment_id: UUID | None
    target: str
    reason: str
    detail: Any
    request_id: str
    created_at: datetime
    chained_later_at: datetime | None


_COLUMNS = (
    *PaymentRow._fields,
    *(f"own_credit__{name}" for name in CreditRow._fields),
    *(f"link__{name}" for name in EventRow._fields),
)
_CREDIT, _EVENT = len(PaymentRow._fields), len(PaymentRow._fields) + len(CreditRow._fields)


def begin() -> Checked:
    """Start a verification in which nothing has been checked yet."""
    done = StaffAction.objects.filter(action=StaffAction.Action.CHAIN_HISTORY, result=StaffAction.Result.DONE)
    return Checked(later_until=done.order_by("-created_at").values_list("created_at", flat=True).first())


# --- payments ----------------------------------------------------------------------------------------


def breaks_of_payments(checked: Checked, only: Iterable[UUID] = ()) -> Iterator[ChainBreak]:
    """Yield every break of the chains of these payments, in the order of the primary key; default: of all."""
    keys = known_keys()
    for page in ([pk] for pk in sorted(set(only))) if only else pages_of_payments():
        for payment, credit, events in _read(page[0], page[-1]):
            yield from breaks_of_payment(payment, credit, events, keys, checked)


def breaks_of_one(payment_id: UUID) -> list[ChainBreak]:
    """The breaks of one payment's chain, by one statement. Raises: as `known_keys`."""
    return list(breaks_of_payments(Checked(), [payment_id]))


def pages_of_payments() -> Iterator[list[UUID]]:
    """The primary keys of all payments, in pages of PAGE."""
    rows = Payment.objects.order_by("pk").values_list("pk", flat=True)
    page = list(rows[:PAGE])
    while page:
        yield page
        page = list(rows.filter(pk__gt=page[-1])[:PAGE])


def _read(first: UUID, last: UUID) -> Iterator[tuple[PaymentRow, CreditRow, list[EventRow]]]:
    """Each payment between these two, with its credit and its events, in one statement.

    The range is repeated for each table: PostgreSQL does not infer it, and would read a whole table for each page.
    """
    payments = Payment.objects.filter(pk__range=(first, last)).annotate(
        link=FilteredRelation("events", condition=Q(events__payment__gte=first, events__payment__lte=last)),
        own_credit=FilteredRelation("credit", condition=Q(credit__payment__gte=first, credit__payment__lte=last)),
    )
    rows = payments.order_by("pk", F("link__position").asc(nulls_last=True), "link__id").values_list(*_COLUMNS)
    for _pk, of_one in groupby(rows, key=lambda row: row[0]):
        joined = list(of_one)
        events = [EventRow._make(row[_EVENT:]) for row in joined if row[_EVENT] is not None]
        yield PaymentRow._make(joined[0][:_CREDIT]), CreditRow._make(joined[0][_CREDIT:_EVENT]), events


def breaks_of_payment(
    payment: Any, credit: Any, events: Sequence[Any], keys: Mapping[str, AuditKey], checked: Checked
) -> Iterator[ChainBreak]:
    """Yield the breaks of one chain. `events`: all of the payment's, by position, those without one last.

    The arguments are the models, or rows with the same names; `credit` may be None.
    """
    about = f"payment {payment.id}"
    checked.payments += 1
    checked.events += len(events)
    if payment.event_count == 0 and not any(event.hash for event in events):
        yield ChainBreak(about, "", NOT_CHAINED if events else "it has no event")
        return

    def hash_of(event: Any, key: AuditKey, previous: str) -> str:
        return chain.event_hash(key, event, previous, payment)

    yield from _breaks_of_links(about, "event", events, keys, hash_of, checked)
    chained = [event for event in events if event.position is not None]
    yield from _break_at_the_end(about, "event", chained, payment.event_count, payment.chain_hash)
    yield from _breaks_of_credit(about, credit, events, keys)


def _breaks_of_links(
    about: str, kind: str, rows: Iterable[Any], keys: Mapping[str, AuditKey], hash_of: Any, checked: Checked
) -> Iterator[ChainBreak]:
    """The breaks between the rows of a chain. After a gap, the hash of the next row cannot be proved."""
    place, previous, last_id = 1, "", 0
    for row in rows:
        name = f"{kind} {row.id}"
        if row.position is None or not row.hash:
            yield ChainBreak(about, name, NOT_CHAINED)
            continue
        if row.position > place:
            gone = str(place) if row.position == place + 1 else f"{place} to {row.position - 1}"
            yield ChainBreak(about, "", f"{kind} number {gone} of the chain is missing, before {name}")
        elif (key := keys.get(row.key_id)) is None:
            yield ChainBreak(about, name, _NO_KEY.format(row.key_id))
        elif row.position < place or not hmac.compare_digest(hash_of(row, key, previous), row.hash):
            yield ChainBreak(about, name, _NOT_OURS)
        if row.id < last_id:
            yield ChainBreak(about, name, f"its id is below that of the {kind} before it: ids were changed")
        if checked.is_too_late(row.chained_later_at):
            yield ChainBreak(about, name, "it was chained after the last run of feexpay_chain_history")
        place, previous, last_id = row.position + 1, row.hash, row.id


def _break_at_the_end(about: str, kind: str, rows: Sequence[Any], count: int, end: str) -> Iterator[ChainBreak]:
    """Whether the last row is the one that the end of the chain names."""
    last = rows[-1].position if rows else 0
    if last < count:
        gone = str(count) if last == count - 1 else f"{last + 1} to {count}"
        yield ChainBreak(about, "", f"{kind} number {gone}, the end of the chain, is missing")
    elif last > count:
        yield ChainBreak(about, f"{kind} {rows[-1].id}", f"it is beyond the end of the chain, which counts {count}")
    elif rows and not hmac.compare_digest(rows[-1].hash, end):
        yield ChainBreak(about, "", "the end of the chain names another hash than its last row has")


def _breaks_of_credit(
    about: str, credit: Any, events: Sequence[Any], keys: Mapping[str, AuditKey]
) -> Iterator[ChainBreak]:
    """A payment has a credit if one of its events made it successful; the first of these events proves it."""
    event = next((event for event in events if event.to_status == Status.SUCCESSFUL), None)
    has_credit = credit is not None and credit.payment_id is not None
    if not has_credit:
        if event is not None:
            yield ChainBreak(about, "credit", f"it is missing, although event {event.id} made the payment successful")
        return
    if event is None:
        yield ChainBreak(about, "credit", "no event made the payment successful")
    elif (key := keys.get(event.key_id)) is None:
        return  # the event is reported
    elif credit.event_id != event.id or not hmac.compare_digest(
        chain.credit_hash(key, credit, event.hash), credit.hash
    ):
        yield ChainBreak(about, "credit", _NOT_OURS)


# --- staff actions -----------------------------------------------------------------------------------


def breaks_of_staff_actions(checked: Checked) -> Iterator[ChainBreak]:
    """Yield every break of the chains of staff actions: the one of older rows, then one for each actor."""
    # The ends are read first: an action written meanwhile is beyond the end, which is then read again.
    ends = {end.actor: end for end in StaffChain.objects.all()}
    keys = known_keys()
    for actor in sorted({*ends, *StaffAction.objects.order_by().values_list("actor", flat=True).distinct()}):
        yield from _breaks_of_actor(actor, ends.get(actor), keys, checked)
    if OLDER_ACTIONS not in ends:
        yield from _breaks_of_actor(OLDER_ACTIONS, None, keys, checked)
    for pk in StaffAction.objects.filter(hash="").order_by("id").values_list("pk", flat=True):
        yield ChainBreak("staff", f"action {pk}", NOT_CHAINED)


def _breaks_of_actor(
    actor: str, end: StaffChain | None, keys: Mapping[str, AuditKey], checked: Checked
) -> Iterator[ChainBreak]:
    about = older_rows.name_of_actions(actor)
    seen: list[ActionRow] = []

    def rows() -> Iterator[ActionRow]:
        for row in _actions_of(actor):
            checked.actions += 1
            seen[:] = [row]
            yield row

    def hash_of(action: ActionRow, key: AuditKey, previous: str) -> str:
        return chain.action_hash(key, action, previous)

    yield from _breaks_of_links(about, "action", rows(), keys, hash_of, checked)
    if seen and (end is None or seen[0].position > end.action_count):
        end = StaffChain.objects.filter(pk=actor).first()
        if end is not None and end.action_count > seen[0].position:
            return  # staff went on meanwhile; the links up to here were checked
    yield from _break_at_the_end(about, "action", seen, end.action_count if end else 0, end.chain_hash if end else "")


def _actions_of(actor: str) -> Iterator[ActionRow]:
    """The chained actions of one chain by position, read in pages."""
    rows = older_rows.actions_of(actor).exclude(hash="").order_by("position", "id")
    last = 0
    while page := [
        ActionRow._make(row) for row in rows.filter(position__gt=last).values_list(*ActionRow._fields)[:PAGE]
    ]:
        yield from page
        last = page[-1].position
