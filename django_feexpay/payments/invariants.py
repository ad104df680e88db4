"""What must always hold of the rows, checkable on live data; numbered as in the promises of this package.

Each function yields its violations as short texts of ids, statuses and amounts, never personal data. Each question
is one statement, which sees one instant: payments may go on meanwhile. Nothing here writes, and nothing repairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import CharField, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, Value, Window
from django.db.models.functions import Lag

from django_feexpay import conf
from django_feexpay.gateway.reports import Word, same_reference
from django_feexpay.models import (
    Attempt,
    Comparison,
    Credit,
    IdempotencyRecord,
    Incident,
    OutboxMessage,
    Payment,
    PaymentEvent,
    WebhookDelivery,
)
from django_feexpay.payments import due
from django_feexpay.payments.lifecycle import LIVE, Status, may_move

_REFERENCE = "payment__merchant_reference"

#: The longest wait between two looks at what may still be charged.
LONGEST_WAIT = timedelta(days=1)

#: So long what is ours to doubt (EXPIRED, REVIEW) is looked at.
ATTENTION = timedelta(days=7)

#: A delivery that crossed with the commit of its reference is matched at the worker's next heartbeat.
MATCHED_WITHIN = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Violation:
    """One row, or sum, that breaks a rule. `rule`: I1 to I19; `about`: what it is and its id; `problem`: in words."""

    rule: str
    about: str
    problem: str

    def __str__(self) -> str:
        return f"{self.rule} {self.about}: {self.problem}"


def violations(rules: Iterable[str] = ()) -> Iterator[Violation]:
    """Every violation of these rules, of all by default, as they are found. Changes: nothing. Raises: KeyError."""
    for rule in rules or INVARIANTS:
        for text in INVARIANTS[rule]():
            about, _, problem = text.partition(": ")
            yield Violation(rule, about, problem)


def name_of(rule: str) -> str:
    """What a rule is called: `credits add up`."""
    return INVARIANTS[rule].__name__.replace("_", " ")


def credits_add_up() -> Iterator[str]:
    """I1: in each currency, as much is credited as the payments with a confirmed attempt were to bring."""
    confirmed = Exists(Attempt.objects.filter(payment=OuterRef("pk"), status=Status.SUCCESSFUL))
    sums = Payment.objects.values("charged_currency").annotate(
        credited=Sum("credit__amount", default=0), confirmed=Sum("charged_amount", filter=confirmed, default=0)
    )
    for row in sums.exclude(credited=F("confirmed")).order_by("charged_currency"):
        yield f"{row['charged_currency']}: credited {row['credited']}, confirmed {row['confirmed']}"


def credit_means_successful() -> Iterator[str]:
    """I2: a payment is SUCCESSFUL exactly if it is credited, by an attempt of its own; else it stands where its
    newest attempt stands. A second credit is impossible: its payment is its primary key."""
    unlike = Q(status=Status.SUCCESSFUL, credit=None) | (~Q(status=Status.SUCCESSFUL) & Q(credit__isnull=False))
    for pk, status in _rows(Payment.objects.filter(unlike), "pk", "status"):
        yield f"payment {pk}: {status} {'without' if status == Status.SUCCESSFUL else 'with'} a credit"
    apart = Payment.objects.filter(credit=None).exclude(latest_attempt__status=F("status"))
    for pk, status, newest in _rows(apart, "pk", "status", "latest_attempt__status"):
        yield f"payment {pk}: {status}, its newest attempt {newest}"
    for pk in _ids(Credit.objects.exclude(attempt__payment=F("payment"), attempt__status=Status.SUCCESSFUL)):
        yield f"credit {pk}: its attempt is another payment's, or not successful"


def nobody_is_asked_twice() -> Iterator[str]:
    """I3, as far as our rows know: one live attempt a payment, one charge at the gateway an attempt."""
    live = Payment.objects.annotate(live=Count("attempts", filter=Q(attempts__status__in=LIVE)))
    for pk, count in _rows(live.filter(live__gt=1), "pk", "live"):
        yield f"payment {pk}: {count} live attempts"
    shared = Attempt.objects.exclude(gateway_reference=None).values("gateway_reference").annotate(holders=Count("pk"))
    for row in shared.filter(holders__gt=1).order_by("gateway_reference"):
        yield f"reference {row['gateway_reference']}: held by {row['holders']} attempts"


def second_charges_are_incidents() -> Iterator[str]:
    """I4: a success beside another one of the same payment or order is a charge to look into, and nothing else is."""
    incident = Incident.objects.filter(attempt=OuterRef("pk"), kind=Incident.Kind.DUPLICATE_CHARGE)
    order = {"payment__user": OuterRef("payment__user"), "payment__merchant_reference": OuterRef(_REFERENCE)}
    paid_before = Credit.objects.filter(**order, event__lt=OuterRef("credit__event")).exclude(**{_REFERENCE: ""})
    attempts = Attempt.objects.annotate(reported=Exists(incident), paid_before=Exists(paid_before))
    extra = Q(status=Status.SUCCESSFUL, credit=None) | Q(paid_before=True)
    for pk in _ids(attempts.filter(extra, reported=False)):
        yield f"attempt {pk}: a second charge, and no incident"
    for pk in _ids(attempts.filter(~extra, reported=True)):
        yield f"attempt {pk}: an incident, but no second charge"


def events_are_a_chain() -> Iterator[str]:
    """I5: each event begins where the one before ended, by a legal move, and the attempt stands where the last ended.

    Nothing leaves SUCCESSFUL: there is no such move.
    """
    before = Window(
        Lag("to_status", default=Value("", output_field=CharField())), partition_by=[F("attempt")], order_by="id"
    )
    broken = PaymentEvent.objects.annotate(before=before).exclude(from_status=F("before"))
    for pk, attempt, from_status, ended in _rows(broken, "pk", "attempt_id", "from_status", "before"):
        yield f"attempt {attempt}: event {pk} begins at {from_status or 'nothing'}, the one before ended at {ended}"
    steps = PaymentEvent.objects.exclude(from_status="").order_by().values_list("from_status", "to_status").distinct()
    for from_status, to_status in steps:
        if not may_move(Status(from_status), Status(to_status)):
            yield f"a move that there is not: {from_status} to {to_status}"
    newest = PaymentEvent.objects.filter(attempt=OuterRef("pk")).order_by("-id").values("to_status")[:1]
    attempts = Attempt.objects.annotate(ended=Subquery(newest))
    for pk, status, ended in _rows(attempts.filter(Q(ended=None) | ~Q(ended=F("status"))), "pk", "status", "ended"):
        yield f"attempt {pk}: {status}, its events end at {ended or 'nothing'}"


def credits_rest_on_proof() -> Iterator[str]:
    """I6: each credit names an event whose report was about our reference and attempt, and of the right amount.

    The one exception is a review that staff closed: it carries who and why.
    """
    credits_ = Credit.objects.select_related("event", "attempt", "payment").only(*_OF_PROOF)
    for credit in credits_.order_by("pk").iterator():
        if flaw := _flaw(credit):
            yield f"credit {credit.pk}: {flaw}"


#: All that `_flaw` looks at: whole rows take twice as long, and it is the one check that reads each credit.
_OF_PROOF = (
    *("amount", "currency", "attempt__amount", "attempt__gateway_reference"),
    *(f"event__{name}" for name in ("attempt_id", "from_status", "to_status", "actor", "note", "evidence")),
    *(f"payment__{name}" for name in ("amount", "currency", "charged_currency", "exchange_rate", "fee")),
)


def _flaw(credit: Credit) -> str:
    """What is wrong with a credit, or ""."""
    event, attempt, payment = credit.event, credit.attempt, credit.payment
    if (event.attempt_id, event.to_status) != (attempt.pk, Status.SUCCESSFUL):
        return "its event is not the success of its attempt"
    if (credit.amount, credit.currency) != (attempt.amount, payment.charged_currency):
        return f"{credit.amount} {credit.currency}, asked for {attempt.amount} {payment.charged_currency}"
    if not event.evidence and event.from_status == Status.REVIEW and event.actor and event.note:
        return ""
    return _missing_proof(event.evidence, attempt, payment)


def _missing_proof(evidence: Mapping[str, Any], attempt: Attempt, payment: Payment) -> str:
    if evidence.get("word") != Word.SUCCESSFUL:
        return "no report said successful"
    if not same_reference(evidence.get("reference") or "", attempt.gateway_reference or "?"):
        return "the report was about another reference"
    if evidence.get("echo_matches") is not True:
        return "the report did not echo the attempt"
    if evidence.get("amount") not in (None, attempt.amount, payment.charged_price + payment.fee):
        return f"the report was of {evidence.get('amount')}, asked for {attempt.amount}"
    return ""


def nothing_is_forgotten() -> Iterator[str]:
    """I7: what may still be charged has a next look within a day; what we doubt, for a week."""
    now = conf.now()
    doubted = Q(status=Status.REVIEW) | Q(status=Status.EXPIRED, sent_at__isnull=False)
    watched = Q(status__in=LIVE) | (doubted & Q(created_at__gt=now - ATTENTION))
    late = Q(next_poll_at=None) | Q(next_poll_at__gt=now + LONGEST_WAIT)
    for pk, status, next_poll_at in _rows(Attempt.objects.filter(watched, late), "pk", "status", "next_poll_at"):
        yield f"attempt {pk}: {status}, next look {next_poll_at or 'never'}"


def deliveries_are_matched() -> Iterator[str]:
    """I8: a delivery that names an attempt's reference belongs to that attempt, and to no other."""
    crossed = WebhookDelivery.objects.filter(attempt__isnull=False).exclude(
        gateway_reference=F("attempt__gateway_reference")
    )
    for pk, attempt in _rows(crossed, "pk", "attempt_id"):
        yield f"delivery {pk}: given to attempt {attempt}, whose reference is another"
    named = Attempt.objects.filter(gateway_reference=OuterRef("gateway_reference"))
    waiting = WebhookDelivery.objects.filter(attempt=None, received_at__lt=conf.now() - MATCHED_WITHIN)
    for pk in _ids(waiting.exclude(gateway_reference="").filter(Exists(named))):
        yield f"delivery {pk}: nobody matched it with the attempt it names"


def one_key_is_one_payment() -> Iterator[str]:
    """I9: an idempotency key leads to one payment of its own user, and its remembered answer is about that one."""
    owned = IdempotencyRecord.objects.exclude(payment__user=None)  # erased users leave their payments without one
    for pk in _ids(owned.exclude(payment__user=F("user"))):
        yield f"idempotency record {pk}: its payment is another user's"
    answered = IdempotencyRecord.objects.filter(answer_body__isnull=False)
    for pk, payment, body in _rows(answered, "pk", "payment_id", "answer_body"):
        if body.get("id") != str(payment):
            yield f"idempotency record {pk}: it answers with another payment"
    # A payment older than the record had the key before: keys are forgotten in the end, and may come again.
    other = IdempotencyRecord.objects.filter(
        user=OuterRef("user"), key=OuterRef("idempotency_key"), created_at__lte=OuterRef("created_at")
    ).exclude(payment=OuterRef("pk"))
    for pk in _ids(Payment.objects.exclude(idempotency_key="").filter(Exists(other))):
        yield f"payment {pk}: its idempotency key leads to another"


def every_news_is_told() -> Iterator[str]:
    """I10: a credit, a review, a second charge each have their messages; a message is told or still to be told."""
    for pk in _ids(Credit.objects.exclude(Exists(_messages("payment_id", OutboxMessage.Signal.SUCCEEDED)))):
        yield f"credit {pk}: no message"
    doubted = PaymentEvent.objects.filter(to_status=Status.REVIEW)
    doubted = doubted.exclude(Exists(_messages("payment_id", OutboxMessage.Signal.NEEDS_REVIEW)))
    for pk in _ids(doubted):
        yield f"event {pk}: a review, and no message"
    second = Incident.objects.filter(kind=Incident.Kind.DUPLICATE_CHARGE)
    for pk in _ids(second.exclude(Exists(_messages("payment_id", OutboxMessage.Signal.DUPLICATE_CHARGE)))):
        yield f"incident {pk}: no message"
    twice = OutboxMessage.objects.filter(signal=OutboxMessage.Signal.SUCCEEDED).values("payment_id")
    for row in twice.annotate(told=Count("pk")).filter(told__gt=1).order_by("payment_id"):
        yield f"payment {row['payment_id']}: its success has {row['told']} messages"
    for pk in _ids(OutboxMessage.objects.filter(delivered_at=None, next_delivery_at=None)):
        yield f"message {pk}: not told, and not to be told"


def _messages(payment: str, signal: OutboxMessage.Signal) -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(payment_id=OuterRef(payment), signal=signal)


def amounts_are_whole() -> Iterator[str]:
    """I12: amounts are positive, and the payer is asked for what the payment says: the price, converted by the rate
    that stands beside it, or that and the fee.

    The provider's limits are judged when a payment starts; they may be others today, so they are not judged again.
    """
    cheap = Q(charged_currency=F("currency"), charged_amount__lt=F("amount"))
    unlike_rate = Q(exchange_rate=None) ^ Q(charged_currency=F("currency"))
    wrong = Q(amount__lte=0) | Q(charged_amount__lte=0) | Q(fee__lt=0) | cheap | unlike_rate
    for pk, amount, charged, fee in _rows(Payment.objects.filter(wrong), "pk", "amount", "charged_amount", "fee"):
        yield f"payment {pk}: amount {amount}, charged {charged}, fee {fee}"
    for payment in Payment.objects.filter(exchange_rate__isnull=False).exclude(wrong).order_by("pk").iterator():
        price, charged = payment.charged_price, payment.charged_amount
        if charged not in (price, price + payment.fee):
            yield f"payment {payment.pk}: its price comes to {price}, charged {charged}, fee {payment.fee}"
    unlike = Attempt.objects.exclude(amount=F("payment__charged_amount"))
    for pk, amount, charged in _rows(unlike, "pk", "amount", "payment__charged_amount"):
        yield f"attempt {pk}: asks for {amount}, its payment for {charged}"


def nothing_waits_for_the_future() -> Iterator[str]:
    """I19: no row is put off farther than its own rules go, and none was made in the future: a clock was wrong.

    The worker puts the waits right within a minute. What bears a wrong time of its own stays, for staff to know.
    """
    now = conf.now()
    put_off = Attempt.objects.filter(due.put_off_too_far(now) | due.given_up_too_early(now))
    for pk, status, next_poll_at in _rows(put_off, "pk", "status", "next_poll_at"):
        yield f"attempt {pk}: {status}, next look {next_poll_at or 'never'}"
    late = OutboxMessage.objects.filter(next_delivery_at__gt=now + LONGEST_WAIT)
    for pk, at in _rows(late, "pk", "next_delivery_at"):
        yield f"message {pk}: not told before {at}"
    future = Q(created_at__gt=now + conf.CLOCK_SLACK) | Q(sent_at__gt=now + conf.CLOCK_SLACK)
    for pk, created_at in _rows(Attempt.objects.filter(future), "pk", "created_at"):
        yield f"attempt {pk}: made or sent in the future ({created_at})"
    for pk, night in _rows(Comparison.objects.filter(night__gt=now.date() + LONGEST_WAIT), "pk", "night"):
        yield f"comparison {pk}: of the night of {night}, which is not here yet"


#: Those that rows can show. I11, that no msisdn leaves them, is not among these.
INVARIANTS: Mapping[str, Callable[[], Iterator[str]]] = {
    "I1": credits_add_up,
    "I2": credit_means_successful,
    "I3": nobody_is_asked_twice,
    "I4": second_charges_are_incidents,
    "I5": events_are_a_chain,
    "I6": credits_rest_on_proof,
    "I7": nothing_is_forgotten,
    "I8": deliveries_are_matched,
    "I9": one_key_is_one_payment,
    "I10": every_news_is_told,
    "I12": amounts_are_whole,
    "I19": nothing_waits_for_the_future,
}


def _rows(rows: QuerySet[Any], *names: str) -> Iterator[tuple[Any, ...]]:
    """Those columns of each row, in a fixed order, without holding all of them in memory."""
    return rows.order_by("pk").values_list(*names).iterator()


def _ids(rows: QuerySet[Any]) -> Iterator[Any]:
    return (pk for (pk,) in _rows(rows, "pk"))
