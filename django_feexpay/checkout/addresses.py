"""The signed addresses of the checkout: made by the host, read by the pages, and the way back to the host.

An address carries one intent, signed with SECRET_KEY and compressed, but not encrypted: a person who has the address
can read it. It holds no phone number. After the start a short address, the signed id of the intent, leads to the same
payment.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.core.exceptions import ImproperlyConfigured
from django.core.signing import BadSignature, Signer, TimestampSigner
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from django_feexpay import conf
from django_feexpay.catalogue import money
from django_feexpay.catalogue.web_addresses import secure_url
from django_feexpay.checkout import prices
from django_feexpay.conf import feexpay
from django_feexpay.models import Payment
from django_feexpay.models.payment import read_payments
from django_feexpay.payments.terms import PaymentRequest, check_texts
from django_feexpay.python_api import user_or_guest

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

#: How long a payment is shown after its address has ended, and how long `read_return` accepts an address.
SHOWN_AFTERWARDS = timedelta(days=30)
#: The parameter that is added to the host's return address.
RETURN_PARAMETER = "feexpay"

_SALT = "django_feexpay.checkout"
_PLACE = "{payment_id}"
_URL_LENGTH = 500


class NotValidError(Exception):
    """The address was not signed by this site, or was altered, or the thing that it names is gone."""


@dataclass(frozen=True, kw_only=True)
class Intent:
    """One thing to pay for, as the host signed it. `user_id`: the text of the primary key; None for a guest."""

    id: uuid.UUID
    user_id: str | None
    merchant_reference: str
    amount: int
    currency: str
    description: str = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)
    return_url: str
    cancel_url: str
    expires_at: datetime

    @property
    def has_ended(self) -> bool:
        """Whether nothing can be started any more."""
        return conf.now() >= self.expires_at

    @property
    def price(self) -> str:
        """What is owed, as people write it."""
        return prices.shown(self.amount, self.currency)

    @property
    def short_address(self) -> str:
        """The last part of the addresses after the start."""
        return _short_signer().sign(self.id.hex)


def checkout_url(
    user: AbstractBaseUser | None,
    merchant_reference: str,
    amount: int,
    return_url: str,
    *,
    currency: str = "",
    description: str = "",
    metadata: Mapping[str, Any] | None = None,
    cancel_url: str = "",
    expires_in: timedelta | None = None,
    request: HttpRequest | None = None,
) -> str:
    """The address of a page on which a payer pays for one order. Writes nothing and starts nothing.

    user: None for a guest. merchant_reference: your order, which is paid at most once for this user; for guests it must
    be unique among all guests. amount: in the minor unit of `currency`; "": francs, of whichever country pays.
    description, metadata: the payer can read them. return_url, cancel_url: a path of this site, or an https address of
    a host in RETURN_HOSTS (unset: of the host of the request). `{payment_id}` in it becomes the payment's id.
    expires_in: default CHECKOUT_SECONDS. request: makes the address absolute.
    Raises: NotAllowedError `validation_error` for a text that is too long; TypeError and ValueError for another mistake
    in the calling code; ImproperlyConfigured if the checkout's urls are not included.
    """
    payer = user_or_guest(user)
    if not merchant_reference:
        raise ValueError("merchant_reference is empty: name your order, so that it is paid once")
    if currency and currency not in money.CURRENCIES:
        raise ValueError(f"currency={currency!r}: one of {', '.join(money.CURRENCIES)}, or empty")
    for name, url in (("return_url", return_url), ("cancel_url", cancel_url)):
        if url and not _may_lead_to(url, request):
            raise ValueError(f"{name}={url!r}: a path of this site, or an https address of a host in RETURN_HOSTS")
    intent = Intent(
        id=uuid.uuid4(),
        user_id=None if payer is None else str(payer.pk),
        merchant_reference=merchant_reference,
        amount=money.strict_amount(amount),
        currency=currency,
        description=description,
        metadata=dict(metadata or {}),
        return_url=return_url,
        cancel_url=cancel_url,
        expires_at=conf.now() + (feexpay.checkout_time if expires_in is None else expires_in),
    )
    check_texts(_texts_of(intent))
    path = page_path(_signer().sign_object(_packed(intent), compress=True))
    return request.build_absolute_uri(path) if request else path


def read_return(request: HttpRequest) -> Payment | None:
    """The payment whose payer came back to your `return_url`, with its status now; None for a forged address.

    Only the signed parameter is read, and the rest of the query is ignored. Compare `payment.merchant_reference` with
    your order. The payer may come back before the payment is settled: `payment.public_status` says so. Deliver when
    `Payable.paid` is called, not here.
    """
    try:
        signed = request.GET.get(RETURN_PARAMETER, "")
        payment_id = uuid.UUID(_return_signer().unsign(signed, max_age=SHOWN_AFTERWARDS))
    except (BadSignature, ValueError):
        return None
    return read_payments().filter(pk=payment_id).first()


def page_path(address: str, name: str = "page") -> str:
    """The path of one of the checkout's pages. Raises: ImproperlyConfigured if its urls are not included."""
    try:
        return reverse(f"feexpay_checkout:{name}", args=[address])
    except NoReverseMatch:
        raise ImproperlyConfigured(
            'The checkout has no address: add path("pay/", include("django_feexpay.checkout.urls")) to your urls.'
        ) from None


def read_address(address: str) -> Intent | uuid.UUID:
    """The intent in a long address, or the id of the intent in a short one. Raises: NotValidError."""
    try:
        return _unpacked(_signer().unsign_object(address))
    except BadSignature:
        pass
    try:
        return uuid.UUID(_short_signer().unsign(address))
    except (BadSignature, ValueError):
        raise NotValidError from None


def way_back(url: str, payment: Payment | None, request: HttpRequest) -> str:
    """The host's return or cancel address for this payment, signed; "" if it leads to a host that is not allowed."""
    if not url or not _may_lead_to(url, request):
        return ""
    if payment is None:
        return url.replace(_PLACE, "")
    parts = urlsplit(url.replace(_PLACE, str(payment.pk)))
    signed = urlencode({RETURN_PARAMETER: _return_signer().sign(payment.pk.hex)})
    return urlunsplit(parts._replace(query=f"{parts.query}&{signed}" if parts.query else signed))


def own_address(path: str, request: HttpRequest) -> str:
    """An address of ours for FeexPay to send the payer back to; "" if it would be refused, as over plain http."""
    address = request.build_absolute_uri(path)
    return address if len(address) <= _URL_LENGTH and _may_lead_to(address, request) else ""


def _may_lead_to(url: str, request: HttpRequest | None) -> bool:
    """Whether a payer may be sent there. Without a request, a host that only the request can allow passes for now."""
    if len(url) > _URL_LENGTH:
        return False
    if url.startswith("/"):
        return not url.startswith(("//", "/\\")) and secure_url(f"https://site{url}") is not None
    parts = secure_url(url)
    if parts is None or parts.username is not None:
        return False
    hosts = feexpay.return_hosts or ([host_of(request)] if request else [])
    return not hosts or parts.hostname in hosts


def host_of(request: HttpRequest) -> str:
    """The host of the request, without its port."""
    return urlsplit(f"//{request.get_host()}").hostname or ""


def _texts_of(intent: Intent) -> PaymentRequest:
    return PaymentRequest(
        user=None,
        provider="",
        amount=intent.amount,
        currency=intent.currency,
        merchant_reference=intent.merchant_reference,
        description=intent.description,
        metadata=intent.metadata,
    )


def _packed(intent: Intent) -> list[Any]:
    """A list, because names would make the address longer."""
    return [
        intent.id.hex,
        intent.user_id,
        intent.merchant_reference,
        intent.amount,
        intent.currency,
        intent.description,
        intent.metadata,
        intent.return_url,
        intent.cancel_url,
        int(intent.expires_at.timestamp()),
    ]


def _unpacked(packed: list[Any]) -> Intent:
    hexadecimal, user_id, reference, amount, currency, description, metadata, return_url, cancel_url, end = packed
    return Intent(
        id=uuid.UUID(hexadecimal),
        user_id=user_id,
        merchant_reference=reference,
        amount=amount,
        currency=currency,
        description=description,
        metadata=metadata,
        return_url=return_url,
        cancel_url=cancel_url,
        expires_at=datetime.fromtimestamp(end, UTC),
    )


def _signer() -> Signer:
    return Signer(salt=f"{_SALT}.intent")


def _short_signer() -> Signer:
    return Signer(salt=f"{_SALT}.payment")


def _return_signer() -> TimestampSigner:
    return TimestampSigner(salt=f"{_SALT}.return")
