"""Send the code (OTP) that a provider sent its payer: the collect request once more, with the code in it.

That request moves money, so it follows the rules of the first one: one caller sends it, and it is never resent when its
outcome is not known. The code is stored nowhere.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import Case, F, QuerySet
from django.utils.translation import gettext as _

from django_feexpay import conf, failpoints, log_context
from django_feexpay.catalogue.outcomes import DOUBTFUL_REFUSALS, Word
from django_feexpay.gateway.errors import MisconfiguredError, NotSentError, OutcomeUnknownError, RefusedError
from django_feexpay.gateway.reports import Accepted
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.models.payment import read_payments
from django_feexpay.payments import change_notices, idempotency, leases, ledger, webhook_hints
from django_feexpay.payments.admission import gate
from django_feexpay.payments.attempts import collect_request, is_credited, lock_user
from django_feexpay.payments.durability import durable, refuse_outer_atomic
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.terms import code_of

logger = logging.getLogger("django_feexpay.payments")

#: Codes per attempt. The limit stops a person who guesses the code of another person's number.
MAX_CODES = 5

#: How long the caller waits for a poll after FeexPay answered that a code failed.
_ASK_SECONDS = 2.0
_RETRY_AFTER_SECONDS = 5
_NOT_ABOUT_THE_CODE = frozenset({"network_unavailable", "operator_error", "provider_not_activated", "msisdn_erased"})


@log_context.step()
def submit(payment_id: UUID, otp: str, *, source: Source, key: idempotency.Key | None = None) -> Payment:
    """Send the payer's code for the attempt that waits for it; returns the payment with its status afterwards.

    The status may still be `pending`: a later poll tells whether it is paid. Of two concurrent calls one sends.
    Changes: Attempt, IdempotencyRecord; as `reconcile`. Raises: NotAllowedError `otp_not_expected` (the payment waits
    for no code), `otp_rejected` (FeexPay refused it; if the payment's detail is still `otp_required`, send another),
    `gateway_unavailable` (the code surely did not arrive), `validation_error`; InsideAtomicError.
    Safe to repeat: only with the same `key`, which then raises idempotency.AlreadyAnswered.
    """
    refuse_outer_atomic()
    code = code_of(otp)
    idempotency.refuse_or_replay(key)
    payment = Payment.objects.get(pk=payment_id)
    log_context.bind(payment_id=payment.pk, provider=payment.provider_id)
    if not _waiting(payment, conf.now()).exists():  # checked again under the lock, in _take
        idempotency.refuse_or_replay(key)  # the first request with this key may have taken the code just now
        raise _not_expected(payment)
    with gate.admit(payment.provider_id, queued=False):
        attempt = _take(payment, key)
        log_context.bind_attempt(attempt)
        try:
            _send(attempt, code, source)
        except NotAllowedError:
            idempotency.forget(key)
            raise
    return read_payments().get(pk=payment_id)


def _waiting(payment: Payment, now: datetime) -> QuerySet[Attempt]:
    """The payment's attempt that waits for a code, if there is one."""
    if is_credited(payment):
        return Attempt.objects.none()
    waiting = Attempt.objects.filter(payment=payment, status=Status.PENDING, otp_required=True, expires_at__gt=now)
    return waiting.filter(otp_count__lt=MAX_CODES)


@durable()
def _take(payment: Payment, key: idempotency.Key | None) -> Attempt:
    """Claim the right to send one code, and store that its outcome is unknown: a crash needs no clean-up."""
    if key is not None:  # before the payment's lock, as in a retry: one key may arrive for two payments at once
        lock_user(key.user.pk)
        idempotency.refuse_or_replay(key)
    payment = Payment.objects.select_for_update(of=("self",)).get(pk=payment.pk)
    now = conf.now()
    taken = _waiting(payment, now).update(
        otp_required=False,
        sought_by_echo=True,
        otp_count=F("otp_count") + 1,
        next_poll_at=now + leases.LEASE,
        updated_at=now,
    )
    if not taken:
        raise _not_expected(payment)
    idempotency.record(key, payment, now)
    change_notices.announce(payment.pk)
    return Attempt.objects.select_related("payment__provider").get(payment=payment, status=Status.PENDING)


def _send(attempt: Attempt, code: str, source: Source) -> None:
    try:
        accepted = conf.gateway().collect(collect_request(attempt, otp=code))
    except NotSentError as error:
        _await_another(attempt, otp_count=attempt.otp_count - 1)
        raise _unavailable(attempt, error.retry_after_seconds) from None
    except MisconfiguredError as error:
        logger.error("FeexPay refused a code for attempt %s because of our settings: %s", attempt.pk, error)
        _await_another(attempt, otp_count=attempt.otp_count - 1)
        raise _unavailable(attempt, None) from None
    except (RefusedError, OutcomeUnknownError) as error:
        if isinstance(error, RefusedError) and error.code not in DOUBTFUL_REFUSALS:
            _await_another(attempt)
            raise _refused(attempt, error.code) from None
        # The payer may have been charged: the history is searched for our id, and no other code is accepted.
        logger.warning("no usable answer to the code for attempt %s: %s", attempt.pk, error.code)
        _update(attempt, next_poll_at=_next_poll(attempt), payer_sealed=None)
        return
    failpoints.hit("after_send")
    _mark_accepted(attempt, accepted)
    if accepted.word is Word.FAILED:  # poll now, so that the payer is told at once that the code was wrong
        reconcile(attempt.pk, source=source, total_seconds=_ASK_SECONDS)
        asked = Attempt.objects.get(pk=attempt.pk)
        if asked.life_status is Status.FAILED and asked.reason_code == "otp_rejected":
            raise _refused(attempt, asked.reason_code)


def _mark_accepted(attempt: Attempt, accepted: Accepted) -> None:
    """Store the answer's reference in place of the attempt's; usually both are the same."""
    final = accepted.word in (Word.SUCCESSFUL, Word.FAILED)
    changes = {
        "gateway_reference": accepted.reference,
        "redirect_url": accepted.redirect_url or "",
        "sought_by_echo": False,
        "payer_sealed": None,
        "next_poll_at": conf.now() if final else leases.next_poll(attempt, Status.PENDING),
    }
    try:
        with durable():
            _update(attempt, **changes)
    except IntegrityError as error:
        if not ledger.is_reference_conflict(error):
            raise
        logger.error("FeexPay answered attempt %s with another attempt's reference", attempt.pk)
        return  # polls still search the history for our id
    webhook_hints.match(attempt.pk, accepted.reference)


def _await_another(attempt: Attempt, **changes: Any) -> None:
    """Wait for another code, because this one certainly charged nothing. After MAX_CODES no more codes are accepted."""
    another = changes.get("otp_count", attempt.otp_count) < MAX_CODES
    _update(attempt, otp_required=another, sought_by_echo=False, next_poll_at=_next_poll(attempt), **changes)


def _next_poll(attempt: Attempt) -> Case:
    """The usual time, unless a webhook made the attempt due while the code was sent."""
    return leases.unless_changed(attempt, leases.next_poll(attempt, Status.PENDING))


def _update(attempt: Attempt, **changes: Any) -> None:
    """Write only if no poll has settled the attempt, and no other code was claimed, since this code was."""
    rows = Attempt.objects.filter(pk=attempt.pk, status=Status.PENDING, otp_count=attempt.otp_count)
    rows.update(updated_at=conf.now(), **changes)
    change_notices.announce(attempt.payment_id)


def _not_expected(payment: Payment) -> NotAllowedError:
    return NotAllowedError("otp_not_expected", _("No code is expected for this payment."), payment_id=payment.pk)


def _refused(attempt: Attempt, code: str) -> NotAllowedError:
    if code in _NOT_ABOUT_THE_CODE:
        return _unavailable(attempt, None)
    message = _("The code was not accepted. Ask for a new one and try again.")
    if code == "low_balance":  # the code was right
        message = _("There was not enough money, or a limit was reached. Top up or use another number.")
    elif attempt.otp_count >= MAX_CODES:
        message = _("The code was not accepted, and this payment accepts no other code.")
    return NotAllowedError("otp_rejected", message, payment_id=attempt.payment_id)


def _unavailable(attempt: Attempt, retry_after_seconds: int | None) -> NotAllowedError:
    message = _("The code could not be delivered. Nothing was taken; please try again.")
    return NotAllowedError(
        "gateway_unavailable",
        message,
        payment_id=attempt.payment_id,
        retry_after_seconds=retry_after_seconds or _RETRY_AFTER_SECONDS,
    )
