"""A payment's life: the statuses of an attempt, the only moves between them, and what the payer is told.

Knows no Django, so that the models, the tests and a reader can all start here.

    CREATED ──► SENDING ──► PENDING ──► SUCCESSFUL      nothing ever leaves SUCCESSFUL
       ▲  │        │  │        ├──────► FAILED ─────┐
       │  │        │  ├► UNKNOWN ─────► EXPIRED ───┼──► REVIEW, SUCCESSFUL (late, only after asking)
       │  ▼        │  ▼                             │
       │ EXPIRED   │ REJECTED ──────────────────────┘
       └───────────┘ back only when the request surely never left
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """Where an attempt stands. A payment carries the same words."""

    CREATED = "created"  # written down, not sent
    SENDING = "sending"  # on its way; past its lease it becomes UNKNOWN, never sent again
    PENDING = "pending"  # the gateway took it on and gave its reference
    UNKNOWN = "unknown"  # it may have been taken on: look for it, never send it again
    SUCCESSFUL = "successful"  # the gateway said so when asked
    FAILED = "failed"  # the gateway said so when asked
    REJECTED = "rejected"  # the gateway refused it at the door: surely not charged
    EXPIRED = "expired"  # ours: we stopped expecting the payer; a late success still counts
    REVIEW = "review"  # ours: the facts disagree, staff must look


class PublicStatus(StrEnum):
    """What the payer is told."""

    PENDING = "pending"
    SUCCESSFUL = "successful"
    FAILED = "failed"


class Detail(StrEnum):
    """Why the payer is told that, in one word."""

    QUEUED = "queued"
    WAITING_FOR_PAYER = "waiting_for_payer"
    OTP_REQUIRED = "otp_required"
    REDIRECT = "redirect"
    CHECKING = "checking"
    UNDER_REVIEW = "under_review"
    CREDITED = "credited"
    REFUSED = "refused"
    DECLINED = "declined"
    EXPIRED = "expired"


ALLOWED: Mapping[Status, frozenset[Status]] = {
    Status.CREATED: frozenset({Status.SENDING, Status.REJECTED, Status.EXPIRED}),
    Status.SENDING: frozenset({Status.PENDING, Status.REJECTED, Status.UNKNOWN, Status.CREATED}),
    Status.UNKNOWN: frozenset({Status.PENDING, Status.SUCCESSFUL, Status.FAILED, Status.EXPIRED, Status.REVIEW}),
    Status.PENDING: frozenset({Status.SUCCESSFUL, Status.FAILED, Status.EXPIRED, Status.REVIEW}),
    Status.EXPIRED: frozenset({Status.FAILED, Status.REVIEW, Status.SUCCESSFUL}),
    Status.FAILED: frozenset({Status.REVIEW, Status.SUCCESSFUL}),
    Status.REJECTED: frozenset({Status.REVIEW, Status.SUCCESSFUL}),
    Status.REVIEW: frozenset({Status.FAILED, Status.SUCCESSFUL}),
    Status.SUCCESSFUL: frozenset(),
}

#: What stands in the way of another payment for the same thing: it is being paid, or is paid.
OPEN_OR_PAID = frozenset(Status) - {Status.FAILED, Status.REJECTED, Status.EXPIRED}

#: An attempt that may still be charged as things stand; at most one a payment (partial unique index).
LIVE = frozenset({Status.CREATED, Status.SENDING, Status.PENDING, Status.UNKNOWN})

#: Why an attempt is EXPIRED though nobody can have been asked: no byte of it left, or it never reached FeexPay.
NEVER_SENT, NEVER_ARRIVED = "never_sent", "never_arrived"
NOBODY_WAS_ASKED = frozenset({NEVER_SENT, NEVER_ARRIVED})

PUBLIC: Mapping[Status, PublicStatus] = {
    Status.CREATED: PublicStatus.PENDING,
    Status.SENDING: PublicStatus.PENDING,
    Status.PENDING: PublicStatus.PENDING,
    Status.UNKNOWN: PublicStatus.PENDING,
    Status.REVIEW: PublicStatus.PENDING,
    Status.SUCCESSFUL: PublicStatus.SUCCESSFUL,
    Status.FAILED: PublicStatus.FAILED,
    Status.REJECTED: PublicStatus.FAILED,
    Status.EXPIRED: PublicStatus.FAILED,
}

_DETAIL: Mapping[Status, Detail] = {
    Status.CREATED: Detail.QUEUED,
    Status.SENDING: Detail.CHECKING,
    Status.PENDING: Detail.WAITING_FOR_PAYER,
    Status.UNKNOWN: Detail.CHECKING,
    Status.REVIEW: Detail.UNDER_REVIEW,
    Status.SUCCESSFUL: Detail.CREDITED,
    Status.FAILED: Detail.DECLINED,
    Status.REJECTED: Detail.REFUSED,
    Status.EXPIRED: Detail.EXPIRED,
}


def may_move(from_status: Status, to_status: Status) -> bool:
    """Whether this move is legal. Staying is not a move."""
    return to_status in ALLOWED[from_status]


def public(status: Status) -> PublicStatus:
    """The payer's word for a status."""
    return PUBLIC[status]


def statuses_of(public_status: PublicStatus) -> tuple[Status, ...]:
    """The statuses a payer's word stands for, in the order of life; for filters."""
    return tuple(status for status in Status if PUBLIC[status] is public_status)


def detail(status: Status, *, otp_required: bool = False, redirect_url: str = "", sought: bool = False) -> Detail:
    """The payer's one-word explanation; while waiting, it says what the payer is to do.

    sought: nobody told us yet which payment of FeexPay's it is.
    """
    if status is Status.PENDING and otp_required:
        return Detail.OTP_REQUIRED
    if status is Status.PENDING and redirect_url:
        return Detail.REDIRECT
    if status is Status.PENDING and sought:
        return Detail.CHECKING
    return _DETAIL[status]
