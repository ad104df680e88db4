"""Request bodies for FeexPay: collect, payment page, payout and history."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date

from django_feexpay.catalogue.money import strict_amount
from django_feexpay.catalogue.outcomes import Word
from django_feexpay.catalogue.payout_routes import PayoutRoute
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.catalogue.provider_spec import ProviderSpec
from django_feexpay.private import PrivateDict, PrivateText

LONGEST_HISTORY_DAYS = 31
_LONGEST_DESCRIPTION = 100
_LONGEST_MOTIVE = 30
_HISTORY_WORDS = {None: "ALL", Word.PENDING: "PENDING", Word.SUCCESSFUL: "SUCCESSFUL", Word.FAILED: "FAILED"}


@dataclass(frozen=True, kw_only=True)
class CollectRequest:
    """A request to charge the payer. amount: minor unit, > 0. attempt_id: our id, returned in every report.

    `repr` shows neither the payer nor the one-time code.
    """

    provider: ProviderSpec = field(repr=False)
    msisdn: Msisdn
    amount: int
    attempt_id: str
    description: str = field(default="", repr=False)
    otp: str = field(default="", repr=False)
    return_url: str = field(default="", repr=False)
    cancel_url: str = field(default="", repr=False)
    first_name: str = field(default="", repr=False)
    last_name: str = field(default="", repr=False)
    email: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in ("description", "otp", "first_name", "last_name", "email"):
            object.__setattr__(self, name, PrivateText(getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """A request for a payment page of FeexPay. amount: minor unit, > 0. minutes: lifetime of the page, > 0.

    attempt_id: our id, which FeexPay returns in the history. return_url, cancel_url: where the browser goes afterwards.
    """

    provider: ProviderSpec = field(repr=False)
    amount: int
    attempt_id: str
    minutes: int
    description: str = field(default="", repr=False)
    return_url: str = field(default="", repr=False)
    cancel_url: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "description", PrivateText(self.description))


@dataclass(frozen=True, kw_only=True)
class PayoutRequest:
    """A request to pay money out of the shop's balance. amount: minor unit, > 0.

    payout_id: our id, returned in every report. motive: FeexPay wants one; it is reduced to what FeexPay takes.
    """

    route: PayoutRoute = field(repr=False)
    msisdn: Msisdn
    amount: int
    payout_id: str
    motive: str


def reduced_description(text: str, limit: int = _LONGEST_DESCRIPTION) -> str:
    """Reduce a text to the form that FeexPay takes: at most `limit` unaccented letters, digits and single spaces."""
    decomposed = PrivateText(unicodedata.normalize("NFKD", text))
    unaccented = PrivateText("".join(sign for sign in decomposed if not unicodedata.combining(sign)))
    return PrivateText(" ".join(re.sub(r"[^A-Za-z0-9]+", " ", unaccented).split())[:limit].strip())


def collect_body(request: CollectRequest, shop_id: str) -> dict[str, object]:
    """The documented fields; a one-time code and return URLs only where a source says that FeexPay accepts them."""
    provider = request.provider
    takes_otp, takes_urls = "otp" in provider.flows, "redirect" in provider.flows
    body: dict[str, object] = {
        "phoneNumber": request.msisdn.digits,
        "amount": strict_amount(request.amount),
        "shop": shop_id,
        "callback_info": request.attempt_id,
    }
    optional = {
        "description": reduced_description(request.description),
        "otp": request.otp if takes_otp else "",
        "return_url": request.return_url if takes_urls else "",
        "cancel_url": request.cancel_url if takes_urls else "",
        "first_name": request.first_name,
        "last_name": request.last_name,
        "email": request.email,
    }
    return PrivateDict(body | {name: value for name, value in optional.items() if value})


def page_body(request: PageRequest, shop_id: str) -> dict[str, object]:
    """A page that accepts one card payment. Its two `callback_*` fields are for the browser, they are not webhooks."""
    body: dict[str, object] = {
        "shop": shop_id,
        "amount": strict_amount(request.amount),
        "paymentMethod": "CARD",
        "range": 1,
        "expireIn": request.minutes,
        "custom_id": request.attempt_id,
    }
    optional = {
        "description": reduced_description(request.description),
        "callback_url": request.return_url,
        "callback_error": request.cancel_url,
    }
    return body | {name: value for name, value in optional.items() if value}


def payout_body(request: PayoutRequest, shop_id: str) -> dict[str, object]:
    """The documented fields. The motive has at most 30 letters, digits and spaces."""
    body: dict[str, object] = {
        "phoneNumber": request.msisdn.digits,
        "amount": strict_amount(request.amount),
        "shop": shop_id,
        "motif": reduced_description(request.motive, _LONGEST_MOTIVE),
        "callback_info": request.payout_id,
    }
    if request.route.wire_name:
        body["network"] = request.route.wire_name
    return PrivateDict(body)


def history_body(
    start: date, end: date, provider: ProviderSpec | None, word: Word | None, shop_id: str
) -> dict[str, object]:
    """Ask for the payments of a period, both days included. Raises: ValueError for a period or word FeexPay rejects."""
    if not 0 <= (end - start).days <= LONGEST_HISTORY_DAYS:
        raise ValueError("a history period must not end before it starts, and spans at most 31 days")
    if word not in _HISTORY_WORDS:
        raise ValueError("FeexPay's history filters by pending, successful and failed only")
    can_filter = provider is not None and provider.in_history_filter
    return {
        "start_date": start.isoformat(),
        "end_date": end.isoformat(),
        "shop": shop_id,
        "type": "PAYIN",
        "status": _HISTORY_WORDS[word],
        "reseau": provider.wire_name if provider is not None and can_filter else "ALL",
    }
