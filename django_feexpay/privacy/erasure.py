"""Erase a person: the money rows stay, and nothing in them names the payer.

Amounts, FeexPay's references, the order number, times and events stay: they are the books. The user is replaced by a
pseudonym that only tells which payments belong to one order. Number, hash, mask, names, addresses, the description and
the metadata are erased.

A payment is erased when it has ended and no money is on the way: until then the number or the user is needed to give
the money to the right person. The erasure waits for such a payment, and the nightly purge completes it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from django_feexpay import conf, crypto
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import PublicStatus, Status, statuses_of
from django_feexpay.models import (
    LIVE_PAYOUTS,
    Attempt,
    Checkout,
    Erasure,
    IdempotencyRecord,
    Incident,
    OutboxMessage,
    Payment,
    PaymentEvent,
    Payout,
    PromptLift,
    Refund,
    ReportFile,
    WebhookDelivery,
)
from django_feexpay.models.fields import seal_msisdn
from django_feexpay.payments import staff_actions
from django_feexpay.payments.durability import durable
from django_feexpay.privacy.batches import Stop, in_batches
from django_feexpay.privacy.subjects import Subject

logger = logging.getLogger("django_feexpay.privacy")

Source = PaymentEvent.Source
State = Erasure.State

#: A payment that was not paid may still be paid late: FeexPay is asked for a day after a failure. The payer of a late
#: success must be known.
LATE_SUCCESS = timedelta(days=7)

#: Payments in one transaction: each has several rows.
_BATCH = 100
_PENDING = list(statuses_of(PublicStatus.PENDING))


# --- which payments --------------------------------------------------------------------------------------


def ready(payments: QuerySet[Payment], now: datetime) -> QuerySet[Payment]:
    """The payments among these that have ended and for which no money is still moving in either direction.

    The payments of an order wait for each other. One that is paid late finds the earlier paid one of its order by their
    user; if that user were erased already, the second charge would not be noticed.
    """
    here = OuterRef("pk")
    open_attempt = Attempt.objects.filter(payment=here, status__in=_PENDING)
    open_refund = Refund.objects.filter(payment=here, state__in=[Refund.State.PROPOSED, Refund.State.APPROVED])
    live_payout = Payout.objects.filter(payment=here, state__in=sorted(LIVE_PAYOUTS))
    open_incident = Incident.objects.filter(payment=here, closed_at=None)
    undelivered = OutboxMessage.objects.filter(payment=here, delivered_at=None)
    ended = Q(status=Status.SUCCESSFUL) | Q(settled_at__lte=now - LATE_SUCCESS)
    rows, is_unfinished = payments.filter(ended).exclude(status__in=_PENDING), ~ended | Q(status__in=_PENDING)
    for unfinished in (open_attempt, open_refund, live_payout, open_incident, undelivered):
        rows, is_unfinished = rows.exclude(Exists(unfinished)), is_unfinished | Q(Exists(unfinished))
    of_order = Payment.objects.filter(merchant_reference=OuterRef("merchant_reference"), pseudonym="")
    others = of_order.exclude(merchant_reference="").filter(is_unfinished)
    return rows.exclude(Exists(others.filter(user=OuterRef("user")))).exclude(
        Q(user=None) & Exists(others.filter(user=None))
    )


def old_payments(now: datetime) -> QuerySet[Payment]:
    """The payments so old that their payer is erased, once they are `ready`."""
    old = Payment.objects.filter(created_at__lte=now - feexpay.retention["payers"], pseudonym="")
    return old.order_by("created_at")


def waiting() -> QuerySet[Erasure]:
    """The erasures that wait for payments to end."""
    return Erasure.objects.filter(state=State.WAITING).order_by("id")


@dataclass(frozen=True, slots=True)
class Preview:
    """How many payments an erasure would erase now, and how many it would wait for."""

    ready: int
    waiting: int


def preview(subject: Subject) -> Preview:
    """What `erase` would do now. Changes: nothing."""
    payments = subject.payments()
    now_ready = ready(payments, conf.now()).count()
    return Preview(now_ready, payments.count() - now_ready)


# --- erase -------------------------------------------------------------------------------------------------


def erase(subject: Subject, *, actor: str, source: Source, reason: str = "", stop: Stop = lambda: False) -> Erasure:
    """Erase a person now, as far as their payments have ended; the purge does the rest.

    `actor`: the primary key of a user, or the name of a command.
    Changes: Payment, Attempt, Payout, Checkout (columns about the payer), WebhookDelivery (bodies), IdempotencyRecord,
    PromptLift, ReportFile, Erasure, StaffAction. Raises: StoppedError.
    Safe to repeat: yes, the second call finds nothing left; an interrupted one is continued by the purge.
    """
    with durable():
        row = Erasure.objects.create(
            user_key=subject.user_key,
            number_sealed=seal_msisdn(subject.msisdn),
            actor=actor,
            reason=reason,
            asked_at=conf.now(),
        )
        detail = {"by": "user", "user": subject.user_key} if subject.user_key else {"by": "number"}
        action = staff_actions.Action.ERASE_SUBJECT
        staff_actions.record(action, actor=actor, source=source, target=row, reason=reason, detail=detail)
    subject.prompt_lifts().delete()
    if subject.user_key:
        ReportFile.objects.filter(user=subject.user_key).update(expires_at=conf.now())
    _advance(row, subject, stop)
    return row


def continue_waiting(stop: Stop = lambda: False) -> int:
    """Continue every erasure that waits; return how many payments were erased.

    Changes: as `erase`. Raises: StoppedError. Safe to repeat: yes.
    """
    count = 0
    for row in list(waiting()):
        try:
            count += _advance(row, _subject_of(row), stop)
        except crypto.UnreadableError:
            logger.error("erasure %s waits: no key of FIELD_KEYS decrypts its number", row.pk)
    return count


def erase_old(now: datetime, stop: Stop = lambda: False) -> int:
    """Erase the payers of payments that have been kept long enough; return how many payments.

    Changes: as `erase`. Raises: StoppedError. Safe to repeat: yes.
    """
    work = partial(_erase_payers, hashes=None)
    return in_batches(old_payments(now), work, stop, unneeded=partial(ready, now=now), size=_BATCH)


def _advance(row: Erasure, subject: Subject, stop: Stop) -> int:
    """Erase the payments that are ready, and record how many are left; return how many payments were erased."""
    payments = subject.payments().filter(created_at__lte=row.asked_at)
    work = partial(_erase_payers, hashes=subject.hashes)
    unneeded = partial(ready, now=conf.now())
    count = in_batches(payments.order_by("created_at"), work, stop, unneeded=unneeded, size=_BATCH)
    left = payments.count()
    done: dict[str, Any] = {"waiting_count": left}
    if not left:
        done |= {"state": State.DONE, "number_sealed": None, "done_at": conf.now()}
    Erasure.objects.filter(pk=row.pk).update(payment_count=F("payment_count") + count, **done)
    row.refresh_from_db()
    return count


def _subject_of(row: Erasure) -> Subject:
    return Subject(row.user_key, Msisdn(**row.number_sealed.open()) if row.number_sealed else None)


# --- the columns -------------------------------------------------------------------------------------------


def _erase_payers(payments: QuerySet[Payment], hashes: list[str] | None) -> int:
    """Erase the payers of these payments, which the caller has locked; how many payments.

    `hashes`: erase only the attempts with these numbers, and leave the payments to their users; None: the users too.
    """
    rows, now = list(payments.only("user_id", "merchant_reference", "pseudonym", "erased_at")), conf.now()
    ids = [row.pk for row in rows]
    of_payer = Attempt.objects.filter(payment__in=ids)
    if hashes is not None:
        of_payer = of_payer.filter(msisdn_hash__in=hashes)
    numbers = dict(of_payer.values_list("pk", "msisdn_hash"))
    attempt_ids = list(numbers)
    PromptLift.objects.filter(msisdn_hash__in=set(numbers.values()) - {""}).delete()
    Attempt.objects.filter(pk__in=attempt_ids).update(
        masked_msisdn="",
        msisdn_hash="",
        msisdn_sealed=None,
        payer_sealed=None,
        return_url="",
        cancel_url="",
        redirect_url="",
        reason_text="",
    )
    payouts = Payout.objects.filter(refund__attempt__in=attempt_ids).exclude(masked_msisdn="")
    payouts.update(masked_msisdn="", msisdn_sealed=None)
    _erase_bodies(ids)
    IdempotencyRecord.objects.filter(payment__in=ids).delete()
    Payment.objects.filter(pk__in=ids).update(description="", metadata={}, idempotency_key="", language="")
    without_user = [row for row in rows if hashes is None or row.user_id is None]
    Checkout.objects.filter(payment__in=[row.pk for row in without_user]).update(return_url="", cancel_url="")
    for row in without_user:
        row.erased_at = row.erased_at if row.pseudonym else now
        row.pseudonym = row.pseudonym or _pseudonym(row)
        row.user = None
    Payment.objects.bulk_update(without_user, ["pseudonym", "user", "erased_at"])
    return len(rows)


def _erase_bodies(payment_ids: list[Any]) -> None:
    """Erase the bodies of webhooks, except those whose echo proves what they are about (invariant I8)."""
    for about in ("attempt", "payout"):
        deliveries = WebhookDelivery.objects.filter(**{f"{about}__payment__in": payment_ids}).exclude(body={})
        own = deliveries.filter(**{f"{about}__gateway_reference": F("gateway_reference")}).values("pk")
        WebhookDelivery.objects.filter(pk__in=own).update(body={})


def _pseudonym(payment: Payment) -> str:
    """A pseudonym that all payments of one order share, and no other: two charges of one order stay recognisable.

    It is a keyed hash, so the user cannot be found by trying all primary keys. An order keeps the pseudonym that an
    older key of HASH_KEY made, as long as that key is listed.
    """
    keys = feexpay.hash_keys
    order = f"{payment.user_id}:{payment.merchant_reference}" if payment.merchant_reference else str(payment.pk)
    known = crypto.keyed_hashes(f"erased payer {order}", keys)
    if payment.merchant_reference and len(keys) > 1:
        same_order = Payment.objects.filter(merchant_reference=payment.merchant_reference, pseudonym__in=known)
        if earlier := same_order.values_list("pseudonym", flat=True).first():
            return earlier
    return known[0]
