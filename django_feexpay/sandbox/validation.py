"""FeexPay's validation of a request, property by property."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from django_feexpay.sandbox.bodies import ApiError
from django_feexpay.sandbox.networks import Network

MIN_AMOUNT = 100
MAX_AMOUNT = 2_000_000

# Far above any real amount, and still within every column's range.
LARGEST_NUMBER = 1_000_000_000

_DETAILS = ("first_name", "last_name", "email", "return_url", "cancel_url")

Constraints = dict[str, str]


def validation_failed(found: dict[str, Constraints]) -> ApiError:
    """The answer to a body that breaks rules: FeexPay lists `{property, constraints}`."""
    errors = [{"property": name, "constraints": constraints} for name, constraints in found.items() if constraints]
    return ApiError(400, "Validation failed", errors=errors)


def refuse(found: dict[str, Constraints]) -> None:
    """Raise ApiError if any property has errors."""
    if any(found.values()):
        raise validation_failed(found)


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """A valid request to collect. `callback_info`: the caller's own text, or None. `details`: as in `Payment`."""

    msisdn: str = field(repr=False)
    amount: int
    shop: str
    callback_info: str | None
    echo_is_json: bool
    custom_id: str | None
    otp: str = field(repr=False)
    details: dict[str, str] = field(repr=False)


def read_collect(
    body: dict[str, Any], network: Network, *, otp_needed: bool = False, echo_may_be_json: bool = False
) -> CollectRequest:
    """Raises ApiError that names every wrong property."""
    echo, custom_id, description = (body.get(name) for name in ("callback_info", "custom_id", "description"))
    is_plain = re.fullmatch("[A-Za-z0-9 ]*", str(description or ""))
    echo_is_json = echo_may_be_json and isinstance(echo, dict)
    if echo_is_json:
        echo = json.dumps(echo)
    found = {
        "callback_info": text_errors("callback_info", echo),
        "phoneNumber": phone_errors(body.get("phoneNumber"), network),
        "amount": amount_errors(body.get("amount")),
        "shop": shop_errors(body.get("shop")),
        "description": text_errors("description", description)
        or ({} if is_plain else {"matches": "description must not contain special characters"}),
    }
    found |= {name: text_errors(name, body.get(name)) for name in ("custom_id", "otp", *_DETAILS)}
    if otp_needed and not body.get("otp"):
        found["otp"] = {"isNotEmpty": "otp should not be empty"}
    refuse(found)
    return CollectRequest(
        msisdn=str(body["phoneNumber"]),
        amount=body["amount"],
        shop=body["shop"],
        callback_info=None if echo is None else well_formed(str(echo)),
        echo_is_json=echo_is_json,
        custom_id=None if custom_id is None else well_formed(custom_id),
        otp=well_formed(body.get("otp") or ""),
        details={name: well_formed(body.get(name) or "") for name in ("description", *_DETAILS)},
    )


def word_errors(name: str, value: object, words: Collection[str]) -> Constraints:
    return {} if value in words else {"isIn": f"{name} must be one of {', '.join(words)}"}


def whole_errors(name: str, value: object, least: int) -> Constraints:
    if isinstance(value, bool) or not isinstance(value, int):
        return {"isInt": f"{name} must be an integer number"}
    if not least <= value <= LARGEST_NUMBER:
        return {"range": f"{name} must be from {least} to {LARGEST_NUMBER}"}
    return {}


def well_formed(text: str) -> str:
    """Replace lone surrogates, which JSON allows and UTF-8 does not, with U+FFFD, as Node does."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def phone_errors(value: object, network: Network) -> Constraints:
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


def amount_errors(value: object, least: int = MIN_AMOUNT, most: int = MAX_AMOUNT) -> Constraints:
    # Node cannot tell 500.0 from 500. We refuse it, to show the mistake before the real gateway rounds a float.
    if isinstance(value, bool) or not isinstance(value, int):
        return {"isInt": "amount must be an integer number"}
    if value < least:
        return {"min": f"amount must not be less than {least}"}
    if value > most:
        return {"max": f"amount must not be greater than {most}"}
    return {}


def shop_errors(value: object) -> Constraints:
    return {} if isinstance(value, str) and value else {"isNotEmpty": "shop should not be empty"}


def text_errors(name: str, value: object) -> Constraints:
    if value is None or isinstance(value, str):
        return {}
    return {"isString": f"{name} must be a string"}
