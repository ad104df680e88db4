"""Invariants of payments and their charges: I2 to I4, I9, I12 and I23."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import CharField, Count, Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Lower, Upper

from django_feexpay.lifecycle import LIVE, PublicStatus, Status, statuses_of
from django_feexpay.models import (
    Attempt,
    Credit,
    Discrepancy,
    IdempotencyRecord,
    Incident,
    Payment,
)
from django_feexpay.payments import daily_totals
from django_feexpay.payments.invariants.reading import columns_of, ids_of


def successful_means_credited() -> Iterator[str]:
    """I2: a payment is SUCCESSFUL exactly if one of its own attempts has a credit.

    Otherwise its newest attempt gives its status; if that one failed, an earlier one under review does. A second credit
    is impossible: the payment is the credit's primary key.
    """
    unlike = Q(status=Status.SUCCESSFUL, credit=None) | (~Q(status=Status.SUCCESSFUL) & Q(credit__isnull=False))
    for pk, status in columns_of(Payment.objects.filter(unlike), "pk", "status"):
        yield f"payment {pk}: {status} {'without' if status == Status.SUCCESSFUL else 'with'} a credit"
    reviewed = Attempt.objects.filter(payment=OuterRef("pk"), status=Status.REVIEW)
    by_review = Q(Exists(reviewed), latest_attempt__status__in=statuses_of(PublicStatus.FAILED))
    uncredited = Payment.objects.filter(credit=None)
    differing = uncredited.exclude(latest_attempt__status=F("status")).exclude(by_review, status=Status.REVIEW)
    for pk, status, newest in columns_of(differing, "pk", "status", "latest_attempt__status"):
        yield f"payment {pk}: {status}, its newest attempt {newest}"
    for pk, status in columns_of(uncredited.filter(by_review).exclude(status=Status.REVIEW), "pk", "status"):
        yield f"payment {pk}: {status}, an earlier attempt is under review"
    for pk in ids_of(Credit.objects.exclude(attempt__payment=F("payment"), attempt__status=Status.SUCCESSFUL)):
        yield f"credit {pk}: its attempt is another payment's, or not successful"


def payer_is_never_asked_twice() -> Iterator[str]:
    """I3: a payment has at most one live attempt, and a reference one attempt."""
    live = Payment.objects.annotate(live=Count("attempts", filter=Q(attempts__status__in=LIVE)))
    for pk, count in columns_of(live.filter(live__gt=1), "pk", "live"):
        yield f"payment {pk}: {count} live attempts"
    shared = Attempt.objects.exclude(gateway_reference=None).values("gateway_reference").annotate(holders=Count("pk"))
    for row in shared.filter(holders__gt=1).order_by("gateway_reference"):
        yield f"reference {row['gateway_reference']}: held by {row['holders']} attempts"


def second_charge_opens_an_incident() -> Iterator[str]:
    """I4: each second success has a duplicate-charge incident, and no other success has one.

    A second success is one of the same payment or order, or a confirmed second charge of one attempt.
    """
    own = _duplicate_charges().filter(attempt=OuterRef("pk"), reference=Lower(_or_none(OuterRef("gateway_reference"))))
    order = Q(payment__merchant_reference=OuterRef("payment__merchant_reference"), event__lt=OuterRef("credit__event"))
    kept = Q(payment__released_at=None) | Q(payment__released_at__gt=OuterRef("credit__created_at"))
    earlier = Credit.objects.filter(order, kept).exclude(payment__merchant_reference="")
    of_user = earlier.filter(payment__user=OuterRef("payment__user"))
    # All guests have the pseudonym "", the erased payers of one order have one of their own.
    of_nobody = earlier.filter(payment__user=None, payment__pseudonym=OuterRef("payment__pseudonym"))
    of_payment = Q(status=Status.SUCCESSFUL, credit=None)
    of_order = (Q(Exists(of_user)), Q(Exists(of_nobody), payment__user=None))
    # Three statements: with OR between them, PostgreSQL looks each attempt's order up one by one.
    for extra in (of_payment, *(each & Q(credit__isnull=False) for each in of_order)):
        for pk in ids_of(Attempt.objects.filter(~Exists(own), extra)):
            yield f"attempt {pk}: a second charge, and no incident"
    for pk in ids_of(Attempt.objects.filter(Exists(own)).exclude(of_payment | of_order[0] | of_order[1])):
        yield f"attempt {pk}: an incident, but no second charge"
    yield from _second_charges_of_one_attempt()


def _second_charges_of_one_attempt() -> Iterator[str]:
    """I4 for charges that no attempt holds: incidents and discrepancies record them."""
    beside = _duplicate_charges().exclude(reference=Lower(_or_none(F("attempt__gateway_reference"))))
    spellings = [OuterRef("gateway_reference"), OuterRef("reference"), Upper(OuterRef("gateway_reference"))]
    held = Exists(Attempt.objects.filter(gateway_reference__in=spellings))
    wrong = Q(gateway_reference="") | ~Q(attempt__status=Status.SUCCESSFUL) | Q(held=True)
    for pk, reference in columns_of(beside.annotate(held=held).filter(wrong), "pk", "gateway_reference"):
        yield f"incident {pk}: {reference or 'no reference'} is no second charge of its attempt"
    reported = _duplicate_charges().filter(attempt=OuterRef("attempt"), reference=Lower(OuterRef("gateway_reference")))
    confirmed = Discrepancy.objects.filter(kind=Discrepancy.Kind.SECOND_ROW, outcome=Discrepancy.Outcome.INCIDENT)
    for pk in ids_of(confirmed.exclude(Exists(reported))):
        yield f"discrepancy {pk}: FeexPay confirmed a second charge, and there is no incident"


def _duplicate_charges() -> QuerySet[Any]:
    """The duplicate-charge incidents; `reference` is FeexPay's in lower case."""
    incidents_ = Incident.objects.filter(kind=Incident.Kind.DUPLICATE_CHARGE)
    return incidents_.annotate(reference=Lower("gateway_reference"))


def _or_none(reference: Any) -> Coalesce:
    """A reference as incidents write it: "" for none."""
    return Coalesce(reference, Value(""), output_field=CharField())


def idempotency_key_leads_to_one_payment() -> Iterator[str]:
    """I9: a key leads to one payment of its own user, and so does its stored answer."""
    owned = IdempotencyRecord.objects.exclude(payment__user=None)  # erasing a user leaves the payment without one
    for pk in ids_of(owned.exclude(payment__user=F("user"))):
        yield f"idempotency record {pk}: its payment is another user's"
    answered = IdempotencyRecord.objects.filter(answer_body__isnull=False)
    for pk, payment, body in columns_of(answered, "pk", "payment_id", "answer_body"):
        if body.get("id") != str(payment):
            yield f"idempotency record {pk}: it answers with another payment"
    # A payment older than the record used the key earlier: records are purged, and a client may reuse the key.
    other = IdempotencyRecord.objects.filter(
        user=OuterRef("user"), key=OuterRef("idempotency_key"), created_at__lte=OuterRef("created_at")
    ).exclude(payment=OuterRef("pk"))
    for pk in ids_of(Payment.objects.exclude(idempotency_key="").filter(Exists(other))):
        yield f"payment {pk}: its idempotency key leads to another"


def amounts_agree() -> Iterator[str]:
    """I12: each attempt asks for the payment's price, with or without the fee.

    Amounts are positive, and a price in another currency is converted at the stored rate.
    The provider's limits are checked when a payment starts and may have changed since, so they are not checked here.
    """
    below_price = Q(charged_currency=F("currency"), charged_amount__lt=F("amount"))
    unlike_rate = Q(exchange_rate=None) ^ Q(charged_currency=F("currency"))
    wrong = Q(amount__lte=0) | Q(charged_amount__lte=0) | Q(fee__lt=0) | below_price | unlike_rate
    for pk, amount, charged, fee in columns_of(Payment.objects.filter(wrong), "pk", "amount", "charged_amount", "fee"):
        yield f"payment {pk}: amount {amount}, charged {charged}, fee {fee}"
    for payment in Payment.objects.filter(exchange_rate__isnull=False).exclude(wrong).order_by("pk").iterator():
        price, charged = payment.charged_price, payment.charged_amount
        if charged not in (price, price + payment.fee):
            yield f"payment {payment.pk}: its price comes to {price}, charged {charged}, fee {payment.fee}"
    unlike = Attempt.objects.exclude(amount=F("payment__charged_amount"))
    for pk, amount, charged in columns_of(unlike, "pk", "amount", "payment__charged_amount"):
        yield f"attempt {pk}: asks for {amount}, its payment for {charged}"


def daily_totals_match_the_payments() -> Iterator[str]:
    """I23: each daily total is what its payments add up to. A rebuild repairs it; no money depends on it."""
    yield from daily_totals.differences()
