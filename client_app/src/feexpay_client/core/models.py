"""The server's JSON as frozen dataclasses. `from_json` raises errors.MalformedAnswer.

Amounts are integers in the currency's minor unit. Unknown values of `detail`, `kind` and `flow` are kept as text,
because the server may add some. Only `status` settles a payment; an unknown status counts as pending.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from feexpay_client.core.json_reader import Fields, listed

PENDING: Final = "pending"
SUCCESSFUL: Final = "successful"
FAILED: Final = "failed"
#: The value of `detail` for a payment that the payer did not confirm in time.
EXPIRED: Final = "expired"


@dataclass(frozen=True, slots=True)
class Country:
    """A country with providers; `code` is ISO 3166 (BJ)."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class PhoneRule:
    """Phone numbers of one provider. `lengths` count national digits; `prefixes` only suggest a provider."""

    required: bool
    calling_code: str
    lengths: tuple[int, ...]
    prefixes: tuple[str, ...]
    example: str

    @classmethod
    def from_json(cls, value: object) -> Self:
        fields = Fields(value, "phone")
        return cls(
            required=fields.flag("required"),
            calling_code=fields.maybe_text("calling_code") or "",
            lengths=fields.integers("lengths"),
            prefixes=fields.texts("prefixes"),
            example=fields.maybe_text("example") or "",
        )


@dataclass(frozen=True, slots=True)
class Badge:
    """Letters and background colour (`#RRGGBB`) of a provider. No operator's logo."""

    monogram: str
    color: str


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to pay. `flow` is the usual one (push, otp, redirect, hosted); the payment's `detail` decides.

    `raw` is the original JSON, for the cache.
    """

    code: str
    name: str
    kind: str
    country: str | None
    country_name: str | None
    currency: str
    flow: str
    min_amount: int | None
    max_amount: int | None
    fee_percent: str
    phone: PhoneRule
    enabled: bool
    unavailable_reason: str | None
    instructions: str
    badge: Badge
    raw: Mapping[str, Any] = field(hash=False, compare=False, repr=False)

    @classmethod
    def from_json(cls, value: object) -> Self:
        fields = Fields(value, "provider")
        badge = Fields(fields.object("badge"), "badge")
        return cls(
            code=fields.text("code"),
            name=fields.text("name"),
            kind=fields.text("kind"),
            country=fields.maybe_text("country"),
            country_name=fields.maybe_text("country_name"),
            currency=fields.text("currency"),
            flow=fields.text("flow"),
            min_amount=fields.maybe_integer("min_amount"),
            max_amount=fields.maybe_integer("max_amount"),
            fee_percent=fields.text("fee_percent"),
            phone=PhoneRule.from_json(fields.object("phone")),
            enabled=fields.flag("enabled"),
            unavailable_reason=fields.maybe_text("unavailable_reason"),
            instructions=fields.maybe_text("instructions") or "",
            badge=Badge(badge.text("monogram"), badge.text("color")),
            raw=fields.all(),
        )


@dataclass(frozen=True, slots=True)
class Pack:
    """A coin pack; send its `metadata` with `initiate/` to buy it."""

    code: str
    name: str
    coins: int
    price: int
    currency: str
    metadata: Mapping[str, Any] = field(hash=False)

    @classmethod
    def from_json(cls, value: object) -> Self:
        fields = Fields(value, "pack")
        return cls(
            code=fields.text("code"),
            name=fields.text("name"),
            coins=fields.integer("coins"),
            price=fields.integer("price"),
            currency=fields.text("currency"),
            metadata=fields.object("metadata"),
        )


@dataclass(frozen=True, slots=True)
class Balance:
    coins: int

    @classmethod
    def from_json(cls, value: object) -> Self:
        return cls(coins=Fields(value, "balance").integer("coins"))


@dataclass(frozen=True, slots=True)
class Quote:
    """The price of a payment. Only the server computes fees and rates."""

    amount: int
    currency: str
    charged_amount: int
    charged_currency: str
    fee: int
    total: int
    exchange_rate: str | None

    @property
    def fee_on_top(self) -> int:
        """The fee the payer pays on top of the price; 0 if the shop pays it or another currency is charged."""
        return _on_top(self.fee, self.amount, self.currency, self.total, self.charged_currency)

    @classmethod
    def from_json(cls, value: object) -> Self:
        fields = Fields(value, "quote")
        return cls(
            amount=fields.integer("amount"),
            currency=fields.text("currency"),
            charged_amount=fields.integer("charged_amount"),
            charged_currency=fields.text("charged_currency"),
            fee=fields.integer("fee"),
            total=fields.integer("total"),
            exchange_rate=fields.maybe_text("exchange_rate"),
        )


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a payment failed and what to do; `message` is in the player's language."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment. `phone` is masked. `raw` is the original JSON, for the journal."""

    id: str
    status: str
    detail: str
    provider: str
    provider_name: str
    country: str | None
    amount: int
    currency: str
    charged_amount: int
    charged_currency: str
    exchange_rate: str | None
    fee: int | None
    phone: str | None
    merchant_reference: str
    reference: str | None
    redirect_url: str | None
    otp_required: bool
    reason: Reason | None
    can_retry: bool
    next_poll_seconds: int | None
    attempt_count: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    settled_at: datetime | None
    metadata: Mapping[str, Any] = field(hash=False)
    raw: Mapping[str, Any] = field(hash=False, compare=False, repr=False)

    @property
    def settled(self) -> bool:
        """Successful or failed. Any other status is pending."""
        return self.status in (SUCCESSFUL, FAILED)

    @property
    def unconfirmed(self) -> bool:
        """The payer did not confirm in time, but may still be charged: the app must not offer a retry."""
        return self.status == FAILED and self.detail == EXPIRED and not self.can_retry

    @property
    def fee_on_top(self) -> int:
        """The fee the payer pays on top of the price; 0 if the shop pays it or another currency is charged."""
        return _on_top(self.fee, self.amount, self.currency, self.charged_amount, self.charged_currency)

    @classmethod
    def from_json(cls, value: object) -> Self:
        fields = Fields(value, "payment")
        reason = fields.maybe_object("reason")
        return cls(
            id=fields.text("id"),
            status=fields.text("status"),
            detail=fields.text("detail"),
            provider=fields.text("provider"),
            provider_name=fields.text("provider_name"),
            country=fields.maybe_text("country"),
            amount=fields.integer("amount"),
            currency=fields.text("currency"),
            charged_amount=fields.integer("charged_amount"),
            charged_currency=fields.text("charged_currency"),
            exchange_rate=fields.maybe_text("exchange_rate"),
            fee=fields.maybe_integer("fee"),
            phone=fields.maybe_text("phone"),
            merchant_reference=fields.maybe_text("merchant_reference") or "",
            reference=fields.maybe_text("reference"),
            redirect_url=fields.maybe_text("redirect_url"),
            otp_required=fields.flag("otp_required"),
            reason=_reason(reason),
            can_retry=fields.flag("can_retry"),
            next_poll_seconds=fields.maybe_integer("next_poll_seconds"),
            attempt_count=fields.integer("attempt_count"),
            created_at=fields.instant("created_at"),
            updated_at=fields.instant("updated_at"),
            expires_at=fields.maybe_instant("expires_at"),
            settled_at=fields.maybe_instant("settled_at"),
            metadata=fields.object("metadata"),
            raw=fields.all(),
        )


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Payments, newest first; `next` is the URL of the older page, None at the end."""

    next: str | None
    results: tuple[Payment, ...]

    @classmethod
    def from_json(cls, value: object) -> Self:
        fields = Fields(value, "history")
        results = tuple(Payment.from_json(item) for item in fields.objects("results"))
        return cls(next=fields.maybe_text("next"), results=results)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A session: the bearer token and its expiry. The repr hides the token."""

    username: str
    token: str = field(repr=False)
    expires_at: datetime | None


def providers_from_json(value: object) -> tuple[Provider, ...]:
    """The array of `GET providers/`, in the server's order."""
    return tuple(Provider.from_json(item) for item in listed(value, "providers"))


def packs_from_json(value: object) -> tuple[Pack, ...]:
    """The array of `GET shop/packs/`, in the server's order."""
    return tuple(Pack.from_json(item) for item in listed(value, "packs"))


def _on_top(fee: int | None, price: int, currency: str, total: int, charged_currency: str) -> int:
    """Show a fee only if price and fee add up to the total."""
    adds_up = fee is not None and currency == charged_currency and price + fee == total
    return fee if adds_up and fee is not None else 0


def _reason(value: object) -> Reason | None:
    if value is None:
        return None
    fields = Fields(value, "reason")
    return Reason(fields.text("code"), fields.text("message"))
