"""The statuses of an attempt, the only legal moves between them, and the status that the payer sees.

Imports no Django. The drawing shows the usual moves; `ALLOWED` lists all of them.

    CREATED ──► SENDING ──► PENDING ──► SUCCESSFUL      no move leaves SUCCESSFUL
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
    """The status of an attempt. A payment has the status of its newest attempt, with two exceptions.

    It is SUCCESSFUL once it is credited. It is REVIEW while an earlier attempt is under review and the newest failed.
    """

    CREATED = "created"  # stored, not sent
    SENDING = "sending"  # being sent; after its lease it becomes UNKNOWN, never resent
    PENDING = "pending"  # the gateway accepted it and gave its reference
    UNKNOWN = "unknown"  # the gateway may have accepted it: search for it, never resend it
    SUCCESSFUL = "successful"  # reported by the gateway when asked
    FAILED = "failed"  # reported by the gateway when asked
    REJECTED = "rejected"  # the gateway refused the request, or we did not send it
    EXPIRED = "expired"  # decided by us: the payer's time is over; a late success still counts
    REVIEW = "review"  # decided by us: the facts disagree, staff must decide


class PublicStatus(StrEnum):
    """The status that the payer sees."""

    PENDING = "pending"
    SUCCESSFUL = "successful"
    FAILED = "failed"


class Detail(StrEnum):
    """Why the payer sees that status."""

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

#: A payment with one of these is being paid or is paid, so the same thing cannot be paid again.
OPEN_OR_PAID = frozenset(Status) - {Status.FAILED, Status.REJECTED, Status.EXPIRED}

#: An attempt with one of these may still be charged; at most one per payment (partial unique index).
LIVE = frozenset({Status.CREATED, Status.SENDING, Status.PENDING, Status.UNKNOWN})

#: Reasons of an EXPIRED attempt that cannot have prompted its payer: no byte of it left, or it never reached FeexPay.
NEVER_SENT, NEVER_ARRIVED = "never_sent", "never_arrived"
PAYER_WAS_NOT_ASKED = frozenset({NEVER_SENT, NEVER_ARRIVED})

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
    """Whether this move is legal. Keeping the same status is no move."""
    return to_status in ALLOWED[from_status]


def public(status: Status) -> PublicStatus:
    return PUBLIC[status]


def statuses_of(public_status: PublicStatus) -> tuple[Status, ...]:
    """The statuses behind a public status, in their order; for filters."""
    return tuple(status for status in Status if PUBLIC[status] is public_status)


def detail(status: Status, *, otp_required: bool = False, redirect_url: str = "", is_searched: bool = False) -> Detail:
    """Why the payer sees that status, or what the payer must do next.

    is_searched: the attempt is searched for in FeexPay's history by our id.
    """
    if status is Status.PENDING and otp_required:
        return Detail.OTP_REQUIRED
    if status is Status.PENDING and redirect_url:
        return Detail.REDIRECT
    if status is Status.PENDING and is_searched:
        return Detail.CHECKING
    return _DETAIL[status]
