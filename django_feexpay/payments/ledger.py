"""The only writer of a status. One transaction holds the move, its event, the credit and the outbox message.

Each event is the next link of its payment's chain (`payments.audit`), and a credit is bound to its event.

Every status change is a call of `move`. Concurrent callers are safe: one moves, the others get False. Exactly one
credit per payment does not depend on this code: Credit is one-to-one with Payment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Q, QuerySet

from django_feexpay import conf, request_ids
from django_feexpay.lifecycle import PublicStatus, Status, may_move, public
from django_feexpay.models import Attempt, Credit, Incident, OutboxMessage, Payment, PaymentEvent, ReviewProposal
from django_feexpay.payments import change_notices, incidents, leases, move_log
from django_feexpay.payments.audit import chain, older_rows
from django_feexpay.payments.durability import durable

Signal = OutboxMessage.Signal
Source = PaymentEvent.Source


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Who moves an attempt or a payout, and why.

    `actor`: the primary key of a user, or the name of a command; "" for the worker. `evidence` must hold no personal
    data, because it is kept forever.
    """

    source: Source
    because: str
    actor: str = ""
    note: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


def open_payment(payment: Payment, attempt: Attempt, cause: Cause, *, sending: bool) -> None:
    """Write a new payment with its first attempt, both unsaved; SENDING if the caller sends it next, else CREATED.

    Changes: Payment, Attempt, PaymentEvent. Must run inside the caller's transaction, which also writes the
    idempotency record. Safe to repeat: no.
    """
    payment.latest_attempt = attempt  # the foreign key is checked at commit, so no second UPDATE is needed
    payment.status = attempt.status = Status.SENDING if sending else Status.CREATED
    event = _chained_event(payment, attempt, "", cause)
    payment.save(force_insert=True)
    attempt.save(force_insert=True)
    event.save(force_insert=True)
    move_log.attempt_moved(payment, attempt, "", cause.because)
    leases.call_due_listeners()


def open_attempt(payment: Payment, attempt: Attempt, cause: Cause, *, sending: bool) -> None:
    """Write one more, unsaved attempt of a payment that the caller has locked.

    Changes: Attempt, Payment (status, latest attempt), PaymentEvent.
    Raises: IntegrityError when another attempt is live (partial unique index). Safe to repeat: no.
    """
    attempt.status = Status.SENDING if sending else Status.CREATED
    attempt.save(force_insert=True)
    _write_event(payment, attempt, "", cause)
    Payment.objects.filter(pk=payment.pk).update(
        latest_attempt=attempt,
        status=attempt.status,
        updated_at=attempt.created_at,
        settled_at=None,
        event_count=payment.event_count,
        chain_hash=payment.chain_hash,
    )
    change_notices.announce(payment.pk)
    move_log.attempt_moved(payment, attempt, "", cause.because)
    leases.call_due_listeners()


@durable()
def move(
    attempt_id: UUID,
    to_status: Status,
    cause: Cause,
    *,
    changes: Mapping[str, Any] | None = None,
    still: Mapping[str, Any] | None = None,
    credited_amount: int | None = None,
    proposal_id: int | None = None,
) -> Attempt | None:
    """Move an attempt to `to_status` if that is legal from its present status; None if this call did not move it.

    Returns the attempt with its payment, both as this call locked and wrote them. A column for which `changes` has an
    expression holds that expression, as after a `save` in Django.
    `changes`: other columns of the attempt to write (reference, next poll, reason).
    `still`: columns that must have these values, as the caller read them; else nothing is moved.
    `credited_amount`: what FeexPay took, if it differs from what we asked for; the credit or incident has this amount.
    `proposal_id`: the proposal that this move carries out; if it is no longer open, nothing is moved.
    Changes: Attempt, Payment, PaymentEvent; depending on the move also Credit, Incident, OutboxMessage, ReviewProposal.
    Raises: IntegrityError if `changes` has a gateway reference that another attempt has.
    Safe to repeat: yes; the second call finds the move illegal and changes nothing.
    """
    attempt, same_order = _lock(attempt_id, to_status)
    payment, before = attempt.payment, attempt.life_status
    if not may_move(before, to_status):
        return None
    at = conf.now()
    written = {"status": to_status, "updated_at": at, "settled_at": _settled_at(to_status, at), **(changes or {})}
    if proposal_id is not None and not _open_proposals(attempt_id).filter(pk=proposal_id).exists():
        return None
    if not Attempt.objects.filter(pk=attempt_id, status=before).filter(**(still or {})).update(**written):
        return None
    for name, value in written.items():
        setattr(attempt, name, value)
    event = _write_event(payment, attempt, before, cause)
    if before is Status.REVIEW:
        waiting, ended = _open_proposals(attempt_id), {"ended_by": cause.actor, "ended_at": at}
        if proposal_id is not None:
            waiting.filter(pk=proposal_id).update(outcome=ReviewProposal.Outcome.APPROVED, **ended)
        waiting.update(outcome=ReviewProposal.Outcome.NOT_NEEDED, **ended)
    amount = attempt.amount if credited_amount is None else credited_amount
    _update_payment(payment, attempt, event, at, amount)
    paid_before = next((other for other in same_order if _holds_money(other)), None)
    if to_status is Status.SUCCESSFUL and paid_before is not None:
        _report_duplicate(payment, attempt, paid_before, at, amount)
    change_notices.announce(payment.pk)
    move_log.attempt_moved(payment, attempt, before, cause.because)
    return attempt


def _settled_at(status: Status, at: datetime) -> datetime | None:
    """The end time of an attempt or a payment that gets this status now; None if the status is not final."""
    return None if public(status) is PublicStatus.PENDING else at


def _lock(attempt_id: UUID, to_status: Status) -> tuple[Attempt, list[Payment]]:
    """Lock the attempt's payment, and read both; before a credit, lock also the other payments of the same order.

    After an expiry the payer may start another payment for the same order, and FeexPay may take both: then the later
    credit must see the earlier one. Locked in the order of the primary key, so two such moves cannot deadlock.
    """
    if to_status is not Status.SUCCESSFUL:
        return _attempts_to_lock().get(pk=attempt_id), []
    payment = Payment.objects.get(attempts=attempt_id)
    same_order = Q(pk=payment.pk)
    if payment.merchant_reference:
        same_order |= Q(
            user=payment.user_id, pseudonym=payment.pseudonym, merchant_reference=payment.merchant_reference
        )
    locked = Payment.objects.select_for_update(of=("self",)).filter(same_order).order_by("pk")
    rows = {row.pk: row for row in locked}
    attempt = Attempt.objects.get(pk=attempt_id)
    attempt.payment = rows.pop(payment.pk)
    return attempt, list(rows.values())


@cache
def _attempts_to_lock() -> QuerySet[Attempt]:
    """An attempt and its payment, both locked in one statement; built once, which takes a part of each move.

    PostgreSQL locks in the order of `of`: the payment first, as every caller that locks a payment does before it
    writes an attempt. The attempt is locked too because a statement that waits for a lock reads again only the rows
    that it locks: an attempt that is only joined would be as it was before the wait. `no_key`: a webhook that is being
    stored refers to the attempt and does not wait.
    """
    return Attempt.objects.select_related("payment").select_for_update(of=("payment", "self"), no_key=True)


def _holds_money(payment: Payment) -> bool:
    """Whether a payment is paid and staff did not release its order, because the money went back."""
    return payment.status == Status.SUCCESSFUL and payment.released_at is None


def _open_proposals(attempt_id: UUID) -> QuerySet[ReviewProposal]:
    """The open proposal of an attempt, at most one: it is written under the payment's lock, which `move` holds."""
    return ReviewProposal.objects.filter(attempt=attempt_id, outcome=ReviewProposal.Outcome.OPEN)


def _write_event(payment: Payment, attempt: Attempt, before: str, cause: Cause) -> PaymentEvent:
    """Write the next event of a payment that the caller has locked, and saves."""
    if payment.event_count == 0:
        older_rows.begin_chain(payment)
    event = _chained_event(payment, attempt, before, cause)
    event.save(force_insert=True)
    return event


def _chained_event(payment: Payment, attempt: Attempt, before: str, cause: Cause) -> PaymentEvent:
    event = PaymentEvent(
        payment_id=attempt.payment_id,
        attempt=attempt,
        from_status=before,
        to_status=attempt.status,
        because=cause.because,
        source=cause.source,
        actor=cause.actor,
        note=cause.note,
        evidence=dict(cause.evidence),
        request_id=request_ids.current(),
        created_at=attempt.updated_at,
    )
    chain.add_event(payment, event)
    return event


def _update_payment(payment: Payment, attempt: Attempt, event: PaymentEvent, at: datetime, amount: int) -> None:
    """Write the consequences of a move for its payment: the status, the credit of `amount`, the signals."""
    if attempt.life_status is Status.SUCCESSFUL:
        _credit_once(payment, attempt, event, at, amount)
    elif payment.status != Status.SUCCESSFUL:
        was, status = payment.public_status, _status_of_uncredited(payment, attempt)
        if status != payment.status:
            _set_status(payment, status, at, settled_at=_settled_at(status, at))
        if was is PublicStatus.PENDING and payment.public_status is PublicStatus.FAILED:
            _enqueue_signal(payment, Signal.FAILED, at)
    if attempt.life_status is Status.REVIEW:
        _enqueue_signal(payment, Signal.NEEDS_REVIEW, at)
    payment.save(update_fields=["status", "updated_at", "settled_at", "event_count", "chain_hash"])


def _status_of_uncredited(payment: Payment, moved: Attempt) -> Status:
    """The status of the newest attempt, or REVIEW if that one failed and an earlier one is under review.

    Then the payer may have paid by the earlier one: they must not be told that nothing was paid, nor be asked again.
    """
    newest = moved if payment.latest_attempt_id == moved.pk else payment.attempt
    if newest.ordinal == 1 or public(newest.life_status) is not PublicStatus.FAILED:
        return newest.life_status
    is_reviewed = Attempt.objects.filter(payment=payment, status=Status.REVIEW).exists()
    return Status.REVIEW if is_reviewed else newest.life_status


def _credit_once(payment: Payment, attempt: Attempt, event: PaymentEvent, at: datetime, amount: int) -> None:
    if payment.status == Status.SUCCESSFUL:
        _report_duplicate(payment, attempt, payment, at, amount)
        return
    currency = payment.charged_currency
    credit = Credit(payment=payment, attempt=attempt, event=event, amount=amount, currency=currency, created_at=at)
    chain.bind(credit, event)
    credit.save(force_insert=True)
    _set_status(payment, Status.SUCCESSFUL, at, settled_at=at)
    _enqueue_signal(payment, Signal.SUCCEEDED, at)
    if payment.outbox.filter(signal=Signal.FAILED).exists():
        _enqueue_signal(payment, Signal.SUCCEEDED_LATE, at)


def _report_duplicate(payment: Payment, attempt: Attempt, credited: Payment, at: datetime, amount: int) -> None:
    """Open an incident: the payer was charged twice, by two attempts of a payment or by two payments of an order.

    `credited`: the payment that was paid before. `amount`: what the second charge took.
    """
    paid_by = Credit.objects.filter(payment=credited).values_list("attempt__gateway_reference", flat=True).first()
    charge = incidents.Charge(
        reference=attempt.gateway_reference or "",
        amount=amount,
        currency=payment.charged_currency,
        credited_reference=paid_by or "",
    )
    incidents.open_once(Incident.Kind.DUPLICATE_CHARGE, attempt, charge, at)


def _set_status(payment: Payment, status: Status, at: datetime, *, settled_at: datetime | None) -> None:
    payment.status, payment.updated_at, payment.settled_at = status, at, settled_at


def _enqueue_signal(payment: Payment, signal: Signal, at: datetime) -> None:
    OutboxMessage.objects.create(payment=payment, signal=signal, next_delivery_at=at, created_at=at)


def is_reference_conflict(error: IntegrityError) -> bool:
    """Whether a move failed because another attempt already holds that gateway reference."""
    return "gateway_reference" in str(error) or "feexpay_attempt_reference" in str(error)
