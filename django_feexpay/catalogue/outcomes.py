"""FeexPay's status words and reasons as our codes, and the spellings of a reference."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Word(StrEnum):
    """FeexPay's status of an attempt. An unknown word never counts as success or failure."""

    PENDING = "pending"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    UNKNOWN = "unknown"  # a word that is not in our table: keep waiting, tell the operator
    MISSING = "missing"  # FeexPay does not know the reference (yet): 404 NOT_FOUND


#: Reasons of FeexPay and of the operators, with our code for each. Key: upper case, one underscore for each run of
#: other characters than letters and digits.
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED": "low_balance",
        "INSUFFICIENT_BALANCE": "low_balance",
        "BALANCE_IS_INSUFFICIENT": "low_balance",
        "INSUFFICIENT_FUNDS": "low_balance",
        "ERR_INSUFFICIENT_BALANCE": "low_balance",
        "10": "low_balance",
        "PAYER_NOT_FOUND": "payer_not_found",
        "SENDER_ACCOUNT_NOT_ACTIVE": "account_not_active",
        "APPROVAL_REJECTED": "payer_declined",
        "92": "payer_declined",
        "37": "amount_too_low",
        "EXPIRED": "expired",
        "INTERNAL_PROCESSING_ERROR": "operator_error",
        "ERR_TRANSACTION_FAILED": "operator_error",
        "FEEXLINK_EXPIRED": "expired",
        "NETWORK_UNAVAILABLE": "network_unavailable",
        "ERR_NETWORK_UNAVAILABLE": "network_unavailable",
        "ACCESS_DENIED": "provider_not_activated",
        "ERR_INVALID_PHONE_NUMBER": "invalid_phone",
        "ERR_INVALID_AMOUNT": "invalid_amount",
    }
)
UNKNOWN_REASON = "unknown_reason"
#: Every reason code that the payer may be shown.
REASON_CODES: frozenset[str] = frozenset(REASONS.values()) | {
    "invalid_request",
    "otp_rejected",
    "provider_unavailable",
    UNKNOWN_REASON,
}
#: Reason codes of refusals (4xx) that may hide a charge. The payer sees a refusal, and FeexPay is still asked: a payer
#: who was prompted can cause these reasons, and no source shows them for a request that never reached an operator.
DOUBTFUL_REFUSALS: frozenset[str] = frozenset({UNKNOWN_REASON, "operator_error", "payer_declined", "expired"})


def same_reference(left: str, right: str) -> bool:
    """Compare two references without regard to letter case: some providers return UUIDs in upper case."""
    return left.casefold() == right.casefold()


def spellings_of(reference: str) -> set[str]:
    """The letter cases in which FeexPay may write one reference, for a lookup that uses an index."""
    return {reference, reference.lower(), reference.upper()}
