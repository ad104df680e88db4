"""Start a payment: check it, write it, and send its first attempt unless the worker does.

The intent is committed before FeexPay is called, and the outcome after it: no call is made inside a transaction, so a
process that dies in between leaves a row that shows how far it came.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.db.models import QuerySet

from django_feexpay import conf, failpoints, log_context
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.models.payment import read_unless_live
from django_feexpay.payments import checkouts, idempotency, ledger, prompts
from django_feexpay.payments.admission import gate
from django_feexpay.payments.attempts import (
    PayerDetails,
    ask_about_refusals,
    cannot_ask,
    doubtful_refusals,
    is_queued,
    lock_user,
    new_attempt,
    refuse_duplicates,
)
from django_feexpay.payments.checkouts import CheckoutIntent
from django_feexpay.payments.durability import durable_or_joined, refuse_outer_atomic, refuse_unusable_database
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.sending import send, send_opened
from django_feexpay.payments.terms import AgreedTerms, PaymentRequest, language_of, validate

#: Every start runs this twice. Building it with the ORM took a tenth of a start's time.
_HAS_PAYMENT = "SELECT EXISTS (SELECT 1 FROM feexpay_payment WHERE merchant_reference = %s)"
#: Two equal payments of a user within this time, without an order or a key, are a double tap.
_DOUBLE_TAP = timedelta(seconds=60)
#: A start time farther in the future than this was written by a wrong clock, and the payment is no double tap.
_CLOCK_WAS_AHEAD = timedelta(days=1)


@log_context.step()
def start(
    request: PaymentRequest,
    *,
    source: Source,
    key: idempotency.Key | None = None,
    checkout: CheckoutIntent | None = None,
) -> Payment:
    """Start a payment and, unless it is queued, send its first attempt.

    `checkout`: the intent of the checkout address that the payer opened; one intent has one payment.
    Returns the payment with its status afterwards. CREATED, SENDING and UNKNOWN mean that FeexPay's answer is not
    known.
    A queued payment may be started inside the host's own transaction: the worker sends it after the commit. Until then
    the user and the number stay locked. A host that starts payments for several users in one transaction must always
    start them in the same order of users. Otherwise two transactions can deadlock, and PostgreSQL rolls one of them
    back.
    Changes: Payment, Attempt, PaymentEvent, IdempotencyRecord, Checkout in one transaction before anything is sent.
    Raises: NotAllowedError, `gateway_unavailable` and `too_many_prompts` among them; InsideAtomicError. Then nothing
    was written.
    Safe to repeat: with the same `key`, which then raises idempotency.AlreadyAnswered, or the same `checkout`, which is
    then refused as a `duplicate_payment`.
    """
    refuse_unusable_database()
    idempotency.refuse_or_replay(key)
    terms = validate(request)
    queued = is_queued(terms.provider.spec)
    if not queued:
        refuse_outer_atomic()
    # Checked before admission, so that a duplicate gets its own answer while a circuit is open, and does not take the
    # circuit's probe. Checked again under the lock.
    has_history = _has_history(request)
    try:
        _refuse_duplicate(terms, checkout, has_key=key is not None, has_history=has_history)
    except NotAllowedError:
        idempotency.refuse_or_replay(key)  # the duplicate may be the first request with this key, committed just now
        raise
    written: Attempt | None = None
    with gate.admit(terms.provider.code, queued=queued):
        asks_now = has_history and not queued  # the worker asks before it sends a queued one
        if asks_now and not ask_about_refusals(request.user, request.merchant_reference, source=source):
            raise cannot_ask()
        attempt = _open(terms, source, key, checkout, queued=queued, asked=asks_now or queued)
        log_context.bind(payment_id=attempt.payment_id, attempt_id=attempt.pk, provider=terms.provider.code)
        failpoints.hit("started")
        if attempt.life_status is Status.SENDING:
            # Asking takes up to seconds, in which staff may have switched the provider off: then it is read again.
            written = send(attempt.pk, source=source) if asks_now else send_opened(attempt, source=source)
    return read_unless_live(written, attempt.payment_id)


@durable_or_joined()
def _open(
    terms: AgreedTerms,
    source: Source,
    key: idempotency.Key | None,
    checkout: CheckoutIntent | None,
    *,
    queued: bool,
    asked: bool,
) -> Attempt:
    """Write the payment and its first attempt under the locks of the user and the number.

    asked: FeexPay was, or will be, asked about the doubtful refusals of the order; False if the order had no payment.
    """
    request, quote, now = terms.request, terms.quote, conf.now()
    lock_user(request.user.pk if request.user else None)
    idempotency.refuse_or_replay(key)
    prompts.lock_msisdn(terms.provider.spec, terms.msisdn_hashes)
    has_history = _has_history(request)
    _refuse_duplicate(terms, checkout, has_key=key is not None, has_history=has_history)
    if has_history and not asked and doubtful_refusals(request.user, request.merchant_reference).exists():
        raise cannot_ask()  # another start of this order was refused since this one found no payment of it
    payment = Payment(
        user=request.user,
        provider=terms.provider,
        amount=request.amount,
        currency=quote.currency,
        charged_amount=quote.charged_amount,
        charged_currency=quote.charged_currency,
        exchange_rate=quote.exchange_rate,
        fee=quote.fee,
        merchant_reference=request.merchant_reference,
        description=request.description,
        metadata=dict(request.metadata),
        idempotency_key=key.value if key else "",
        language=language_of(request),
        created_at=now,
        updated_at=now,
    )
    details = PayerDetails(
        first_name=request.first_name, last_name=request.last_name, email=request.email, otp=terms.otp
    )
    urls = (request.return_url, request.cancel_url)
    attempt = new_attempt(payment, 1, terms.msisdn, details, urls, queued=queued, now=now)
    actor = str(request.user.pk) if request.user else ""
    ledger.open_payment(payment, attempt, Cause(source=source, because="started", actor=actor), sending=not queued)
    idempotency.record(key, payment, now)
    checkouts.record(checkout, payment, now)
    return attempt


def _has_history(request: PaymentRequest) -> bool:
    """Whether any payment has this merchant reference, of any user and any status; False without one.

    Nearly no order has a payment when it is started. Then there is no duplicate to find and no refusal to ask about.
    """
    if not request.merchant_reference:
        return False
    with connection.cursor() as cursor:
        cursor.execute(_HAS_PAYMENT, [request.merchant_reference])
        return bool(cursor.fetchone()[0])


def _refuse_duplicate(terms: AgreedTerms, checkout: CheckoutIntent | None, *, has_key: bool, has_history: bool) -> None:
    """Raise NotAllowedError `duplicate_payment` or `too_many_prompts`. Exact only under the locks."""
    request = terms.request
    checkouts.refuse_second(checkout)
    if has_history:
        refuse_duplicates(Payment.objects.of_order(request.user, request.merchant_reference))
    elif not request.merchant_reference and not has_key:  # without an order, each key means a payment of its own
        refuse_duplicates(_double_taps(terms))
    prompts.refuse_too_many(terms.provider.spec, terms.msisdn_hashes, terms.quote.charged_amount)


def _double_taps(terms: AgreedTerms) -> QuerySet[Payment]:
    """The user's payments without an order that were just started with the same terms."""
    now = conf.now()
    return Payment.objects.of_order(terms.request.user, "").filter(
        provider=terms.provider,
        amount=terms.request.amount,
        currency=terms.quote.currency,
        latest_attempt__msisdn_hash__in=terms.msisdn_hashes or [""],
        created_at__gt=now - _DOUBLE_TAP,
        created_at__lt=now + _CLOCK_WAS_AHEAD,
    )
