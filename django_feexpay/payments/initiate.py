"""Start a payment, and send one attempt of it to the gateway.

Commit the intent, call, commit the outcome: no call is ever made inside a transaction, so whatever dies in between
leaves a row that says how far it came.
"""

from __future__ import annotations

import logging
import time
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, connection
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from django_feexpay import conf, crypto, failpoints
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.catalogue.providers import ProviderSpec
from django_feexpay.conf import feexpay
from django_feexpay.gateway.client import CollectRequest, PageRequest
from django_feexpay.gateway.errors import (
    MisconfiguredError,
    NotSentError,
    OutcomeUnknownError,
    RefusedError,
)
from django_feexpay.gateway.reports import DOUBTFUL_REFUSALS, Accepted, HostedPage, Word
from django_feexpay.lifecycle import NEVER_SENT, Status
from django_feexpay.models import Attempt, Payment, PaymentEvent
from django_feexpay.models.fields import Sealed
from django_feexpay.models.payment import read_payments
from django_feexpay.payments import idempotency, leases, ledger, prompts, reconcile, webhook_hints
from django_feexpay.payments.admission import gate
from django_feexpay.payments.durability import durable, refuse_without_autocommit
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Cause, Source
from django_feexpay.payments.terms import Order, Terms, code_of, judge

logger = logging.getLogger("django_feexpay.payments")

_DOUBLE_TAP = timedelta(seconds=60)
#: What was started that far in the future, by a clock that was ahead, is no tap of just now. A clock that goes back an
#: hour between two taps is.
_CLOCK_WAS_AHEAD = timedelta(days=1)
_GROWING_WAIT = timedelta(seconds=5)
#: What waits to be sent and may have been sent after all is looked for again so soon, where history is away.
_SEARCH_AGAIN = timedelta(seconds=30)
#: A prompt that goes out late leaves its payer this long, or the whole of a shorter expiry.
SHORTEST_WINDOW = timedelta(minutes=5)
#: However long an attempt may wait, it is not put back more often than this: then it was never sent.
MOST_SENDS = 12

#: How long one start or retry asks FeexPay about all earlier attempts together: a web thread waits for it.
ASK_SECONDS = 5.0
#: With less time left than this, FeexPay is not asked.
SHORTEST_QUESTION_SECONDS = 0.2
COME_BACK_SECONDS = 30


@dataclass(frozen=True, kw_only=True, repr=False)
class PayerDetails:
    """What FeexPay wants to know of the payer beyond the msisdn; kept encrypted until sent, then erased."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    otp: str = ""

    def sealed(self) -> Sealed | None:
        given = {name: value for name, value in vars(self).items() if value}
        return Sealed.of(given) if given else None


def start(order: Order, *, source: Source, key: idempotency.Key | None = None) -> Payment:
    """Start a payment for an order and, unless it is queued, send its first attempt.

    Returns the payment as it stands afterwards; CREATED, SENDING or UNKNOWN mean the gateway's answer is not known.
    Changes: Payment, Attempt, PaymentEvent, IdempotencyRecord in one transaction before anything is sent.
    Raises: NotAllowedError, `gateway_unavailable` and `too_many_prompts` among them; then nothing of it was written.
    Safe to repeat: only with the same `key`, which then raises idempotency.AlreadyAnswered.
    """
    refuse_without_autocommit()
    if key is not None:
        idempotency.refuse_or_replay(key)
    terms = judge(order)
    with gate.admit(terms.spec.code, queued=is_queued(terms.spec), first=lambda: _refuse(terms, key)):
        _ask_about_refusals(terms.order, source)
        attempt = _open(terms, source, key)
        failpoints.hit("started")
        if attempt.life_status is Status.SENDING:
            send(attempt.pk, source=source)
    return read_payments().get(pk=attempt.payment_id)


def send(attempt_id: UUID, *, source: Source) -> None:
    """Send an attempt that stands in SENDING, and write what came of it.

    Changes: the attempt, by `ledger.move`. Safe to repeat: no. Whoever calls has just moved it to SENDING itself.
    """
    attempt = Attempt.objects.select_related("payment__provider").get(pk=attempt_id)
    if attempt.payment.status == Status.SUCCESSFUL:  # an earlier attempt's late success came in between
        _reject(attempt, source, "already_credited", "")
        return
    if reason := _no_longer_allowed(attempt):
        _reject(attempt, source, reason, "")
        return
    failpoints.hit("before_send")
    try:
        answer = _ask_gateway(attempt)
    except NotSentError as error:
        _put_back(attempt, source, error)
    except RefusedError as error:
        _reject(attempt, source, error.code, error.text)
    except MisconfiguredError as error:
        logger.error("FeexPay turned attempt %s away because of our settings: %s", attempt.pk, error)
        _reject(attempt, source, error.code, "")
    except OutcomeUnknownError as error:
        _mark_unknown(attempt, source, error.code)
    else:
        failpoints.hit("after_send")
        if isinstance(answer, HostedPage):
            _show_page(attempt, answer, source)
        else:
            _take_on(attempt, answer, source)
    failpoints.hit("sent")


def send_due(held: leases.Claim, *, source: Source) -> None:
    """Send a queued attempt under a claim, or expire it when nobody waits for it any more.

    One that a webhook names is looked for in history first: FeexPay may have it. While FeexPay is in trouble, or asks
    to slow down, it stays where it is and is due again. Sent late, its payer still gets a real window.
    Changes: as `send`, and `next_poll_at`. Safe to repeat: yes; only one caller moves it to SENDING.
    """
    attempt = Attempt.objects.select_related("payment__provider").get(pk=held.attempt_id)
    now = conf.now()
    is_there = reconcile.find_unsent(attempt.pk, source=source) if attempt.deliveries.exists() else False
    if is_there:
        return
    if is_there is not None and has_credit(attempt.payment):
        _reject(attempt, source, "already_credited", "")
        return
    if now >= attempt.expires_at or _times_put_back(attempt) >= MOST_SENDS:
        _expire_unsent(attempt, source, sought=is_there is None)
        return
    if is_there is None:
        leases.release(held, min(now + _SEARCH_AGAIN, attempt.expires_at))
        return
    if wait := gate.wait_to_send(attempt.payment.provider_id):
        wait_at_most = min(timedelta(seconds=wait), leases.MAX_RELEASE_DELAY)
        leases.release(held, min(now + wait_at_most, attempt.expires_at))
        return
    lease = leases.SYNCHRONOUS_LEASE if attempt.payment.provider.spec.synchronous else leases.LEASE
    window = min(feexpay.expiry, SHORTEST_WINDOW)
    sending = {"next_poll_at": now + lease, "sent_at": now, "expires_at": max(attempt.expires_at, now + window)}
    if ledger.move(attempt.pk, Status.SENDING, Cause(source=source, because="sent"), changes=sending):
        send(attempt.pk, source=source)


def _expire_unsent(attempt: Attempt, source: Source, *, sought: bool) -> None:
    """Nobody waits for it any more. sought: a webhook names it, and history could not be read: it is looked for on."""
    next_poll_at = leases.next_poll(attempt, Status.EXPIRED) if sought else None
    changes = {"next_poll_at": next_poll_at, "payer_sealed": None, "reason_code": NEVER_SENT}
    ledger.move(attempt.pk, Status.EXPIRED, Cause(source=source, because=NEVER_SENT), changes=changes)


def mark_sender_dead(attempt_id: UUID, *, source: Source) -> None:
    """A SENDING attempt outlived its lease: its sender died, so its outcome is unknown. It is never sent again.

    But for a page: its address died with the sender, so nobody can pay on it, and another one is asked for.
    Changes: the attempt, by `ledger.move`. Safe to repeat: yes.
    """
    attempt = Attempt.objects.select_related("payment__provider").get(pk=attempt_id)
    if _is_hosted(attempt):
        _put_back(attempt, source, NotSentError(code="sender_died"))
    else:
        _mark_unknown(attempt, source, "sender_died")


# --- opening -----------------------------------------------------------------------------------------


@durable()
def _open(terms: Terms, source: Source, key: idempotency.Key | None) -> Attempt:
    """Intent first: everything that must exist before the gateway hears of it."""
    order, now = terms.order, conf.now()
    lock_user(order.user.pk if order.user else None)
    _refuse_known(terms, key)
    prompts.lock_msisdn(terms.spec, _hash(terms.msisdn))
    _refuse_prompt(terms)
    payment = _payment(terms, key, now)
    otp = code_of(order.otp) if order.otp else ""
    details = PayerDetails(first_name=order.first_name, last_name=order.last_name, email=order.email, otp=otp)
    urls = order.return_url, order.cancel_url
    queued = is_queued(terms.spec)
    attempt = new_attempt(payment, 1, terms.msisdn, details, urls, queued=queued, now=now)
    cause = Cause(source=source, because="started", actor=_actor(order))
    ledger.open_payment(payment, attempt, cause, sending=not queued)
    if key is not None:
        idempotency.record(key, payment, now)
    return attempt


def _refuse(terms: Terms, key: idempotency.Key | None) -> None:
    """Raises what stands in the way of an order on our side; its own earlier answer comes first."""
    _refuse_known(terms, key)
    _refuse_prompt(terms)


def _refuse_prompt(terms: Terms) -> None:
    prompts.refuse_too_many(terms.spec, _hash(terms.msisdn), terms.charged_amount)


def _ask_about_refusals(order: Order, source: Source) -> None:
    """Ask FeexPay about what it refused of this order in words that no source names, as a retry does: charged after
    all, it would be paid twice. Raises: NotAllowedError `gateway_unavailable`.
    """
    if not order.merchant_reference:
        return
    of_order = Attempt.objects.filter(payment__user=order.user, payment__merchant_reference=order.merchant_reference)
    refused = of_order.filter(status=Status.REJECTED, reason_code__in=sorted(DOUBTFUL_REFUSALS))
    give_up_at = time.monotonic() + ASK_SECONDS
    for pk in refused.filter(next_poll_at__isnull=False).values_list("pk", flat=True):
        left = give_up_at - time.monotonic()
        if left < SHORTEST_QUESTION_SECONDS or not reconcile.reconcile(pk, source=source, total_seconds=left / 2):
            message = _("FeexPay could not be asked about the earlier attempt. Please try again soon.")
            raise NotAllowedError("gateway_unavailable", message, retry_after_seconds=COME_BACK_SECONDS)


def _refuse_known(terms: Terms, key: idempotency.Key | None) -> None:
    """Raises what is the answer to an order that was placed already: AlreadyAnswered or NotAllowedError."""
    if key is not None:
        idempotency.refuse_or_replay(key)
    refuse_duplicates(_duplicates(terms, key, conf.now()))


def lock_user(user_id: object) -> None:
    """Let one start of a user at a time through to the commit, so that two taps at once see each other.

    SQLite has one writer anyway.
    """
    if connection.vendor == "postgresql":
        number = zlib.crc32(str(user_id).encode()) - 2**31
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [0xFEE9, number])


def has_credit(payment: Payment) -> bool:
    """Whether a payer who is asked now would pay twice: an earlier attempt, or another payment of the order, was a late
    success.
    """
    if payment.status == Status.SUCCESSFUL:
        return True
    if not payment.merchant_reference:
        return False
    of_order = Payment.objects.filter(user=payment.user_id, merchant_reference=payment.merchant_reference)
    return of_order.filter(status=Status.SUCCESSFUL).exists()


def refuse_duplicates(twins: QuerySet[Payment]) -> None:
    """Raises NotAllowedError `duplicate_payment`, naming the newest of what is being paid or is paid already."""
    twin = twins.order_by("-created_at").first()
    if twin is not None:
        message = _("This is being paid or is paid already.")
        raise NotAllowedError("duplicate_payment", message, payment_id=twin.pk)


def _duplicates(terms: Terms, key: idempotency.Key | None, now: datetime) -> QuerySet[Payment]:
    order = terms.order
    mine = Payment.objects.of_order(order.user, order.merchant_reference)
    if order.merchant_reference:
        return mine
    if key is not None:
        return mine.none()
    return mine.filter(
        provider=terms.provider,
        amount=order.amount,
        currency=terms.currency,
        latest_attempt__msisdn_hash=_hash(terms.msisdn),
        created_at__gt=now - _DOUBLE_TAP,
        created_at__lt=now + _CLOCK_WAS_AHEAD,
    )


def _payment(terms: Terms, key: idempotency.Key | None, now: datetime) -> Payment:
    order = terms.order
    return Payment(
        user=order.user,
        provider=terms.provider,
        amount=order.amount,
        currency=terms.currency,
        charged_amount=terms.charged_amount,
        charged_currency=terms.spec.currency,
        exchange_rate=terms.exchange_rate,
        fee=terms.fee,
        merchant_reference=order.merchant_reference,
        description=order.description,
        metadata=dict(order.metadata),
        idempotency_key=key.value if key else "",
        created_at=now,
        updated_at=now,
    )


def is_queued(spec: ProviderSpec) -> bool:
    """Whether the worker sends. A synchronous provider answers minutes later: no web process waits for that."""
    return spec.synchronous or feexpay.dispatch == "queue"


def new_attempt(
    payment: Payment,
    ordinal: int,
    msisdn: Msisdn | None,
    details: PayerDetails,
    urls: tuple[str, str],
    *,
    queued: bool,
    now: datetime,
) -> Attempt:
    """An unsaved attempt: under a lease when this process sends it, due now when the worker will.

    msisdn: None for a card, which is no phone's.
    """
    return Attempt(
        payment=payment,
        ordinal=ordinal,
        amount=payment.charged_amount,
        masked_msisdn=msisdn.masked if msisdn else "",
        msisdn_hash=_hash(msisdn),
        msisdn_sealed=_sealed(msisdn) if msisdn else None,
        payer_sealed=details.sealed(),
        return_url=urls[0],
        cancel_url=urls[1],
        sent_at=None if queued else now,
        expires_at=now + feexpay.expiry,
        next_poll_at=now if queued else now + leases.LEASE,
        created_at=now,
        updated_at=now,
    )


def _hash(msisdn: Msisdn | None) -> str:
    return crypto.keyed_hash(msisdn.digits, feexpay.hash_key) if msisdn else ""


def _sealed(msisdn: Msisdn) -> Sealed:
    return Sealed.of({"calling_code": msisdn.calling_code, "national": msisdn.national})


def _actor(order: Order) -> str:
    return str(order.user.pk) if order.user else ""


# --- sending -----------------------------------------------------------------------------------------


def _no_longer_allowed(attempt: Attempt) -> str:
    """Why an attempt is not sent after all, by what staff changed since it was started; "" if nothing stands in the
    way. An inline start and its sending are one request: it was judged a moment ago.
    """
    provider = attempt.payment.provider
    if not provider.is_available:
        return "provider_disabled"
    return "" if provider.min_amount <= attempt.amount <= provider.max_amount else "limits_changed"


def _times_put_back(attempt: Attempt) -> int:
    put_back = PaymentEvent.objects.filter(attempt=attempt, to_status=Status.CREATED, from_status=Status.SENDING)
    return put_back.count()


def _is_hosted(attempt: Attempt) -> bool:
    return attempt.payment.provider.spec.flow == "hosted"


def _ask_gateway(attempt: Attempt) -> Accepted | HostedPage:
    """The one call that may move money, or the one that has a page made. Raises the errors of the gateway."""
    if _is_hosted(attempt):
        return conf.gateway().open_page(_page_request(attempt))
    return conf.gateway().collect(collect_request(attempt), total_seconds=_timeout(attempt))


def _page_request(attempt: Attempt) -> PageRequest:
    """The page closes just before we stop expecting the payer."""
    seconds = (attempt.expires_at - conf.now()).total_seconds()
    return PageRequest(
        provider=attempt.payment.provider.spec,
        amount=attempt.amount,
        attempt_id=str(attempt.pk),
        minutes=max(1, int(seconds // 60)),
        description=attempt.payment.description,
        return_url=attempt.return_url,
        cancel_url=attempt.cancel_url,
    )


def _timeout(attempt: Attempt) -> float | None:
    return leases.SYNCHRONOUS_SECONDS if attempt.payment.provider.spec.synchronous else None


def collect_request(attempt: Attempt, **more: str) -> CollectRequest:
    """What FeexPay is asked for an attempt; `more` replaces what was kept of the payer's details.

    Raises: RefusedError `msisdn_erased`.
    """
    payment = attempt.payment
    msisdn, details = unsealed(attempt.msisdn_sealed), unsealed(attempt.payer_sealed) | more
    if not msisdn:
        raise RefusedError("the number was erased before it was sent", code="msisdn_erased")
    return CollectRequest(
        provider=payment.provider.spec,
        msisdn=Msisdn(**msisdn),
        amount=attempt.amount,
        attempt_id=str(attempt.pk),
        description=payment.description,
        return_url=attempt.return_url,
        cancel_url=attempt.cancel_url,
        **details,
    )


def unsealed(sealed: Sealed | None) -> dict[str, str]:
    """The strings, or none: erased, or sealed with a key that was taken away, which staff must hear of."""
    try:
        return sealed.open() if sealed else {}
    except crypto.UnreadableError as error:
        logger.error("an attempt cannot be sent: %s", error)
        return {}


def _show_page(attempt: Attempt, page: HostedPage, source: Source) -> None:
    """A page: PENDING without a reference, which FeexPay gives only to a payment on it."""
    changes = {
        "redirect_url": page.url,
        "sought_by_echo": True,
        "payer_sealed": None,
        "next_poll_at": leases.next_poll(attempt, Status.PENDING),
    }
    ledger.move(attempt.pk, Status.PENDING, Cause(source=source, because="page_opened"), changes=changes)


def _take_on(attempt: Attempt, accepted: Accepted, source: Source) -> None:
    """Accepted: PENDING with its reference. A final word is not believed here, only asked about at once.

    Where a code is to follow, the same request goes out once more with it: the payer's details are kept for that.
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
        ledger.move(attempt.pk, Status.PENDING, cause, changes=changes)
    except IntegrityError as error:
        if not ledger.is_reference_conflict(error):
            raise
        _mark_unknown(attempt, source, "reference_conflict")
        return
    webhook_hints.match(attempt.pk, accepted.reference)


def _put_back(attempt: Attempt, source: Source, error: NotSentError) -> None:
    """Surely not sent (of a page: its address surely lost): due again, with a growing wait, until its expiry."""
    wait = timedelta(seconds=error.retry_after_seconds or 0)
    wait = max(wait, min(_GROWING_WAIT * 2 ** _times_put_back(attempt), timedelta(minutes=2)))
    # When it is due, `gate.wait_to_send` knows whether FeexPay asks for more time.
    again_at = conf.now() + min(wait, leases.MAX_RELEASE_DELAY)
    expires_at = min(attempt.expires_at, attempt.created_at + feexpay.expiry)  # without the window of a late sending
    changes = {"next_poll_at": min(again_at, expires_at), "sent_at": None, "expires_at": expires_at}
    ledger.move(attempt.pk, Status.CREATED, Cause(source=source, because=error.code), changes=changes)


def _reject(attempt: Attempt, source: Source, code: str, text: str) -> None:
    """Refused, or not sent after all. A refusal that no source names may hide a charge: it is asked about later. So is
    one that a webhook contradicts, which came while the attempt was on its way.
    """
    doubtful = code in DOUBTFUL_REFUSALS or attempt.deliveries.exists()
    next_poll_at = leases.next_poll(attempt, Status.FAILED) if doubtful else None
    changes = {"reason_code": code, "reason_text": text[:200], "payer_sealed": None, "next_poll_at": next_poll_at}
    ledger.move(attempt.pk, Status.REJECTED, Cause(source=source, because=code), changes=changes)


def _mark_unknown(attempt: Attempt, source: Source, code: str) -> None:
    """It may have been taken on: it is looked for by our id, closed when it surely is not there, never sent again."""
    changes = {
        "payer_sealed": None,
        "next_poll_at": leases.next_poll(attempt, Status.UNKNOWN),
        "sought_by_echo": _is_hosted(attempt),
    }
    ledger.move(attempt.pk, Status.UNKNOWN, Cause(source=source, because=code), changes=changes)
