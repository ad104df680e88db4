"""Send an attempt to FeexPay and write its outcome; resend only a request that surely never left."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError

from django_feexpay import conf, failpoints, log_context
from django_feexpay.catalogue.outcomes import DOUBTFUL_REFUSALS, Word
from django_feexpay.gateway.errors import MisconfiguredError, NotSentError, OutcomeUnknownError, RefusedError
from django_feexpay.gateway.reports import Accepted, HostedPage
from django_feexpay.gateway.request_bodies import PageRequest
from django_feexpay.lifecycle import NEVER_SENT, Status
from django_feexpay.models import Attempt, PaymentEvent
from django_feexpay.payments import leases, ledger, reconcile, webhook_hints
from django_feexpay.payments.admission import gate
from django_feexpay.payments.attempts import (
    ask_about_refusals,
    collect_request,
    expiry_of,
    is_credited,
    other_payments_of_order,
)
from django_feexpay.payments.ledger import Cause, Source

logger = logging.getLogger("django_feexpay.payments")

#: How long a queued attempt waits while FeexPay may already have it, or while its order may be charged.
_ASK_AGAIN = timedelta(seconds=30)
#: The payer has at least this time to answer an attempt that was sent late, or the host's expiry if that is shorter.
SHORTEST_WINDOW = timedelta(minutes=5)
#: After this many sends that never left, an attempt expires as never sent, even before its expiry.
MAX_SENDS = 12
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = timedelta(seconds=5), timedelta(minutes=2)


def send(attempt_id: UUID, *, source: Source) -> Attempt | None:
    """Read an attempt in SENDING and send it, as `send_opened` does."""
    return send_opened(Attempt.objects.select_related("payment__provider").get(pk=attempt_id), source=source)


@log_context.step()
def send_opened(attempt: Attempt, *, source: Source) -> Attempt | None:
    """Send an attempt in SENDING, and write the outcome.

    Returns the attempt with its payment and provider, as this call wrote them; None if a webhook or another process
    changed the attempt meanwhile.
    Changes: the attempt, by `ledger.move`. Safe to repeat: no. The caller must just have moved it to SENDING itself.
    If that took long, or an earlier attempt may have been credited meanwhile, use `send`, which reads it again.
    """
    log_context.bind_attempt(attempt)
    if reason := _reason_not_to_send(attempt):
        return _reject(attempt, source, reason, "")
    failpoints.hit("before_send")
    try:
        answer = _call_gateway(attempt)
    except NotSentError as error:
        written = _put_back(attempt, source, error)
    except RefusedError as error:
        written = _reject(attempt, source, error.code, error.text)
    except MisconfiguredError as error:
        logger.error("FeexPay refused attempt %s because of our settings: %s", attempt.pk, error)
        written = _reject(attempt, source, error.code, "")
    except OutcomeUnknownError as error:
        written = _mark_unknown(attempt, source, error.code)
    else:
        failpoints.hit("after_send")
        if isinstance(answer, HostedPage):
            written = _mark_page_opened(attempt, answer, source)
        else:
            written = _mark_accepted(attempt, answer, source)
    failpoints.hit("sent")
    if written is not None:
        written.payment.provider = attempt.payment.provider
    return written


@log_context.step()
def send_due(held: leases.Claim, *, source: Source) -> None:
    """Send a queued attempt under a claim, or expire it when its time is over, or release it to wait.

    If a webhook names it, FeexPay may already have it, so the history is searched first. The attempt waits while
    FeexPay does not answer that search or a question about an earlier refusal of the order, while another payment of
    the order is open, and while a circuit is open or FeexPay's rate limit is reached. If it is sent late, its
    payer has SHORTEST_WINDOW.
    Changes: as `send`, and `next_poll_at`. Safe to repeat: yes; only one caller moves it to SENDING.
    """
    attempt = Attempt.objects.select_related("payment__provider").get(pk=held.attempt_id)
    log_context.bind_attempt(attempt)
    payment = attempt.payment
    found = reconcile.find_unsent(attempt.pk, source=source) if attempt.deliveries.exists() else False
    if found:
        return
    refusals_answered = found is False and ask_about_refusals(
        payment.user_id, payment.merchant_reference, source=source, excluding=payment.pk
    )
    if found is False and is_credited(payment):
        _reject(attempt, source, "already_credited", "")
        return
    now = conf.now()
    if now >= attempt.expires_at or _times_put_back(attempt) >= MAX_SENDS:
        # A webhook names it and the history could not be read: the search goes on after the expiry.
        next_poll_at = leases.next_poll(attempt, Status.EXPIRED) if found is None else None
        expired = {"next_poll_at": next_poll_at, "payer_sealed": None, "reason_code": NEVER_SENT}
        ledger.move(attempt.pk, Status.EXPIRED, Cause(source=source, because=NEVER_SENT), changes=expired)
        return
    if not refusals_answered or other_payments_of_order(payment).exists():
        leases.release(held, min(now + _ASK_AGAIN, attempt.expires_at))
        return
    if wait := gate.wait_to_send(payment.provider_id):
        wait_at_most = min(timedelta(seconds=wait), leases.MAX_RELEASE_DELAY)
        leases.release(held, min(now + wait_at_most, attempt.expires_at))
        return
    lease = leases.SYNCHRONOUS_LEASE if payment.provider.spec.synchronous else leases.LEASE
    window = min(expiry_of(payment.provider.spec), SHORTEST_WINDOW)
    sending = {"next_poll_at": now + lease, "sent_at": now, "expires_at": max(attempt.expires_at, now + window)}
    if ledger.move(attempt.pk, Status.SENDING, Cause(source=source, because="sent"), changes=sending):
        send(attempt.pk, source=source)


@log_context.step()
def mark_sender_dead(attempt_id: UUID, *, source: Source) -> None:
    """Mark a SENDING attempt whose lease ended as UNKNOWN, because its sender died. It is never resent.

    A hosted page is requested again instead: the address of the first one is lost, so no payer can reach it.
    Changes: the attempt, by `ledger.move`. Safe to repeat: yes.
    """
    attempt = Attempt.objects.select_related("payment__provider").get(pk=attempt_id)
    log_context.bind_attempt(attempt)
    if _is_hosted(attempt):
        _put_back(attempt, source, NotSentError(code="sender_died"))
    else:
        _mark_unknown(attempt, source, "sender_died")


# --- before the call ---------------------------------------------------------------------------------


def _reason_not_to_send(attempt: Attempt) -> str:
    """The reason code if something that changed since the start forbids this attempt, else ""."""
    provider = attempt.payment.provider
    if attempt.payment.status == Status.SUCCESSFUL:  # an earlier attempt succeeded late
        return "already_credited"
    if not provider.is_available:
        return "provider_disabled"
    return "" if provider.min_amount <= attempt.amount <= provider.max_amount else "limits_changed"


def _times_put_back(attempt: Attempt) -> int:
    put_back = PaymentEvent.objects.filter(attempt=attempt, to_status=Status.CREATED, from_status=Status.SENDING)
    return put_back.count()


def _is_hosted(attempt: Attempt) -> bool:
    return attempt.payment.provider.spec.flow == "hosted"


def _call_gateway(attempt: Attempt) -> Accepted | HostedPage:
    """The one call that may move money, or that opens a hosted page. Raises: GatewayError."""
    spec = attempt.payment.provider.spec
    if not _is_hosted(attempt):
        timeout = leases.SYNCHRONOUS_SECONDS if spec.synchronous else None
        return conf.gateway().collect(collect_request(attempt), total_seconds=timeout)
    seconds_left = (attempt.expires_at - conf.now()).total_seconds()
    page = PageRequest(
        provider=spec,
        amount=attempt.amount,
        attempt_id=str(attempt.pk),
        minutes=max(1, int(seconds_left // 60)),  # the page closes just before the attempt expires
        description=attempt.payment.description,
        return_url=attempt.return_url,
        cancel_url=attempt.cancel_url,
    )
    return conf.gateway().open_page(page)


# --- after the call ----------------------------------------------------------------------------------


def _mark_page_opened(attempt: Attempt, page: HostedPage, source: Source) -> Attempt | None:
    """Move to PENDING without a reference: FeexPay gives one only to a payment made on the page."""
    changes = {
        "redirect_url": page.url,
        "sought_by_echo": True,
        "payer_sealed": None,
        "next_poll_at": leases.next_poll(attempt, Status.PENDING),
    }
    return ledger.move(attempt.pk, Status.PENDING, Cause(source=source, because="page_opened"), changes=changes)


def _mark_accepted(attempt: Attempt, accepted: Accepted, source: Source) -> Attempt | None:
    """Move to PENDING with the reference.

    A final status in the answer only makes the attempt due now: a poll proves it. If a code must follow, the same
    request is sent again with the code, so the payer's details are kept until then.
    """
    final = accepted.word in (Word.SUCCESSFUL, Word.FAILED)
    changes = {
        "gateway_reference": accepted.reference,
        "redirect_url": accepted.redirect_url or "",
        "otp_required": accepted.otp_required,
        "payer_sealed": attempt.payer_sealed if accepted.otp_required else None,
        "next_poll_at": conf.now() if final else leases.next_poll(attempt, Status.PENDING),
    }
    cause = Cause(source=source, because="accepted", evidence={"word": accepted.word})
    try:
        written = ledger.move(attempt.pk, Status.PENDING, cause, changes=changes)
    except IntegrityError as error:
        if not ledger.is_reference_conflict(error):
            raise
        return _mark_unknown(attempt, source, "reference_conflict")
    return None if webhook_hints.match(attempt.pk, accepted.reference) else written


def _put_back(attempt: Attempt, source: Source, error: NotSentError) -> Attempt | None:
    """Move back to CREATED with a back-off: the request surely never left, or the page's address is lost."""
    wait = max(
        timedelta(seconds=error.retry_after_seconds or 0),
        min(_FIRST_BACK_OFF * 2 ** _times_put_back(attempt), _LONGEST_BACK_OFF),
    )
    # When the attempt is due again, `gate.wait_to_send` knows whether FeexPay asks for more time.
    again_at = conf.now() + min(wait, leases.MAX_RELEASE_DELAY)
    in_time = attempt.created_at + expiry_of(attempt.payment.provider.spec)  # without SHORTEST_WINDOW
    expires_at = min(attempt.expires_at, in_time)
    changes = {"next_poll_at": min(again_at, expires_at), "sent_at": None, "expires_at": expires_at}
    return ledger.move(attempt.pk, Status.CREATED, Cause(source=source, because=error.code), changes=changes)


def _reject(attempt: Attempt, source: Source, code: str, text: str) -> Attempt | None:
    """Move to REJECTED: FeexPay refused the request, or we did not send it.

    FeexPay is asked later if there may be a charge: the refusal is doubtful, or a webhook names the attempt.
    """
    next_poll_at = leases.next_poll(attempt, Status.FAILED) if code in DOUBTFUL_REFUSALS else None
    changes = {"reason_code": code, "reason_text": text[:200], "payer_sealed": None, "next_poll_at": next_poll_at}
    written = ledger.move(attempt.pk, Status.REJECTED, Cause(source=source, because=code), changes=changes)
    return None if webhook_hints.match(attempt.pk) else written


def _mark_unknown(attempt: Attempt, source: Source, code: str) -> Attempt | None:
    """Move to UNKNOWN: FeexPay may have the request. Polls search the history for our id; it is never resent."""
    changes = {
        "payer_sealed": None,
        "next_poll_at": leases.next_poll(attempt, Status.UNKNOWN),
        "sought_by_echo": _is_hosted(attempt),
    }
    written = ledger.move(attempt.pk, Status.UNKNOWN, Cause(source=source, because=code), changes=changes)
    return None if webhook_hints.match(attempt.pk) else written
