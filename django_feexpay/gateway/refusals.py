"""Error replies of the gateway: which error each one raises.

The body counts more than the HTTP status: FeexPay uses 200, 201 and 202 alike, and a proxy may send any status.
A reply that names a payment may mean a charge, whatever its status. A 4xx is a refusal only with FeexPay's own JSON
error body. Since a reply shows that the request left, none of them raises NotSentError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from django_feexpay.catalogue.outcomes import UNKNOWN_REASON
from django_feexpay.gateway.errors import GatewayError, MisconfiguredError, OutcomeUnknownError, RefusedError
from django_feexpay.gateway.redaction import safe_words
from django_feexpay.gateway.reports import clean_text, json_object, names_payment, reason_code_from
from django_feexpay.private import PrivateText

#: The code of MisconfiguredError for a refused or unusable API key.
INVALID_KEY = "invalid_api_key"
#: Codes of OutcomeUnknownError for replies that tell why the outcome is unknown.
PAYMENT_NAMED, RATE_LIMITED, IN_MAINTENANCE = "payment_named", "rate_limited", "network_unavailable"

_LONGEST_WAIT_SECONDS = 3600
_UNAUTHORIZED_CODES = {"UNAUTHORIZED", "ERR_INVALID_API_KEY"}
_ADDRESS_CODES = {"IP_NOT_ALLOWED", "ERR_IP_NOT_AUTHORIZED"}
_NETWORK_DOWN_CODES = {"NETWORK_UNAVAILABLE", "ERR_NETWORK_UNAVAILABLE"}
_SHOP_MESSAGES = re.compile(r"shop not found|shop is disabled|shop introuvable|merchant not found", re.IGNORECASE)
_NO_SUCH_PATH = re.compile(r"cannot (post|get) /", re.IGNORECASE)

#: Refusals that sources name by a text or a code, besides those in `outcomes.REASONS`, with our code for each. Any
#: other is `unknown_reason`: the payer sees a refusal, and FeexPay is still asked (`outcomes.DOUBTFUL_REFUSALS`).
_NAMED_REFUSALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"channel not configured", re.IGNORECASE), "provider_not_activated"),
    (re.compile(r"api error", re.IGNORECASE), "operator_error"),  # "Celtiis BJ API Error": also an outage
    (re.compile(r"FEEXLINK_NOT_FOUND|usage limit|link.*not active", re.IGNORECASE), "provider_unavailable"),
)
_INVALID_FIELDS = {"phoneNumber": "invalid_phone", "amount": "invalid_amount", "otp": "otp_rejected"}

#: Documented refusals of a payout, with our codes.
_PAYOUT_REFUSALS = {"ERR_PAYOUT_NOT_ENABLED": "payout_not_enabled", "ERR_INSUFFICIENT_BALANCE": "balance_too_low"}
#: Refusals of any request that surely reached no operator: validation, and a provider that the shop may not use.
_DEFINITE_FOR_A_PAYOUT = {"invalid_request", "invalid_phone", "invalid_amount", "provider_not_activated"}


@dataclass(frozen=True, slots=True)
class _ErrorBody:
    """FeexPay's error body. text: only to recognise the error, never stored."""

    code: str = field(repr=False)
    text: str = field(repr=False)
    fields: tuple[str, ...]


def refusal_of_collect(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Return the error for a reply that does not accept a collect. Never NotSentError."""
    parsed, error, wait = json_object(body), _error_body(body), _retry_after(headers)
    if parsed is not None and names_payment(parsed):
        return OutcomeUnknownError(
            f"replied {status} and named a payment", code=PAYMENT_NAMED, retry_after_seconds=wait
        )
    if status == 429:
        return _rate_limited(wait)
    if status == 503 and error is not None and error.code in _NETWORK_DOWN_CODES:
        return OutcomeUnknownError("the operator is in maintenance", code=IN_MAINTENANCE, retry_after_seconds=wait)
    # A timeout, a conflict, a duplicate or a 5xx does not tell whether the request was processed.
    is_refusal = 400 <= status < 500 and status not in (408, 409)
    if error is None or not is_refusal or error.code == "ERR_DUPLICATE_TRANSACTION":
        return OutcomeUnknownError(f"replied {status} without a usable error body")
    return _misconfiguration(status, error) or RefusedError(
        f"refused with {status}", code=_refusal_code(error), text=safe_words(error.text)
    )


def refusal_of_payout(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Return the error for a reply that does not accept a payout. Never NotSentError.

    RefusedError only for a refusal that sources name: any other reply may hide a payout.
    """
    error = refusal_of_collect(status, headers, body)
    if not isinstance(error, RefusedError):
        return error
    parsed = _error_body(body)
    named = _PAYOUT_REFUSALS.get(parsed.code) if parsed is not None else None
    if named is not None:
        return RefusedError(str(error), code=named, text=error.text)
    if error.code in _DEFINITE_FOR_A_PAYOUT:
        return error
    return OutcomeUnknownError(f"replied {status} with a refusal that no source names")


def failure_of_read(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Return the error for a failed read. Never RefusedError: a failed read says nothing about the payment."""
    if status == 429:
        return _rate_limited(_retry_after(headers))
    error = _error_body(body) if 400 <= status < 500 else None
    problem = _misconfiguration(status, error) if error else None
    return problem or OutcomeUnknownError(f"replied {status} without a result")


def is_not_found(status: int, body: bytes) -> bool:
    """Whether FeexPay says that it does not know the reference, as opposed to the path or the shop."""
    error = _error_body(body)
    if error is None or status not in (200, 404):
        return False
    return error.code == "NOT_FOUND" or error.text.lower().startswith("transaction not found")


def _error_body(body: bytes) -> _ErrorBody | None:
    """Parse the documented error body, with a `message` or a `code`; None for anything else."""
    parsed = json_object(body)
    if parsed is None:
        return None
    messages = parsed.get("message")
    said = PrivateText(" ".join(part for part in _as_list(messages) if isinstance(part, str)))
    text = PrivateText(clean_text(said))
    code = PrivateText(clean_text(parsed.get("code")).upper())
    if not text and not code:
        return None
    errors = [entry for entry in _as_list(parsed.get("errors")) if isinstance(entry, dict)]
    return _ErrorBody(code, text, tuple(name for entry in errors if isinstance(name := entry.get("property"), str)))


def _as_list(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _rate_limited(wait: int | None) -> OutcomeUnknownError:
    return OutcomeUnknownError("FeexPay's rate limit was reached", code=RATE_LIMITED, retry_after_seconds=wait)


def _misconfiguration(status: int, error: _ErrorBody) -> MisconfiguredError | None:
    if status == 401 or error.code in _UNAUTHORIZED_CODES:
        return MisconfiguredError("FeexPay refuses the key", code=INVALID_KEY)
    if error.code in _ADDRESS_CODES:
        return MisconfiguredError("FeexPay does not allow our IP address", code="address_not_allowed")
    if error.code == "ERR_SHOP_NOT_FOUND" or _SHOP_MESSAGES.search(error.text):
        return MisconfiguredError("FeexPay does not know the shop, or it is disabled", code="unknown_shop")
    if _NO_SUCH_PATH.search(error.text):
        return MisconfiguredError("FeexPay has no such path", code="unknown_path")
    if error.code == "FORBIDDEN":
        return MisconfiguredError("FeexPay does not allow this with our key", code="forbidden")
    return None


def _refusal_code(error: _ErrorBody) -> str:
    known = reason_code_from(error.code) or reason_code_from(error.text)
    if known:
        return known
    for pattern, code in _NAMED_REFUSALS:
        if pattern.search(error.text) or pattern.fullmatch(error.code):
            return code
    if error.fields or error.text.lower().startswith("validation failed"):
        named = (_INVALID_FIELDS[name] for name in error.fields if name in _INVALID_FIELDS)
        return next(named, "invalid_request")
    return UNKNOWN_REASON


def _retry_after(headers: Mapping[str, str]) -> int | None:
    text = headers.get("retry-after", "").strip()
    if not re.fullmatch(r"[0-9]{1,6}", text):
        return None
    return min(int(text), _LONGEST_WAIT_SECONDS)
