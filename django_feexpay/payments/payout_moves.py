"""The only writer of a payout's state. One transaction holds the move, its event, and the record of a paid refund.

Concurrent callers are safe: a move is made under the payment's lock, so one moves and the others get False. A unique
constraint, not this code, ensures that at most one payout of a refund is not failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from django_feexpay import conf
from django_feexpay.models import Payment, Payout, PayoutEvent, PayoutState, Refund
from django_feexpay.payments import move_log, refunds
from django_feexpay.payments.durability import durable
from django_feexpay.payments.ledger import Cause

#: Nothing leaves SUCCESSFUL. A sender that was thought dead may bring FeexPay's answer late. FAILED becomes SUCCESSFUL
#: only while nothing else has paid the refund.
_MOVES: Mapping[PayoutState, frozenset[PayoutState]] = {
    PayoutState.CREATED: frozenset({PayoutState.SENDING, PayoutState.FAILED}),
    PayoutState.SENDING: frozenset({PayoutState.CREATED, PayoutState.PENDING, PayoutState.UNKNOWN, PayoutState.FAILED}),
    PayoutState.PENDING: frozenset({PayoutState.UNKNOWN, PayoutState.SUCCESSFUL, PayoutState.FAILED}),
    PayoutState.UNKNOWN: frozenset({PayoutState.PENDING, PayoutState.SUCCESSFUL, PayoutState.FAILED}),
    PayoutState.FAILED: frozenset({PayoutState.SUCCESSFUL}),
    PayoutState.SUCCESSFUL: frozenset(),
}


@durable()
def move(
    payout_id: UUID,
    to: PayoutState,
    cause: Cause,
    *,
    changes: Mapping[str, Any] | None = None,
    only_from: PayoutState | None = None,
) -> bool:
    """Move a payout to a state and write `changes` of its other columns; False if the move is not possible any more.

    only_from: the state that the payout must still have.
    Changes: Payout, PayoutEvent; when it is paid also Refund and OutboxMessage.
    Raises: IntegrityError if another payout has the reference in `changes`. Safe to repeat: yes.
    """
    Payment.objects.select_for_update(of=("self",)).get(payouts=payout_id)
    return move_locked(payout_id, to, cause, changes=changes, only_from=only_from)


def move_locked(
    payout_id: UUID,
    to: PayoutState,
    cause: Cause,
    *,
    changes: Mapping[str, Any] | None = None,
    only_from: PayoutState | None = None,
) -> bool:
    """Do as `move`, for a caller whose transaction holds the payment's lock."""
    payout = Payout.objects.select_related("refund").get(pk=payout_id)
    if to not in _MOVES[payout.life_state] or only_from not in (None, payout.life_state):
        return False
    if payout.refund.state != Refund.State.APPROVED and to in (PayoutState.SENDING, PayoutState.SUCCESSFUL):
        return False
    if payout.life_state is PayoutState.FAILED and _others(payout):
        return False
    at = conf.now()
    is_over = to in (PayoutState.SUCCESSFUL, PayoutState.FAILED)
    written = {"state": to, "ended_at": at if is_over else None, **(changes or {})}
    if to is PayoutState.SUCCESSFUL:
        written |= {"msisdn_sealed": None, "reason_code": ""}
    if not Payout.objects.filter(pk=payout_id, state=payout.state).update(**written):
        return False
    write_event(payout, payout.state, to, cause, at)
    if to is PayoutState.SUCCESSFUL:
        reference = written.get("gateway_reference") or payout.gateway_reference or ""
        refunds.mark_paid_out(payout.refund_id, reference, at)
    return True


def write_event(payout: Payout, before: str, to: PayoutState, cause: Cause, at: datetime) -> None:
    """Write the event of a move, or of a new payout (`before` is "")."""
    PayoutEvent.objects.create(
        payout=payout,
        from_state=before,
        to_state=to,
        because=cause.because,
        source=cause.source,
        actor=cause.actor,
        note=cause.note,
        facts=dict(cause.evidence),
        created_at=at,
    )
    move_log.payout_moved(payout, before, to, cause.because)


def _others(payout: Payout) -> bool:
    """Whether another payout of the refund may pay it or has paid it."""
    same = Payout.objects.filter(refund=payout.refund_id).exclude(pk=payout.pk)
    return same.exclude(state=PayoutState.FAILED).exists()


def is_reference_conflict(error: IntegrityError) -> bool:
    """Whether a move failed because another payout has that reference."""
    return "gateway_reference" in str(error) or "feexpay_payout_reference" in str(error)
