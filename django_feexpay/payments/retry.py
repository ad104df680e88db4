"""Open and send a new attempt of a payment that was surely not charged."""

from __future__ import annotations

import time
from uuid import UUID

from django.utils.translation import gettext as _

from django_feexpay import conf, log_context
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.models.fields import msisdn_hashes
from django_feexpay.models.payment import read_unless_live
from django_feexpay.payments import attempts, idempotency, ledger, prompts, rates
from django_feexpay.payments.admission import gate
from django_feexpay.payments.attempts import (
    PayerDetails,
    is_queued,
    lock_user,
    other_payments_of_order,
    refuse_duplicates,
)
from django_feexpay.payments.durability import durable, refuse_outer_atomic
from django_feexpay.payments.errors import NotAllowedError, invalid
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.sending import send
from django_feexpay.payments.terms import msisdn_of, unavailable, validate_retry


@log_context.step()
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
    """Ask FeexPay about every earlier attempt; if none was or can still be charged, open and send a new one.

    `phone`: another msisdn; "" the same one; a card takes none. Returns the payment with its status afterwards.
    Changes: Attempt, Payment, PaymentEvent, IdempotencyRecord.
    Raises: NotAllowedError `payment_open`, `not_retryable`, `duplicate_payment`, `provider_unavailable`,
    `gateway_unavailable` (also when not all questions are answered within ASK_SECONDS), `too_many_prompts` or
    `validation_error`, as PAYABLE is asked for the price again; InsideAtomicError.
    Safe to repeat: the second call is refused while the first's attempt is open.
    """
    refuse_outer_atomic()
    idempotency.refuse_or_replay(key)
    payment = Payment.objects.select_related("provider", "user").get(pk=payment_id)
    log_context.bind(payment_id=payment.pk, provider=payment.provider_id)
    _refuse_paid(payment)
    _refuse_erased(payment)
    if not payment.provider.is_available:
        raise NotAllowedError("provider_unavailable", unavailable(payment.provider, language))
    if not rates.may_be_used_again(payment):
        message = _("The exchange rate of this payment is too old: please start a new one.")
        raise NotAllowedError("not_retryable", message, payment_id=payment.pk)
    refuse_duplicates(other_payments_of_order(payment))
    code = validate_retry(payment, otp)
    msisdn = msisdn_of(phone, payment.provider.spec) if phone else None
    queued = is_queued(payment.provider.spec)
    # FeexPay's answer may show that an open payment has failed. While FeexPay cannot be asked, the payment stays open:
    # the retry is refused for that reason, and does not take the circuit's probe.
    if payment.status in LIVE and gate.is_restricted(payment.provider_id, queued=queued):
        raise _still_open(payment.pk)
    written: Attempt | None = None
    with gate.admit(payment.provider_id, queued=queued):
        cause = Cause(source=source, because="retried", actor=actor, note=note)
        give_up_at = time.monotonic() + attempts.ASK_SECONDS
        for earlier in payment.attempts.order_by("ordinal"):
            _ask_about(earlier, cause, total_seconds=give_up_at - time.monotonic())
        attempt = _open(payment, msisdn, code, cause, key, queued=queued)
        if attempt.life_status is Status.SENDING:
            written = send(attempt.pk, source=source)
    return read_unless_live(written, payment_id)


def _ask_about(attempt: Attempt, cause: Cause, *, total_seconds: float) -> None:
    """Settle an earlier attempt by FeexPay's answer. Raises NotAllowedError if it may be charged and no answer came.

    total_seconds: the time left. Without time left the retry is refused, and the worker polls the attempt later.
    """
    if attempt.life_status in (Status.CREATED, Status.SENDING):
        return  # the payment is open, so the retry is refused under the lock
    in_time = total_seconds >= attempts.SHORTEST_QUESTION_SECONDS
    # Without a reference it takes two questions: history first, then the status.
    each = total_seconds if attempt.gateway_reference else total_seconds / 2
    answered = in_time and reconcile(
        attempt.pk, source=cause.source, actor=cause.actor, note=cause.note, total_seconds=each
    )
    needs_no_answer = not _may_have_been_charged(attempt) and (in_time or attempt.sent_at is None)
    if answered or needs_no_answer:
        return
    if attempt.events.filter(to_status=Status.REVIEW, because="reference_conflict").exists():
        # Its only payment at FeexPay belongs to another attempt, so FeexPay can never answer about it.
        message = _("FeexPay has recorded this payment under another one. Please start a new payment.")
        raise NotAllowedError("not_retryable", message, payment_id=attempt.payment_id)
    raise attempts.cannot_ask(attempt.payment_id)


def _may_have_been_charged(attempt: Attempt) -> bool:
    """Whether an attempt that did not succeed may have been charged since, so that FeexPay must be asked again.

    That is a failure, a doubtful refusal, an attempt that never arrived, or one that was refused or never sent although
    a webhook names it.
    """
    if attempt.life_status is Status.EXPIRED:
        return attempt.is_not_charged and (attempt.sent_at is not None or attempt.deliveries.exists())
    if attempt.life_status is Status.REJECTED:
        return attempt.is_doubtful_refusal or attempt.deliveries.exists()
    return attempt.life_status is Status.FAILED


@durable()
def _open(
    payment: Payment, msisdn: Msisdn | None, code: str, cause: Cause, key: idempotency.Key | None, *, queued: bool
) -> Attempt:
    """Open the attempt under the payment's lock, so that two retries at once open one."""
    lock_user(payment.user_id)
    idempotency.refuse_or_replay(key)
    current = Payment.objects.select_for_update(of=("self",)).get(pk=payment.pk)
    earlier = list(current.attempts.select_related("payment__provider").order_by("ordinal"))
    _refuse_erased(current)  # the payer may have been erased while FeexPay was asked
    refuse_duplicates(other_payments_of_order(current))
    _refuse_unless_retryable(current, earlier)
    last, now = earlier[-1], conf.now()
    msisdn = msisdn or _msisdn_of(last)
    attempt = attempts.new_attempt(
        payment,
        last.ordinal + 1,
        msisdn,
        PayerDetails(otp=code),
        (last.return_url, last.cancel_url),
        queued=queued,
        now=now,
    )
    hashes = msisdn_hashes(msisdn)
    prompts.lock_msisdn(payment.provider.spec, hashes)
    prompts.refuse_too_many(payment.provider.spec, hashes, attempt.amount)
    ledger.open_attempt(current, attempt, cause, sending=not queued)
    idempotency.record(key, current, now)
    return attempt


def _refuse_paid(payment: Payment) -> None:
    if payment.status == Status.SUCCESSFUL:
        raise NotAllowedError("not_retryable", _("This payment is paid."), payment_id=payment.pk)


def _refuse_erased(payment: Payment) -> None:
    if payment.is_erased:
        message = _("The payer of this payment was erased. Please start a new payment.")
        raise NotAllowedError("not_retryable", message, payment_id=payment.pk)


def _refuse_unless_retryable(payment: Payment, earlier: list[Attempt]) -> None:
    _refuse_paid(payment)
    if not all(attempt.is_not_charged for attempt in earlier):
        raise _still_open(payment.pk)
    if len(earlier) >= feexpay.max_attempts:
        message = _("This payment has had its maximum number of attempts. Please start a new one.")
        raise NotAllowedError("not_retryable", message, payment_id=payment.pk)


def _still_open(payment_id: UUID) -> NotAllowedError:
    message = _("An earlier attempt may still succeed, so no new one was started. Do not pay a second time.")
    return NotAllowedError("payment_open", message, payment_id=payment_id)


def _msisdn_of(attempt: Attempt) -> Msisdn | None:
    """The msisdn of an earlier attempt; None for a card. Raises NotAllowedError if it was erased in the meantime."""
    if attempt.payment.provider.spec.phone is None:
        return None
    if msisdn := attempts.unsealed(attempt.msisdn_sealed):
        return Msisdn(**msisdn)
    raise invalid("phone", "required", _("We no longer have this number. Enter it again."))
