"""What FeexPay refuses before it does anything: the request to collect, property by property."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from django_feexpay.sandbox.networks import Network

MIN_AMOUNT = 100
MAX_AMOUNT = 2_000_000

_OPTIONAL_STRINGS = (
    "first_name",
    "last_name",
    "email",
    "callback_info",
    "return_url",
    "cancel_url",
    "otp",
)

Constraints = dict[str, str]


class ValidationFailedError(Exception):
    """The body breaks a rule; `errors` is FeexPay's list of `{property, constraints}`."""

    def __init__(self, errors: list[dict[str, object]]) -> None:
        super().__init__("Validation failed")
        self.errors = errors


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """A request to collect that keeps every rule. `callback_info` is the caller's own text, or None."""

    msisdn: str = field(repr=False)
    amount: int
    shop: str
    description: str
    callback_info: str | None
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    email: str = field(repr=False)


def read_collect(body: dict[str, Any], network: Network) -> CollectRequest:
    """Promise: a valid request or `ValidationFailedError` naming every property that is wrong."""
    found = {
        "phoneNumber": _phone_errors(body.get("phoneNumber"), network),
        "amount": _amount_errors(body.get("amount")),
        "shop": _shop_errors(body.get("shop")),
        "description": _description_errors(body.get("description")),
    }
    for name in _OPTIONAL_STRINGS:
        found[name] = _text_errors(name, body.get(name))
    errors: list[dict[str, object]] = [
        {"property": name, "constraints": constraints} for name, constraints in found.items() if constraints
    ]
    if errors:
        raise ValidationFailedError(errors)
    echo = body.get("callback_info")
    return CollectRequest(
        msisdn=str(body["phoneNumber"]),
        amount=body["amount"],
        shop=body["shop"],
        description=body.get("description") or "",
        callback_info=None if echo is None else _well_formed(echo),
        first_name=_well_formed(body.get("first_name") or ""),
        last_name=_well_formed(body.get("last_name") or ""),
        email=_well_formed(body.get("email") or ""),
    )


def _well_formed(text: str) -> str:
    """A lone surrogate, which JSON lets through and UTF-8 does not, becomes U+FFFD, as in Node."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _phone_errors(value: object, network: Network) -> Constraints:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return {"isNotEmpty": "phoneNumber should not be empty"}
    digits = str(value)
    if not re.fullmatch("[0-9]+", digits):
        return {"matches": "phoneNumber must contain digits only, with the country code"}
    if not digits.startswith(network.calling_code):
        return {"matches": f"phoneNumber must start with {network.calling_code}"}
    national = digits.removeprefix(network.calling_code)
    if len(national) != network.national_digits:
        return {"length": f"phoneNumber must have {network.national_digits} digits after the country code"}
    if not national.startswith(network.national_start):
        return {"matches": f"phoneNumber must continue with {network.national_start}"}
    return {}


def _amount_errors(value: object) -> Constraints:
    # Node cannot tell 500.0 from 500; refusing it here shows a float before the real gateway rounds one.
    if isinstance(value, bool) or not isinstance(value, int):
        return {"isInt": "amount must be an integer number"}
    if value < MIN_AMOUNT:
        return {"min": f"amount must not be less than {MIN_AMOUNT}"}
    if value > MAX_AMOUNT:
        return {"max": f"amount must not be greater than {MAX_AMOUNT}"}
    return {}


def _shop_errors(value: object) -> Constraints:
    return {} if isinstance(value, str) and value else {"isNotEmpty": "shop should not be empty"}


def _description_errors(value: object) -> Constraints:
    if value is None:
        return {}
    if not isinstance(value, str):
        return {"isString": "description must be a string"}
    if not re.fullmatch("[A-Za-z0-9 ]*", value):
        return {"matches": "description must not contain special characters"}
    return {}


def _text_errors(name: str, value: object) -> Constraints:
    if value is None or isinstance(value, str):
        return {}
    return {"isString": f"{name} must be a string"}
