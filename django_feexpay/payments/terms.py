"""What somebody wants to be paid, judged before anything is written.

`Order` is the wish in plain values, as the API or the host's code gives it; `Terms` is what comes out when every
rule agreed: the provider, the payer's msisdn, what is charged and what it costs. A `Quote` is the same sum, told
before anybody orders.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from django_feexpay.catalogue import money
from django_feexpay.catalogue.phone import Msisdn, PhoneError, parse
from django_feexpay.catalogue.providers import ProviderSpec
from django_feexpay.conf import feexpay
from django_feexpay.models import Payment, Provider
from django_feexpay.payments import rates
from django_feexpay.payments.errors import NotAllowedError, invalid
from django_feexpay.private import PrivateText

LIMITS: Mapping[str, int] = {"merchant_reference": 64, "description": 140, "otp": 16, "email": 254}
METADATA_BYTES = 2048
#: The fields of an order that tell who pays, or let somebody pay.
PERSONAL = ("phone", "otp", "first_name", "last_name", "email")
_CODE = re.compile(r"[A-Za-z0-9]{3,16}")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """A wish to be paid. `amount` in the minor unit of `currency` ("" = the provider's own).

    The repr leaves out the phone and everything about the payer; those values are masked ones, whoever gave them.
    """

    user: Any
    provider: str
    amount: int
    currency: str = ""
    phone: str = field(default="", repr=False)
    merchant_reference: str = ""
    description: str = field(default="", repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    otp: str = field(default="", repr=False)
    return_url: str = ""
    cancel_url: str = ""
    return_hosts: tuple[str, ...] = ()
    first_name: str = field(default="", repr=False)
    last_name: str = field(default="", repr=False)
    email: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in PERSONAL:
            value = getattr(self, name)
            if type(value) is str:  # another type is refused by the rules
                object.__setattr__(self, name, PrivateText(value))


@dataclass(frozen=True, kw_only=True)
class Terms:
    """An order that may be paid."""

    order: Order
    provider: Provider
    spec: ProviderSpec
    msisdn: Msisdn | None
    currency: str
    charged_amount: int
    exchange_rate: Decimal | None
    fee: int


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What a price comes to: `charged_amount` is what FeexPay is asked for, `fee` what it keeps or adds of that.

    `exchange_rate`: None unless the price was converted. All of the charged currency but `amount`.
    """

    amount: int
    currency: str
    charged_amount: int
    charged_currency: str
    exchange_rate: Decimal | None
    fee: int

    @property
    def total(self) -> int:
        """What the payer's account is charged in all."""
        return self.charged_amount


def quote(*, user: Any, provider: str, amount: int, currency: str = "") -> Quote:
    """What this payer would be charged now, by the rules and the rate a start within ten minutes is held to.

    The host's PAYABLE is not asked: it is about an order, and there is none yet. Writes nothing.
    Raises: NotAllowedError with `validation_error`, `provider_unavailable` or `rate_unavailable`.
    """
    return quote_with(_provider(provider), amount, currency, user=user)


def quote_with(provider: Provider, amount: int, currency: str = "", *, user: Any = None) -> Quote:
    """`quote` for a row that the caller has read already."""
    price = _amount(amount), _currency(currency, provider.spec)
    return _quoted(provider, *price, rates.promise(user, price[1], provider.spec.currency))


def judge(order: Order) -> Terms:
    """Hold an order against every rule. Calls the host's PAYABLE. Writes nothing.

    Raises: NotAllowedError with `validation_error`, `provider_unavailable` or `rate_unavailable`.
    """
    _judge_texts(order)
    provider = _provider(order.provider)
    spec = provider.spec
    amount = _amount(order.amount)
    currency = _currency(order.currency, spec)
    msisdn = _msisdn(order.phone, spec)
    _judge_otp(order.otp, spec)
    _judge_urls(order)
    _judge_price(order, amount, currency)
    quoted = _quoted(provider, amount, currency, rates.promised(order.user, currency, spec.currency))
    return Terms(
        order=order,
        provider=provider,
        spec=spec,
        msisdn=msisdn,
        currency=currency,
        charged_amount=quoted.charged_amount,
        exchange_rate=quoted.exchange_rate,
        fee=quoted.fee,
    )


def judge_again(payment: Payment, otp: str) -> None:
    """Hold a payment against today's rules before another attempt of it: the code, the price, the limits.

    Calls the host's PAYABLE: what failed yesterday is no option on yesterday's price. What is charged stays what the
    payer agreed to: neither the rate nor the fee is looked up again. Writes nothing.
    Raises: NotAllowedError `validation_error`.
    """
    order = Order(
        user=payment.user,
        provider=payment.provider_id,
        amount=payment.amount,
        currency=payment.currency,
        merchant_reference=payment.merchant_reference,
        metadata=payment.metadata,
    )
    spec = payment.provider.spec
    _judge_otp(otp, spec)
    _judge_price(order, payment.amount, payment.currency)
    _judge_limits(payment.charged_amount, payment.provider, spec)


def unavailable(provider: Provider, language: str) -> str:
    """Why a disabled provider is disabled, in the payer's language; "" for an enabled one."""
    if provider.is_available:
        return ""
    spec = provider.spec
    text = spec.unavailable_text_fr if language.startswith("fr") else spec.unavailable_text_en
    return provider.disabled_words(language) or text or _("This way to pay is switched off at the moment.")


def code_of(otp: str) -> str:
    """A payer's code as it is sent: operators show some in groups. Raises NotAllowedError on `otp`."""
    code = PrivateText("".join(otp.split()))
    if not _CODE.fullmatch(code):
        raise invalid("otp", "invalid", _("A code is 3 to 16 letters and digits."))
    return code


def msisdn_of(phone: str, spec: ProviderSpec) -> Msisdn | None:
    """The payer's msisdn by the provider's rule. None for a card: a form that sends a number with every order works,
    and the number is neither looked at nor kept.

    Raises NotAllowedError on `phone`.
    """
    rule = spec.phone
    if rule is None:
        return None
    try:
        return parse(phone, rule)
    except PhoneError as error:
        raise invalid("phone", error.code, _("Not a valid number here. Example: %s") % rule.example) from None


def _judge_texts(order: Order) -> None:
    texts = {name: value for name, value in vars(order).items() if isinstance(value, str)}
    for name, value in texts.items():
        if len(value) > LIMITS.get(name, 500):
            raise invalid(name, "max_length", _("Too long: at most %d characters.") % LIMITS.get(name, 500))
        if not _storable(value):
            raise invalid(name, "invalid", _("Contains characters that cannot be stored."))
    _judge_metadata(order.metadata)


def _judge_metadata(metadata: Mapping[str, Any]) -> None:
    """The API's parser lets nothing unclean through; the host's own code may."""
    try:
        written = json.dumps(metadata, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise invalid("metadata", "invalid", _("Must be an object of JSON values.")) from None
    if "\\u0000" in written or not _storable(written):
        raise invalid("metadata", "invalid", _("Contains characters that cannot be stored."))
    if len(written.encode()) > METADATA_BYTES:
        raise invalid("metadata", "max_length", _("At most %d bytes of JSON.") % METADATA_BYTES)


def _storable(text: str) -> bool:
    """No NUL and no lone surrogate: PostgreSQL keeps neither."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _provider(code: str) -> Provider:
    provider = Provider.objects.filter(pk=code).first()
    if provider is None:
        raise invalid("provider", "unknown", _("There is no such provider."))
    if not provider.is_available:
        raise NotAllowedError("provider_unavailable", unavailable(provider, get_language() or "en"))
    return provider


def _amount(amount: Any) -> int:
    try:
        return money.strict_amount(amount)
    except TypeError:
        raise invalid("amount", "invalid", _("Must be an integer.")) from None
    except ValueError:
        raise invalid("amount", "min_value", _("Must be more than zero.")) from None


def _currency(currency: str, spec: ProviderSpec) -> str:
    if currency and currency not in (spec.currency, *money.CONVERTIBLE):
        known = ", ".join((spec.currency, *money.CONVERTIBLE))
        raise invalid("currency", "unsupported", _("With this provider a price may be in: %s.") % known)
    return currency or spec.currency


def _quoted(provider: Provider, amount: int, currency: str, rate: Decimal | None) -> Quote:
    """The sum, the fee, and the provider's limits, which are about what is charged."""
    spec = provider.spec
    price = amount if rate is None else money.convert(amount, currency, spec.currency, rate)
    fee = money.fee(price, provider.fee_percent)
    charged = price + fee if feexpay.fee_payer == "payer" else price
    _judge_limits(charged, provider, spec)
    return Quote(
        amount=amount,
        currency=currency,
        charged_amount=charged,
        charged_currency=spec.currency,
        exchange_rate=rate,
        fee=fee,
    )


def _msisdn(phone: str, spec: ProviderSpec) -> Msisdn | None:
    if not phone and spec.phone is not None:
        raise invalid("phone", "required", _("This field is required."))
    return msisdn_of(phone, spec)


def _judge_otp(otp: str, spec: ProviderSpec) -> None:
    if spec.needs_otp_first and not otp:
        raise invalid("otp", "required", _("This provider needs the code you got by dialling first."))
    if otp:
        code_of(otp)


def _judge_urls(order: Order) -> None:
    for name in ("return_url", "cancel_url"):
        url = getattr(order, name)
        if url and not _may_return_to(url, order.return_hosts):
            raise invalid(name, "not_allowed", _("This address is not one we may send a payer to."))


def _may_return_to(url: str, request_hosts: tuple[str, ...]) -> bool:
    """A browser reads what urlsplit forgives: a backslash as a slash, a tab as nothing. None of it is let in."""
    if not url.isascii() or not url.isprintable() or any(sign in url for sign in ' \\"<>'):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # raises for one that is none
    except ValueError:
        return False
    hosts = feexpay.return_hosts or request_hosts
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    return secure and host in hosts and parts.username is None


def _judge_price(order: Order, amount: int, currency: str) -> None:
    """The price is the host's. A PAYABLE that refuses raises Django's ValidationError with what the payer may read."""
    payable = feexpay.payable
    if payable is None:
        return
    try:
        owed = payable(
            user=order.user,
            merchant_reference=order.merchant_reference,
            amount=amount,
            currency=currency,
            metadata=order.metadata,
        )
    except ValidationError as refusal:
        raise invalid("amount", "not_payable", " ".join(refusal.messages)) from None
    if owed != amount:
        raise invalid("amount", "wrong_price", _("The price is %s.") % money.show(owed, currency))


def _judge_limits(charged: int, provider: Provider, spec: ProviderSpec) -> None:
    if charged < provider.min_amount:
        least = money.show(provider.min_amount, spec.currency)
        raise invalid("amount", "min_value", _("At least %s with this provider.") % least)
    if charged > provider.max_amount:
        most = money.show(provider.max_amount, spec.currency)
        raise invalid("amount", "max_value", _("At most %s with this provider.") % most)
