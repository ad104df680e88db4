"""Start a payment: check it, write it, and send its first attempt unless the worker does.

The intent is committed before FeexPay is called, and the outcome after it: no call is made inside a transaction, so a
process that dies in between leaves a row that says how far it came.
"""

from __future__ import annotations

from datetime import timedelta

from django_feexpay import conf, failpoints
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.models.payment import read_payments
from django_feexpay.payments import idempotency, ledger, prompts
from django_feexpay.payments.admission import gate
from django_feexpay.payments.attempts import (
    PayerDetails,
    ask_about_refusals,
    cannot_ask,
    hash_msisdn,
    is_queued,
    lock_user,
    new_attempt,
    refuse_duplicates,
)
from django_feexpay.payments.durability import durable_or_joined, refuse_outer_atomic, refuse_without_autocommit
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.sending import send
from django_feexpay.payments.terms import AgreedTerms, PaymentRequest, code_of, validate

#: Two equal payments of a user within this time, without an order or a key, are a double tap.
_DOUBLE_TAP = timedelta(seconds=60)
#: A payment that was started farther in the future than this, by a clock that was ahead, is no double tap.
_CLOCK_WAS_AHEAD = timedelta(days=1)


def start(request: PaymentRequest, *, source: Source, key: idempotency.Key | None = None) -> Payment:
    """Start a payment and, unless it is queued, send its first attempt.

    Returns the payment with its status afterwards; CREATED, SENDING or UNKNOWN: the gateway's answer is not known.
    A queued payment may be started inside a transaction of the host's: it is sent after that one has committed.
    Changes: Payment, Attempt, PaymentEvent, IdempotencyRecord in one transaction before anything is sent.
    Raises: NotAllowedError, `gateway_unavailable` and `too_many_prompts` among them; InsideAtomicError. Then nothing
    was written.
    Safe to repeat: only with the same `key`, which then raises idempotency.AlreadyAnswered.
    """
    refuse_without_autocommit()
    if key is not None:
        idempotency.refuse_or_replay(key)
    terms = validate(request)
    queued = is_queued(terms.spec)
    if not queued:
        refuse_outer_atomic()
    # Checked before admission, so that a duplicate gets its own answer while FeexPay is in trouble, and does not take
    # the probe of a circuit; checked again under the lock.
    try:
        _refuse_duplicate(terms, has_key=key is not None)
    except NotAllowedError:
        if key is not None:  # the duplicate may be the first request with this key, committed just now
            idempotency.refuse_or_replay(key)
        raise
    with gate.admit(terms.spec.code, queued=queued):
        if not queued and not ask_about_refusals(request.user, request.merchant_reference, source=source):
            raise cannot_ask()
        attempt = _open(terms, source, key)
        failpoints.hit("started")
        if attempt.life_status is Status.SENDING:
            send(attempt.pk, source=source)
    return read_payments().get(pk=attempt.payment_id)


@durable_or_joined()
def _open(terms: AgreedTerms, source: Source, key: idempotency.Key | None) -> Attempt:
    """Write what must exist before FeexPay is called."""
    request, now = terms.request, conf.now()
    lock_user(request.user.pk if request.user else None)
    if key is not None:
        idempotency.refuse_or_replay(key)
    prompts.lock_msisdn(terms.spec, hash_msisdn(terms.msisdn))
    _refuse_duplicate(terms, has_key=key is not None)
    payment = Payment(
        user=request.user,
        provider=terms.provider,
        amount=request.amount,
        currency=terms.currency,
        charged_amount=terms.charged_amount,
        charged_currency=terms.spec.currency,
        exchange_rate=terms.exchange_rate,
        fee=terms.fee,
        merchant_reference=request.merchant_reference,
        description=request.description,
        metadata=dict(request.metadata),
        idempotency_key=key.value if key else "",
        created_at=now,
        updated_at=now,
    )
    details = PayerDetails(
        first_name=request.first_name,
        last_name=request.last_name,
        email=request.email,
        otp=code_of(request.otp) if request.otp else "",
    )
    urls, queued = (request.return_url, request.cancel_url), is_queued(terms.spec)
    attempt = new_attempt(payment, 1, terms.msisdn, details, urls, queued=queued, now=now)
    actor = str(request.user.pk) if request.user else ""
    ledger.open_payment(payment, attempt, Cause(source=source, because="started", actor=actor), sending=not queued)
    if key is not None:
        idempotency.record(key, payment, now)
    return attempt


def _refuse_duplicate(terms: AgreedTerms, *, has_key: bool) -> None:
    """Raise NotAllowedError `duplicate_payment` or `too_many_prompts`. Exact only under the locks."""
    request, now = terms.request, conf.now()
    duplicates = Payment.objects.of_order(request.user, request.merchant_reference)
    if not request.merchant_reference:
        duplicates = duplicates.filter(
            provider=terms.provider,
            amount=request.amount,
            currency=terms.currency,
            latest_attempt__msisdn_hash=hash_msisdn(terms.msisdn),
            created_at__gt=now - _DOUBLE_TAP,
            created_at__lt=now + _CLOCK_WAS_AHEAD,
        )
    if request.merchant_reference or not has_key:  # without an order, each key means a payment of its own
        refuse_duplicates(duplicates)
    prompts.refuse_too_many(terms.spec, hash_msisdn(terms.msisdn), terms.charged_amount)
