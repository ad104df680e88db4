"""The functions that a host project calls. The HTTP API and the admin do the same with their own arguments.

Call them outside a transaction, because a prompt on the payer's phone cannot be rolled back: inside one they raise
InsideAtomicError. Only start_payment with DISPATCH "queue" may be part of your transaction. With autocommit off they
raise NotAllowedError `not_configured`. An unknown payment id, or one that is no UUID, raises Payment.DoesNotExist.
No function raises an error of FeexPay: it becomes a status of the payment.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from django_feexpay import log_context
from django_feexpay.catalogue import money
from django_feexpay.catalogue.phone import PhoneError, parse
from django_feexpay.catalogue.providers import CATALOGUE, ProviderCode
from django_feexpay.models import Payment, Provider
from django_feexpay.payments import idempotency, initiate, retry, reviews, terms
from django_feexpay.payments import otp as otp_step
from django_feexpay.payments.durability import refuse_outer_atomic
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.terms import PERSONAL, PaymentRequest, Quote
from django_feexpay.private import PrivateText

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def start_payment(
    *,
    user: AbstractBaseUser | AnonymousUser | None,
    provider: ProviderCode | str,
    amount: int | Decimal,
    currency: str = "",
    phone: str = "",
    merchant_reference: str = "",
    description: str = "",
    metadata: Mapping[str, Any] | None = None,
    otp: str = "",
    return_url: str = "",
    cancel_url: str = "",
    return_hosts: Sequence[str] = (),
    first_name: str = "",
    last_name: str = "",
    email: str = "",
    idempotency_key: str = "",
    language: str = "",
) -> Payment:
    """Ask a payer for money. Return the payment after FeexPay answered or timed out.

    user: None for a guest. An AnonymousUser is refused: pass `user=None` if you sell to guests.
    amount: an integer in the minor unit of `currency` (XOF and XAF have none). A Decimal without a fraction is
    accepted in francs only: in euros it could mean euros or cents.
    currency: "" for the provider's own. return_hosts: the hosts that `return_url` and `cancel_url` may name.
    idempotency_key: the same call with the same key returns the same payment; needs a user.
    language: "fr", …: the payer's, for notifications; "" for the active one. Not offered by LANGUAGES: LANGUAGE_CODE.
    Raises: NotAllowedError if the payment may not be started: no payment was written, no payer asked; TypeError and
    ValueError for a mistake in the calling code.
    """
    phone, otp, first_name, last_name, email = _private(phone, otp, first_name, last_name, email)
    wanted: dict[str, Any] = {
        "provider": str(provider),
        "amount": _whole(amount, currency),
        "currency": currency,
        "phone": phone,
        "merchant_reference": merchant_reference,
        "description": description,
        "metadata": metadata or {},
        "otp": otp,
        "return_url": return_url,
        "cancel_url": cancel_url,
        "return_hosts": tuple(return_hosts),
        "first_name": first_name,
        "last_name": last_name,
        "email": email,
    }
    order = PaymentRequest(user=user_or_guest(user), language=language, **wanted)
    key = _key(user, idempotency_key, wanted) if idempotency_key else None
    try:
        with _by_host():
            payment = initiate.start(order, source=Source.HOST, key=key)
    except idempotency.AlreadyAnswered as answered:
        return _read(answered.payment_id)
    if key is not None:
        idempotency.remember(key, 201, {"id": str(payment.pk)})  # the host gets the payment, so no body is stored
    return payment


def _asynchronous(function: Callable[_Arguments, _Answer]) -> Callable[_Arguments, Awaitable[_Answer]]:
    """The function as a coroutine function that masks personal arguments first: error reports show every frame."""

    @functools.wraps(function)
    async def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        for name in PERSONAL:
            if type(kwargs.get(name)) is str:
                kwargs[name] = PrivateText(str(kwargs[name]))
        return await sync_to_async(function)(*args, **kwargs)

    call.__name__ = call.__qualname__ = f"a{function.__name__}"
    return call


astart_payment = _asynchronous(start_payment)


def retry_payment(payment_id: Payment | UUID | str, *, phone: str = "", otp: str = "") -> Payment:
    """Ask FeexPay about every earlier attempt. If all of them failed for certain, start a new one.

    phone: another number; "" for the same one. otp: for a provider whose payer gets a code before the start.
    Raises: NotAllowedError `payment_open`, `not_retryable`, `duplicate_payment`, `provider_unavailable`,
    `gateway_unavailable`, `too_many_prompts`, `validation_error`.
    """
    phone, otp = _private(phone, otp)
    refuse_outer_atomic()
    with _by_host():
        return retry.retry(_uuid(payment_id), source=Source.HOST, phone=phone, otp=otp)


def submit_otp(payment_id: Payment | UUID | str, otp: str) -> Payment:
    """Send FeexPay the code that the payer received after the start. Return the payment after the answer.

    Raises: NotAllowedError `otp_not_expected`, `otp_rejected`, `gateway_unavailable`, `validation_error`.
    """
    otp = PrivateText(otp)
    refuse_outer_atomic()
    with _by_host():
        return otp_step.submit(_uuid(payment_id), otp, source=Source.HOST)


def reconcile_payment(payment_id: Payment | UUID | str, *, total_seconds: float | None = None) -> Payment:
    """Ask FeexPay now about every attempt of a payment, settle it by the answers and return it.

    total_seconds: the timeout for each attempt, where a payer waits for your page. An attempt about which FeexPay does
    not answer stays as it is, and the worker asks again.
    """
    refuse_outer_atomic()
    payment = _read(payment_id)
    with _by_host():
        for attempt_id in payment.attempts.values_list("pk", flat=True):
            reconcile(attempt_id, source=Source.HOST, total_seconds=total_seconds)
    return _read(payment.pk)


def close_review(
    payment: Payment | UUID | str, *, decision: str, reason: str, actor: Any, approve: bool = False
) -> Payment:
    """Ask FeexPay once more, then close a payment under review by a person's decision and return it.

    decision: `credit_taken` (the amount FeexPay says it took), `credit_price` (the price) or `not_paid`.
    actor: the user who decides, or the user name. Above `REVIEW_TWO_PERSON_ABOVE` the payment stays under review until
    another actor calls this again with `approve`.
    Raises: NotAllowedError if the decision was not taken. `decided_by_gateway`: FeexPay's answer settled the payment.
    """
    refuse_outer_atomic()
    with _by_host():
        closing = reviews.close(
            _read(payment).pk,
            decision,
            reason=reason,
            actor=reviews.actor_of(actor),
            source=Source.HOST,
            approve=approve,
        )
    return closing.payment


def quote(
    *,
    provider: Provider | ProviderCode | str,
    amount: int | Decimal,
    currency: str = "",
    user: AbstractBaseUser | AnonymousUser | None = None,
) -> Quote:
    """The amount the payer would be charged now, with fee and exchange rate. Asks neither FeexPay nor PAYABLE.

    provider: its code, or its row if you have read it already.
    user: payments that this user starts within ten minutes get the rate of this quote. None: no rate is kept.
    Raises: NotAllowedError `validation_error`, `provider_unavailable`, `rate_unavailable`.
    """
    payer, whole = user_or_guest(user), _whole(amount, currency)
    if isinstance(provider, Provider):
        return terms.quote_with(provider, whole, currency, user=payer)
    return terms.quote(user=payer, provider=str(provider), amount=whole, currency=currency)


def guess_provider(phone: str, *, country: str = "") -> ProviderCode | None:
    """The provider whose prefixes match the number; None if no provider or several match.

    country: "BJ", …; without it a number needs its calling code ("+229 01 97 00 00 50").
    Suggest it in a form, and do not refuse another choice: payers keep their number when they change networks.
    """
    phone = PrivateText(phone)
    found = []
    for code, spec in CATALOGUE.items():
        if spec.phone is None or not spec.served or (country and spec.country != country.upper()):
            continue
        try:
            national = parse(phone, spec.phone).national
        except PhoneError:
            continue
        if national.startswith(spec.phone.prefixes):
            found.append(ProviderCode(code))
    return found[0] if len(found) == 1 else None


def _key(user: Any, value: str, wanted: Mapping[str, Any]) -> idempotency.Key:
    if user is None:
        raise ValueError("idempotency_key belongs to a user: pass a user, or no key")
    given = {name: item for name, item in wanted.items() if item}
    return idempotency.key_of(user, value, "start_payment", given)


def _by_host() -> AbstractContextManager[None]:
    """The context of log lines. A block and no decorator: the frame of a decorator would hold a plain phone number."""
    return log_context.entry_point(log_context.HOST)


def _whole(amount: int | Decimal, currency: str) -> int:
    if type(amount) is int:
        return amount
    if isinstance(amount, Decimal) and currency not in money.CONVERTIBLE and amount.is_finite() and not amount % 1:
        return int(amount)
    raise (ValueError if isinstance(amount, Decimal) else TypeError)(
        f"amount={amount!r}: pass an int in the minor unit of the currency, 5000 for 5 000 F CFA or 4990 for 49.90 EUR"
    )


def user_or_guest(user: AbstractBaseUser | AnonymousUser | None) -> AbstractBaseUser | None:
    """The user, or None for a guest. Raises: TypeError, with what to pass instead, for anything else."""
    if user is None or isinstance(user, get_user_model()):
        return user
    if getattr(user, "is_anonymous", False):
        raise TypeError("user is an AnonymousUser: let the payer sign in, or pass user=None to sell to a guest")
    raise TypeError(f"user must be a {get_user_model().__name__}, or None for a guest, not {type(user).__name__}")


def _private(*texts: str) -> tuple[str, ...]:
    """Mask texts. Other types stay unchanged, and `payments.terms` refuses them."""
    return tuple(PrivateText(text) if type(text) is str else text for text in texts)


def _uuid(payment_id: Payment | UUID | str) -> UUID:
    if isinstance(payment_id, Payment):
        return payment_id.pk
    if isinstance(payment_id, UUID):
        return payment_id
    try:
        return UUID(payment_id)
    except (ValueError, TypeError, AttributeError):
        raise Payment.DoesNotExist(f"{payment_id!r} is not a UUID, so it is no payment id") from None


def _read(payment_id: Payment | UUID | str) -> Payment:
    return Payment.objects.for_reading().get(pk=_uuid(payment_id))
