"""Validation of a payment request before anything is written.

A `PaymentRequest` holds plain values from the API or the host's code. `validate` turns a request that keeps every rule
into `AgreedTerms`: the provider row, the payer's msisdn and code, and the `Quote` of what is charged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import get_language, get_supported_language_variant
from django.utils.translation import gettext as _

from django_feexpay.catalogue import money
from django_feexpay.catalogue.phone import Msisdn, PhoneError, parse
from django_feexpay.catalogue.providers import ProviderSpec
from django_feexpay.catalogue.web_addresses import secure_url
from django_feexpay.conf import feexpay
from django_feexpay.models import Payment, Provider
from django_feexpay.models.fields import msisdn_hashes
from django_feexpay.payments import rates
from django_feexpay.payments.errors import NotAllowedError, invalid
from django_feexpay.private import PrivateText

LIMITS: Mapping[str, int] = {"merchant_reference": 64, "description": 140, "otp": 16, "email": 254}
METADATA_BYTES = 2048
#: The fields of a request that identify the payer, or that authorise a payment.
PERSONAL = ("phone", "otp", "first_name", "last_name", "email")
_CODE = re.compile(r"[A-Za-z0-9]{3,16}")


@dataclass(frozen=True, kw_only=True)
class PaymentRequest:
    """A request for a payment. `amount` is in the minor unit of `currency` ("": the provider's own).

    `language`: the payer's, for notifications; "": the language that is active in this thread.

    The values about the payer become PrivateText, and the repr leaves them out.
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
    language: str = ""

    def __post_init__(self) -> None:
        for name in PERSONAL:
            value = getattr(self, name)
            if type(value) is str:  # another type is refused later
                object.__setattr__(self, name, PrivateText(value))


@dataclass(frozen=True, kw_only=True)
class Quote:
    """A price and its charge: `charged_amount` is what FeexPay is asked to take, `fee` its fee.

    `amount` is in `currency`, all else in `charged_currency`. `exchange_rate`: None unless the price was converted.
    """

    amount: int
    currency: str
    charged_amount: int
    charged_currency: str
    exchange_rate: Decimal | None
    fee: int

    @property
    def total(self) -> int:
        """The amount that the payer pays, fees included."""
        return self.charged_amount


@dataclass(frozen=True, kw_only=True)
class AgreedTerms:
    """A request that keeps every rule. `otp`: the code without spaces, "" for none. `msisdn`: None for a card.

    `msisdn_hashes`: the number's, by each of HASH_KEY; () for a card.
    """

    request: PaymentRequest
    provider: Provider
    msisdn: Msisdn | None
    msisdn_hashes: tuple[str, ...] = field(repr=False)
    otp: str = field(repr=False)
    quote: Quote


def quote(*, user: Any, provider: str, amount: int, currency: str = "") -> Quote:
    """Quote what this payer would be charged now. The same user may start at this rate for ten minutes.

    The host's PAYABLE is not called, because there is no order yet. Writes nothing.
    Raises: NotAllowedError with `validation_error`, `provider_unavailable` or `rate_unavailable`.
    """
    return quote_with(_provider(provider), amount, currency, user=user)


def quote_with(provider: Provider, amount: int, currency: str = "", *, user: Any = None) -> Quote:
    """`quote` for a provider row that the caller has read already."""
    amount, currency = _amount(amount), _currency(currency, provider.spec)
    return _quote_at(provider, amount, currency, rates.store_rate_for_user(user, currency, provider.spec.currency))


def validate(request: PaymentRequest) -> AgreedTerms:
    """Check a request against every rule. Calls the host's PAYABLE. Writes nothing.

    Raises: NotAllowedError with `validation_error`, `provider_unavailable` or `rate_unavailable`.
    """
    check_texts(request)
    provider = _provider(request.provider)
    spec = provider.spec
    amount = _amount(request.amount)
    currency = _currency(request.currency, spec)
    if not request.phone and spec.phone is not None:
        raise invalid("phone", "required", _("This field is required."))
    msisdn = msisdn_of(request.phone, spec)
    otp = _otp(request.otp, spec)
    _check_urls(request)
    _check_price(request.user, request.merchant_reference, request.metadata, amount, currency)
    quoted = _quote_at(provider, amount, currency, rates.rate_for_user(request.user, currency, spec.currency))
    return AgreedTerms(
        request=request, provider=provider, msisdn=msisdn, msisdn_hashes=msisdn_hashes(msisdn), otp=otp, quote=quoted
    )


def validate_retry(payment: Payment, otp: str) -> str:
    """Check a payment against today's rules before another attempt of it: the code, the price, the limits.

    Calls the host's PAYABLE, as the price may have changed. The charged amount stays what the payer agreed to: neither
    the rate nor the fee is computed again. Writes nothing. Returns the code as `code_of` does, "" without one.
    Raises: NotAllowedError `validation_error`.
    """
    code = _otp(otp, payment.provider.spec)
    _check_price(payment.user, payment.merchant_reference, payment.metadata, payment.amount, payment.currency)
    _check_limits(payment.charged_amount, payment.provider)
    return code


def unavailable(provider: Provider, language: str) -> str:
    """Why a disabled provider is disabled, in the payer's language; "" for an enabled one."""
    if provider.is_available:
        return ""
    spec = provider.spec
    text = spec.unavailable_text_fr if language.startswith("fr") else spec.unavailable_text_en
    return provider.disabled_words(language) or text or _("This way to pay is switched off at the moment.")


def language_of(request: PaymentRequest) -> str:
    """The language for notifications: the offered one nearest to the request's, or else LANGUAGE_CODE."""
    try:
        return get_supported_language_variant(request.language or get_language() or "")
    except LookupError:
        return settings.LANGUAGE_CODE


def code_of(otp: str) -> str:
    """A payer's code without the spaces that some operators show in it. Raises NotAllowedError on `otp`."""
    code = PrivateText("".join(otp.split()))
    if not _CODE.fullmatch(code):
        raise invalid("otp", "invalid", _("A code is 3 to 16 letters and digits."))
    return code


def msisdn_of(phone: str, spec: ProviderSpec) -> Msisdn | None:
    """The payer's msisdn by the provider's rule. Raises NotAllowedError on `phone`.

    None for a card: a phone that a form sends along is neither checked nor stored.
    """
    rule = spec.phone
    if rule is None:
        return None
    try:
        return parse(phone, rule)
    except PhoneError as error:
        raise invalid(
            "phone", error.code, _("This number is not valid for this provider. Example: %s") % rule.example
        ) from None


def check_texts(request: PaymentRequest) -> None:
    """Check the lengths and characters of all texts and the metadata. Raises: NotAllowedError `validation_error`."""
    texts = {name: value for name, value in vars(request).items() if isinstance(value, str)}
    for name, value in texts.items():
        if len(value) > LIMITS.get(name, 500):
            raise invalid(name, "max_length", _("Too long: at most %d characters.") % LIMITS.get(name, 500))
        if not _storable(value):
            raise invalid(name, "invalid", _("Contains characters that cannot be stored."))
    _check_metadata(request.metadata)


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    """Check the metadata of the host's own code; the API's parser has already checked that of a request."""
    try:
        written = compact_json(metadata)
    except (TypeError, ValueError):
        raise invalid("metadata", "invalid", _("Must be an object of JSON values.")) from None
    if "\\u0000" in written or not _storable(written):
        raise invalid("metadata", "invalid", _("Contains characters that cannot be stored."))
    if len(written.encode()) > METADATA_BYTES:
        raise invalid("metadata", "max_length", _("At most %d bytes of JSON.") % METADATA_BYTES)


def compact_json(value: object) -> str:
    """The JSON text that METADATA_BYTES counts: without spaces, characters unescaped. Raises: TypeError, ValueError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _storable(text: str) -> bool:
    """Whether PostgreSQL can store it: no NUL, no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _provider(code: str) -> Provider:
    try:
        provider = Provider.objects.get(pk=code)
    except Provider.DoesNotExist:
        raise invalid("provider", "unknown", _("There is no such provider.")) from None
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


def _quote_at(provider: Provider, amount: int, currency: str, rate: Decimal | None) -> Quote:
    """Convert, add the fee, and check the provider's limits, which are about the charged amount."""
    spec = provider.spec
    price = amount if rate is None else money.convert(amount, currency, spec.currency, rate)
    fee = money.fee(price, provider.fee_percent)
    charged = price + fee if feexpay.fee_payer == "payer" else price
    _check_limits(charged, provider)
    return Quote(
        amount=amount,
        currency=currency,
        charged_amount=charged,
        charged_currency=spec.currency,
        exchange_rate=rate,
        fee=fee,
    )


def _otp(otp: str, spec: ProviderSpec) -> str:
    if spec.needs_otp_first and not otp:
        raise invalid("otp", "required", _("This provider needs a code: dial first to get it, then enter it here."))
    return code_of(otp) if otp else ""


def _check_urls(request: PaymentRequest) -> None:
    for name in ("return_url", "cancel_url"):
        url = getattr(request, name)
        parts = secure_url(url)
        allowed = parts and parts.username is None and parts.hostname in (feexpay.return_hosts or request.return_hosts)
        if url and not allowed:
            raise invalid(name, "not_allowed", _("This return address is not allowed."))


def _check_price(user: Any, merchant_reference: str, metadata: Mapping[str, Any], amount: int, currency: str) -> None:
    """Ask the host for the price. PAYABLE refuses with Django's ValidationError, whose text the payer may read."""
    payable = feexpay.payable
    if payable is None:
        return
    try:
        owed = payable(
            user=user, merchant_reference=merchant_reference, amount=amount, currency=currency, metadata=metadata
        )
    except ValidationError as refusal:
        raise invalid("amount", "not_payable", " ".join(refusal.messages)) from None
    if owed != amount:
        raise invalid("amount", "wrong_price", _("The price is %s.") % money.show(owed, currency))


def _check_limits(charged: int, provider: Provider) -> None:
    currency = provider.spec.currency
    if charged < provider.min_amount:
        least = money.show(provider.min_amount, currency)
        raise invalid("amount", "min_value", _("At least %s with this provider.") % least)
    if charged > provider.max_amount:
        most = money.show(provider.max_amount, currency)
        raise invalid("amount", "max_value", _("At most %s with this provider.") % most)
