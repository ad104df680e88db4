"""A new attempt of a payment that surely was not taken."""

from __future__ import annotations

import time
from uuid import UUID

from django.utils.translation import gettext as _

from django_feexpay import conf
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.models.payment import read_payments
from django_feexpay.payments import idempotency, ledger, prompts, rates
from django_feexpay.payments.admission import gate
from django_feexpay.payments.durability import durable, refuse_without_autocommit
from django_feexpay.payments.errors import NotAllowedError, invalid
from django_feexpay.payments.initiate import (
    ASK_SECONDS,
    COME_BACK_SECONDS,
    SHORTEST_QUESTION_SECONDS,
    PayerDetails,
    is_queued,
    lock_user,
    new_attempt,
    refuse_duplicates,
    send,
    unsealed,
)
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.terms import code_of, judge_again, msisdn_of, unavailable


def retry(
    payment_id: UUID,
    *,
    source: Source,
    phone: str = "",
    otp: str = "",
    actor: str = "",
    note: str = "",
    key: idempotency.Key | None = None,
    language: str = "en",
) -> Payment:
    """Ask about every earlier attempt, then open and send a new one if none of them was or can still be charged.

    `phone`: another msisdn; "" the same one; a card takes none. Returns the payment as it stands afterwards.
    Changes: Attempt, Payment, PaymentEvent, IdempotencyRecord.
    Raises: NotAllowedError `payment_open`, `not_retryable`, `duplicate_payment`, `provider_unavailable`,
    `gateway_unavailable` (also when not all questions are answered within ASK_SECONDS), `too_many_prompts` or
    `validation_error`, the price being asked for again.
    Safe to repeat: the second call is refused while the first's attempt is open.
    """
    refuse_without_autocommit()
    if key is not None:
        idempotency.refuse_or_replay(key)
    payment = Payment.objects.select_related("provider", "user").get(pk=payment_id)
    if payment.status == Status.SUCCESSFUL:
        raise NotAllowedError("not_retryable", _("This payment is paid."), payment_id=payment.pk)
    if not payment.provider.is_available:
        raise NotAllowedError("provider_unavailable", unavailable(payment.provider, language))
    if not rates.may_be_used_again(payment):
        message = _("The exchange rate of this payment is too old: please start a new one.")
        raise NotAllowedError("not_retryable", message, payment_id=payment.pk)
    _refuse_duplicate_of_order(payment)
    judge_again(payment, otp)
    msisdn = msisdn_of(phone, payment.provider.spec) if phone else None
    queued = is_queued(payment.provider.spec)
    with gate.admit(payment.provider_id, queued=queued, first=lambda: _refuse_known(payment.pk, key)):
        give_up_at = time.monotonic() + ASK_SECONDS
        for earlier in payment.attempts.order_by("ordinal"):
            left = give_up_at - time.monotonic()
            _ask_about(earlier, source=source, actor=actor, note=note, total_seconds=left)
        attempt = _open(payment, msisdn, otp, Cause(source=source, because="retried", actor=actor, note=note), key)
        if attempt.life_status is Status.SENDING:
            send(attempt.pk, source=source)
    return read_payments().get(pk=payment_id)


def _refuse_known(payment_id: UUID, key: idempotency.Key | None) -> None:
    """Raises what is the answer to a retry that is under way: AlreadyAnswered or NotAllowedError."""
    if key is not None:
        idempotency.refuse_or_replay(key)
    if Payment.objects.filter(pk=payment_id, status__in=LIVE).exists():
        raise _still_open(payment_id)


def _ask_about(attempt: Attempt, *, source: Source, actor: str, note: str, total_seconds: float) -> None:
    """Without FeexPay's word today, what may have been charged after all is no ground to ask the payer again.

    total_seconds: the time left for it. With none left the retry is refused, and the worker goes on asking.
    """
    if attempt.life_status in (Status.CREATED, Status.SENDING):
        return  # it stands in the way as it is
    in_time = total_seconds >= SHORTEST_QUESTION_SECONDS
    # Without a reference it takes two questions: history first, then the status.
    each = total_seconds if attempt.gateway_reference else total_seconds / 2
    heard = in_time and reconcile(attempt.pk, source=source, actor=actor, note=note, total_seconds=each)
    surely_unsent = attempt.sent_at is None and not _may_have_been_charged(attempt)
    if heard or surely_unsent or (in_time and not _may_have_been_charged(attempt)):
        return
    if attempt.events.filter(to_status=Status.REVIEW, because="reference_conflict").exists():
        # Its only payment at FeexPay belongs to another attempt, so FeexPay's word about it can never come.
        message = _("FeexPay counts this payment under another one. Please start a new payment.")
        raise NotAllowedError("not_retryable", message, payment_id=attempt.payment_id)
    message = _("FeexPay could not be asked about the earlier attempt. Please try again soon.")
    raise NotAllowedError(
        "gateway_unavailable", message, payment_id=attempt.payment_id, retry_after_seconds=COME_BACK_SECONDS
    )


def _may_have_been_charged(attempt: Attempt) -> bool:
    """A failure of yesterday, a refusal that no source names, what never arrived, or what was refused or never left
    though a webhook names it. Of others the statuses say enough.
    """
    if attempt.life_status is Status.EXPIRED:
        return attempt.is_not_charged and (attempt.sent_at is not None or attempt.deliveries.exists())
    if attempt.life_status is Status.REJECTED:
        return attempt.is_doubtful_refusal or attempt.deliveries.exists()
    return attempt.life_status is Status.FAILED


@durable()
def _open(payment: Payment, msisdn: Msisdn | None, otp: str, cause: Cause, key: idempotency.Key | None) -> Attempt:
    """Under the payment's lock, so that two retries at once open one attempt."""
    lock_user(payment.user_id)
    if key is not None:
        idempotency.refuse_or_replay(key)
    current = Payment.objects.select_for_update(of=("self",)).get(pk=payment.pk)
    attempts = list(current.attempts.order_by("ordinal"))
    _refuse_duplicate_of_order(current)
    _refuse_unless_retryable(current, attempts)
    queued = is_queued(payment.provider.spec)
    attempt = _next_attempt(payment, attempts[-1], msisdn, otp, queued=queued)
    prompts.lock_msisdn(payment.provider.spec, attempt.msisdn_hash)
    prompts.refuse_too_many(payment.provider.spec, attempt.msisdn_hash, attempt.amount)
    ledger.open_attempt(current, attempt, cause, sending=not queued)
    if key is not None:
        idempotency.record(key, current, conf.now())
    return attempt


def _refuse_duplicate_of_order(payment: Payment) -> None:
    """The payer may have started anew for the same order meanwhile: then that is the payment to go on with."""
    if payment.merchant_reference:
        of_order = Payment.objects.of_order(payment.user_id, payment.merchant_reference)
        refuse_duplicates(of_order.exclude(pk=payment.pk))


def _refuse_unless_retryable(payment: Payment, attempts: list[Attempt]) -> None:
    if payment.status == Status.SUCCESSFUL:
        raise NotAllowedError("not_retryable", _("This payment is paid."), payment_id=payment.pk)
    if not all(attempt.is_not_charged for attempt in attempts):
        raise _still_open(payment.pk)
    if len(attempts) >= feexpay.max_attempts:
        message = _("There were enough attempts of this payment. Please start a new one.")
        raise NotAllowedError("not_retryable", message, payment_id=payment.pk)


def _still_open(payment_id: UUID) -> NotAllowedError:
    message = _("An earlier attempt may still succeed: the payer must not be asked twice.")
    return NotAllowedError("payment_open", message, payment_id=payment_id)


def _next_attempt(payment: Payment, last: Attempt, msisdn: Msisdn | None, otp: str, *, queued: bool) -> Attempt:
    same = _msisdn_of(last) if msisdn is None else msisdn
    return new_attempt(
        payment,
        last.ordinal + 1,
        same,
        PayerDetails(otp=code_of(otp) if otp else ""),
        (last.return_url, last.cancel_url),
        queued=queued,
        now=conf.now(),
    )


def _msisdn_of(attempt: Attempt) -> Msisdn | None:
    """The msisdn of an earlier attempt, unless it was erased meanwhile: then the payer must give it again.

    None for a card, which never had one.
    """
    if not attempt.masked_msisdn:
        return None
    if msisdn := unsealed(attempt.msisdn_sealed):
        return Msisdn(**msisdn)
    raise invalid("phone", "required", _("We no longer hold this number: please give it again."))
