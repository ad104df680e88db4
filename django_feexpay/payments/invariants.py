"""Invariants of the stored rows, numbered I1 to I24, checkable on live data.

Each function yields its violations as short texts of ids, statuses and amounts, never personal data. Each check is one
statement and so sees one moment: payments may run meanwhile. Nothing here writes or repairs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import CharField, Count, Exists, F, OuterRef, Q, QuerySet, Value, Window
from django.db.models.functions import Coalesce, Lag, Lead, Lower, TruncDate, Upper

from django_feexpay import conf
from django_feexpay.catalogue.outcomes import DOUBTFUL_REFUSALS, Word
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.gateway.reports import echo_kept_in
from django_feexpay.lifecycle import LIVE, NEVER_ARRIVED, PublicStatus, Status, may_move, statuses_of
from django_feexpay.models import (
    Attempt,
    Comparison,
    Credit,
    Discrepancy,
    IdempotencyRecord,
    Incident,
    OutboxMessage,
    Payment,
    PaymentEvent,
    Payout,
    ReviewDecision,
    ReviewProposal,
    WebhookDelivery,
)
from django_feexpay.models.purge import messages_kept_since
from django_feexpay.payments import (
    credit_invariants,
    daily_totals,
    history_search,
    incidents,
    leases,
    missing_attempts,
    outbox,
    payout_invariants,
    prompts,
    refund_invariants,
)
from django_feexpay.payments.poll_schedule import longest_wait

#: The longest wait between two polls of a live attempt, and of an EXPIRED or REVIEW up to a week old.
LONGEST_WAIT = timedelta(days=1)

#: A delivery that arrived before the commit of its reference is matched at the worker's next heartbeat.
MATCHED_WITHIN = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Violation:
    """A row or a sum that breaks `rule` (I1 to I24). `about`: its kind and id."""

    rule: str
    about: str
    problem: str

    def __str__(self) -> str:
        return f"{self.rule} {self.about}: {self.problem}"


@contextmanager
def reading_every_row() -> Iterator[None]:
    """Prepare PostgreSQL for the checks, which read whole tables; without this they take several times as long.

    It plans a cursor for the first tenth of its rows, and sorts in so little memory that it prefers an index that
    jumps through the table.
    """
    # Behind pgbouncer in transaction mode there are no such cursors, and SET could reach another client.
    if connection.vendor != "postgresql" or connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET cursor_tuple_fraction = 1; SET work_mem = '64MB'")
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET cursor_tuple_fraction; RESET work_mem")


def violations(rules: Iterable[str] = ()) -> Iterator[Violation]:
    """Yield every violation of these rules (default: all). Raises: KeyError."""
    for rule in rules or INVARIANTS:
        for text in INVARIANTS[rule]():
            about, _, problem = text.partition(": ")
            yield Violation(rule, about, problem)


def name_of(rule: str) -> str:
    """The name of a rule in words, such as `credits add up`."""
    return INVARIANTS[rule].__name__.replace("_", " ")


def successful_means_credited() -> Iterator[str]:
    """I2: a payment is SUCCESSFUL exactly if one of its own attempts has a credit.

    Otherwise its newest attempt gives its status; if that one failed, an earlier one under review does. A second credit
    is impossible: the payment is the credit's primary key.
    """
    unlike = Q(status=Status.SUCCESSFUL, credit=None) | (~Q(status=Status.SUCCESSFUL) & Q(credit__isnull=False))
    for pk, status in _rows(Payment.objects.filter(unlike), "pk", "status"):
        yield f"payment {pk}: {status} {'without' if status == Status.SUCCESSFUL else 'with'} a credit"
    reviewed = Attempt.objects.filter(payment=OuterRef("pk"), status=Status.REVIEW)
    by_review = Q(Exists(reviewed), latest_attempt__status__in=statuses_of(PublicStatus.FAILED))
    uncredited = Payment.objects.filter(credit=None)
    differing = uncredited.exclude(latest_attempt__status=F("status")).exclude(by_review, status=Status.REVIEW)
    for pk, status, newest in _rows(differing, "pk", "status", "latest_attempt__status"):
        yield f"payment {pk}: {status}, its newest attempt {newest}"
    for pk, status in _rows(uncredited.filter(by_review).exclude(status=Status.REVIEW), "pk", "status"):
        yield f"payment {pk}: {status}, an earlier attempt is under review"
    for pk in _ids(Credit.objects.exclude(attempt__payment=F("payment"), attempt__status=Status.SUCCESSFUL)):
        yield f"credit {pk}: its attempt is another payment's, or not successful"


def payer_is_never_asked_twice() -> Iterator[str]:
    """I3: a payment has at most one live attempt, and a reference one attempt."""
    live = Payment.objects.annotate(live=Count("attempts", filter=Q(attempts__status__in=LIVE)))
    for pk, count in _rows(live.filter(live__gt=1), "pk", "live"):
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
        for pk in _ids(Attempt.objects.filter(~Exists(own), extra)):
            yield f"attempt {pk}: a second charge, and no incident"
    for pk in _ids(Attempt.objects.filter(Exists(own)).exclude(of_payment | of_order[0] | of_order[1])):
        yield f"attempt {pk}: an incident, but no second charge"
    yield from _second_charges_of_one_attempt()


def _second_charges_of_one_attempt() -> Iterator[str]:
    """I4 for charges that no attempt holds: incidents and discrepancies record them."""
    beside = _duplicate_charges().exclude(reference=Lower(_or_none(F("attempt__gateway_reference"))))
    spellings = [OuterRef("gateway_reference"), OuterRef("reference"), Upper(OuterRef("gateway_reference"))]
    held = Exists(Attempt.objects.filter(gateway_reference__in=spellings))
    wrong = Q(gateway_reference="") | ~Q(attempt__status=Status.SUCCESSFUL) | Q(held=True)
    for pk, reference in _rows(beside.annotate(held=held).filter(wrong), "pk", "gateway_reference"):
        yield f"incident {pk}: {reference or 'no reference'} is no second charge of its attempt"
    reported = _duplicate_charges().filter(attempt=OuterRef("attempt"), reference=Lower(OuterRef("gateway_reference")))
    confirmed = Discrepancy.objects.filter(kind=Discrepancy.Kind.SECOND_ROW, outcome=Discrepancy.Outcome.INCIDENT)
    for pk in _ids(confirmed.exclude(Exists(reported))):
        yield f"discrepancy {pk}: FeexPay confirmed a second charge, and there is no incident"


def _duplicate_charges() -> QuerySet[Any]:
    """The duplicate-charge incidents; `reference` is FeexPay's in lower case."""
    incidents_ = Incident.objects.filter(kind=Incident.Kind.DUPLICATE_CHARGE)
    return incidents_.annotate(reference=Lower("gateway_reference"))


def _or_none(reference: Any) -> Coalesce:
    """A reference as incidents write it: "" for none."""
    return Coalesce(reference, Value(""), output_field=CharField())


def events_form_a_chain() -> Iterator[str]:
    """I5: each event is a legal move from where the one before ended.

    The last one gives the attempt's status. No legal move leaves SUCCESSFUL.
    """
    of_attempt = partial(Window, partition_by=[F("attempt")], order_by="id")
    before = of_attempt(Lag("to_status", default=Value("", output_field=CharField())))
    events = PaymentEvent.objects.annotate(before=before, after=of_attempt(Lead("id")))
    broken = events.filter(~Q(from_status=F("before")) | Q(after=None) & ~Q(to_status=F("attempt__status")))
    names = ("pk", "attempt_id", "from_status", "before", "after", "to_status", "attempt__status")
    for pk, attempt, from_status, ended, after, to_status, status in broken.order_by().values_list(*names).iterator():
        if from_status != ended:
            yield f"attempt {attempt}: event {pk} begins at {from_status or 'nothing'}, the one before ended at {ended}"
        if after is None and to_status != status:
            yield f"attempt {attempt}: {status}, its events end at {to_status}"
    steps = PaymentEvent.objects.exclude(from_status="").order_by().values_list("from_status", "to_status").distinct()
    for from_status, to_status in steps:
        if not may_move(Status(from_status), Status(to_status)):
            yield f"illegal move: {from_status} to {to_status}"
    without = Attempt.objects.exclude(Exists(PaymentEvent.objects.filter(attempt=OuterRef("pk"))))
    for pk, status in _rows(without, "pk", "status"):
        yield f"attempt {pk}: {status}, its events end at nothing"


def undecided_attempt_has_a_next_poll() -> Iterator[str]:
    """I7: a live attempt is polled within a day; doubtful ones are polled forever.

    REVIEW and a sent EXPIRED: within a day in the first week, then within a seventh of their age.
    """
    now = conf.now()
    watched = Q(status__in=[*LIVE, Status.REVIEW]) | Q(status=Status.EXPIRED, sent_at__isnull=False)
    late = Q(next_poll_at=None) | Q(next_poll_at__gt=now + LONGEST_WAIT)
    names = ("pk", "status", "created_at", "next_poll_at")
    for pk, status, created_at, next_poll_at in _rows(Attempt.objects.filter(watched, late), *names):
        longest = max(LONGEST_WAIT, longest_wait(Status(status), now - created_at))
        if next_poll_at is None or next_poll_at > now + longest:
            yield f"attempt {pk}: {status}, next poll {next_poll_at or 'never'}"


def delivery_matches_its_attempt() -> Iterator[str]:
    """I8: a delivery belongs to the attempt, or the payout, whose reference it names.

    If no attempt has that reference, it may be a second charge: the delivery belongs to the attempt whose id it echoes
    or that has an incident about the reference.
    """
    mismatched = WebhookDelivery.objects.filter(attempt__gateway_reference__isnull=False).exclude(
        gateway_reference=F("attempt__gateway_reference")
    )
    second = Incident.objects.filter(
        attempt=OuterRef("attempt"), gateway_reference__iexact=OuterRef("gateway_reference")
    )
    for pk, attempt, body in _rows(mismatched.exclude(Exists(second)), "pk", "attempt_id", "body"):
        if echo_kept_in(body) != str(attempt):
            yield f"delivery {pk}: matched to attempt {attempt}, which has another reference"
    of_payouts = WebhookDelivery.objects.filter(payout__gateway_reference__isnull=False)
    for pk, payout, body in _rows(
        of_payouts.exclude(gateway_reference=F("payout__gateway_reference")), "pk", "payout_id", "body"
    ):
        if echo_kept_in(body) != str(payout):
            yield f"delivery {pk}: matched to payout {payout}, which has another reference"
    waiting = WebhookDelivery.objects.unmatched().filter(received_at__lt=conf.now() - MATCHED_WITHIN)
    for model in (Attempt, Payout):
        named = model._default_manager.filter(gateway_reference=OuterRef("gateway_reference"))
        for pk in _ids(waiting.exclude(gateway_reference="").filter(Exists(named))):
            yield f"delivery {pk}: not matched to the {model._meta.model_name} that it names"


def idempotency_key_leads_to_one_payment() -> Iterator[str]:
    """I9: a key leads to one payment of its own user, and so does its stored answer."""
    owned = IdempotencyRecord.objects.exclude(payment__user=None)  # erasing a user leaves the payment without one
    for pk in _ids(owned.exclude(payment__user=F("user"))):
        yield f"idempotency record {pk}: its payment is another user's"
    answered = IdempotencyRecord.objects.filter(answer_body__isnull=False)
    for pk, payment, body in _rows(answered, "pk", "payment_id", "answer_body"):
        if body.get("id") != str(payment):
            yield f"idempotency record {pk}: it answers with another payment"
    # A payment older than the record used the key earlier: records are purged, and a client may reuse the key.
    other = IdempotencyRecord.objects.filter(
        user=OuterRef("user"), key=OuterRef("idempotency_key"), created_at__lte=OuterRef("created_at")
    ).exclude(payment=OuterRef("pk"))
    for pk in _ids(Payment.objects.exclude(idempotency_key="").filter(Exists(other))):
        yield f"payment {pk}: its idempotency key leads to another"


def every_outcome_has_its_message() -> Iterator[str]:
    """I10: each outcome has its outbox message, delivered or scheduled, unless the purge deleted it."""
    since = messages_kept_since()
    silent = Credit.objects.filter(created_at__gt=since).exclude(Exists(_messages(OutboxMessage.Signal.SUCCEEDED)))
    for pk in _ids(silent):
        yield f"credit {pk}: no message"
    doubted = PaymentEvent.objects.filter(to_status=Status.REVIEW, created_at__gt=since)
    doubted = doubted.exclude(Exists(_messages(OutboxMessage.Signal.NEEDS_REVIEW)))
    for pk in _ids(doubted):
        yield f"event {pk}: a review, and no message"
    second = Incident.objects.filter(kind=Incident.Kind.DUPLICATE_CHARGE, opened_at__gt=since)
    for pk in _ids(second.exclude(Exists(_messages(OutboxMessage.Signal.DUPLICATE_CHARGE)))):
        yield f"incident {pk}: no message"
    twice = OutboxMessage.objects.filter(signal=OutboxMessage.Signal.SUCCEEDED).values("payment_id")
    for row in twice.annotate(messages=Count("pk")).filter(messages__gt=1).order_by("payment_id"):
        yield f"payment {row['payment_id']}: its success has {row['messages']} messages"
    for pk in _ids(OutboxMessage.objects.filter(delivered_at=None, next_delivery_at=None)):
        yield f"message {pk}: not delivered and not scheduled"


def _messages(signal: OutboxMessage.Signal) -> QuerySet[OutboxMessage]:
    """The messages with this signal of the payment that an outer row belongs to."""
    return OutboxMessage.objects.filter(payment_id=OuterRef("payment_id"), signal=signal)


def amounts_agree() -> Iterator[str]:
    """I12: each attempt asks for the payment's price, with or without the fee.

    Amounts are positive, and a price in another currency is converted at the stored rate.
    The provider's limits are checked when a payment starts and may have changed since, so they are not checked here.
    """
    below_price = Q(charged_currency=F("currency"), charged_amount__lt=F("amount"))
    unlike_rate = Q(exchange_rate=None) ^ Q(charged_currency=F("currency"))
    wrong = Q(amount__lte=0) | Q(charged_amount__lte=0) | Q(fee__lt=0) | below_price | unlike_rate
    for pk, amount, charged, fee in _rows(Payment.objects.filter(wrong), "pk", "amount", "charged_amount", "fee"):
        yield f"payment {pk}: amount {amount}, charged {charged}, fee {fee}"
    for payment in Payment.objects.filter(exchange_rate__isnull=False).exclude(wrong).order_by("pk").iterator():
        price, charged = payment.charged_price, payment.charged_amount
        if charged not in (price, price + payment.fee):
            yield f"payment {payment.pk}: its price comes to {price}, charged {charged}, fee {payment.fee}"
    unlike = Attempt.objects.exclude(amount=F("payment__charged_amount"))
    for pk, amount, charged in _rows(unlike, "pk", "amount", "payment__charged_amount"):
        yield f"attempt {pk}: asks for {amount}, its payment for {charged}"


def doubtful_attempt_is_searched_long_enough() -> Iterator[str]:
    """I14: an attempt is closed as never arrived only after the full search.

    It is put back for sending only if it was surely not sent. A doubtful refusal is polled on its first day.
    """
    closed = PaymentEvent.objects.filter(because=NEVER_ARRIVED)
    for pk, attempt, from_status, evidence in _rows(closed, "pk", "attempt_id", "from_status", "evidence"):
        if problem := _problem_of_closing(from_status, evidence):
            yield f"attempt {attempt}: event {pk} closed it, {problem}"
    said_so = Attempt.objects.filter(status=Status.EXPIRED, reason_code=NEVER_ARRIVED)
    for pk in _ids(said_so.exclude(Exists(closed.filter(attempt=OuterRef("pk"))))):
        yield f"attempt {pk}: closed as never arrived, and no event says so"
    put_back = PaymentEvent.objects.filter(from_status=Status.SENDING, to_status=Status.CREATED)
    for pk, attempt, because in _rows(put_back.exclude(_SURELY_NOT_SENT), "pk", "attempt_id", "because"):
        yield f"attempt {attempt}: event {pk} put it back to be sent again, because {because}"
    doubted = Attempt.objects.filter(status=Status.REJECTED, reason_code__in=sorted(DOUBTFUL_REFUSALS))
    for pk in _ids(doubted.filter(settled_at__gt=conf.now() - LONGEST_WAIT, next_poll_at=None)):
        yield f"attempt {pk}: a doubtful refusal without a next poll"


#: Without its answer a hosted page has no address, so no payer can reach it.
_SURELY_NOT_SENT = Q(because__in=["not_sent", "no_page"]) | Q(
    because="sender_died",
    payment__provider__in=sorted(code for code, spec in CATALOGUE.items() if spec.flow == "hosted"),
)


def _problem_of_closing(from_status: str, evidence: Mapping[str, Any]) -> str:
    """The problem of the proof that a request never arrived, or ""."""
    if from_status != Status.UNKNOWN:
        return f"which was {from_status or 'nothing'}"
    if evidence.get("complete") is not True or evidence.get("unclaimed") != 0:
        return "but the history had gaps or a payment like it"
    try:
        sent, first, last = (datetime.fromisoformat(evidence[name]) for name in _INSTANTS_OF_CLOSING)
    except (KeyError, TypeError, ValueError):
        return "but the event does not say when the history was searched"
    if last - sent < history_search.CLOSED_AFTER or last - first < missing_attempts.APART:
        return "too soon"
    return ""


_INSTANTS_OF_CLOSING = ("sent_at", "first_absence_at", "last_absence_at")


def review_is_closed_by_a_person() -> Iterator[str]:
    """I13: each closed review names a person and a reason.

    If the amount was above the limit at the time of closing, a second person approved it. `not_paid` never contradicts
    FeexPay. A proposal is open only while its attempt is under review.
    """
    closings = PaymentEvent.objects.filter(because__in=ReviewDecision.values).select_related("attempt")
    for event in closings.order_by("pk").iterator():
        if problem := _problem_of_review(event):
            yield f"event {event.pk}: {problem}"
    waiting = ReviewProposal.objects.filter(outcome=ReviewProposal.Outcome.OPEN)
    for pk, status in _rows(waiting.exclude(attempt__status=Status.REVIEW), "pk", "attempt__status"):
        yield f"proposal {pk}: it waits for a second person, its attempt is {status}"


def _problem_of_review(event: PaymentEvent) -> str:
    """The problem of how a review was closed, or ""."""
    not_paid = event.because == ReviewDecision.NOT_PAID
    ends = Status.FAILED if not_paid else Status.SUCCESSFUL
    if (event.from_status, event.to_status) != (Status.REVIEW, ends):
        return f"{event.because} closes a review, this moved {event.from_status} to {event.to_status}"
    if not event.actor or not event.note:
        return f"{event.because} without {'a reason' if event.actor else 'an actor'}"
    if not_paid and event.evidence.get("word") not in (Word.FAILED, Word.MISSING) and not event.evidence.get("holder"):
        return f"not paid, and FeexPay said {event.evidence.get('word')}"
    return _missing_second_person(event)


def _missing_second_person(event: PaymentEvent) -> str:
    limit, proposal_id = event.evidence.get("two_person_above"), event.evidence.get("proposal")
    amount = max(event.attempt.amount, event.evidence.get("amount") or 0)
    if proposal_id is None:
        return "" if limit is None or amount <= limit else f"{amount} is above {limit}, and one person closed it"
    approved = ReviewProposal.objects.filter(pk=proposal_id, attempt=event.attempt_id, decision=event.because)
    approved = approved.filter(outcome=ReviewProposal.Outcome.APPROVED, ended_by=event.actor)
    if not approved.exclude(proposed_by=event.actor).exists():
        return "approved by the person who proposed it, or never proposed"
    return ""


def incident_is_announced_once() -> Iterator[str]:
    """I15: each incident has one signal, unless the purge deleted it; a reversed attempt has a credit."""
    since = messages_kept_since()
    for kind, signal in incidents.SIGNALS.items():
        opened = Incident.objects.filter(kind=kind, opened_at__gt=since).order_by().values("payment")
        told = OutboxMessage.objects.filter(signal=signal, created_at__gt=since).order_by().values("payment")
        counts: dict[UUID, Counter[str]] = defaultdict(Counter)
        for row in _counted(opened, "opened").union(_counted(told, "told"), all=True).order_by():
            counts[row["payment"]][row["side"]] = row["number"]
        for pk, sides in sorted(counts.items()):
            if sides["opened"] != sides["told"]:
                yield f"payment {pk}: {sides['opened']} incidents {kind}, announced {sides['told']} times"
    reversed_ = Incident.objects.filter(kind=Incident.Kind.REVERSED_AFTER_CREDIT)
    for pk in _ids(reversed_.filter(attempt__credit=None)):
        yield f"incident {pk}: its attempt was never credited"


def _counted(groups: QuerySet[Any, Any], side: str) -> QuerySet[Any, Any]:
    counted: QuerySet[Any, Any] = groups.annotate(side=Value(side), number=Count("pk"))
    return counted


def discrepancy_ends_in_its_own_period() -> Iterator[str]:
    """I16: only a comparison of the attempt's own day ends a discrepancy as gone."""
    gone = Discrepancy.objects.filter(
        state=Discrepancy.State.GONE, ended_by__isnull=False, attempt__sent_at__isnull=False
    )
    gone = gone.annotate(day=TruncDate("attempt__sent_at", tzinfo=UTC))
    elsewhere = Q(day__lt=F("ended_by__first_day")) | Q(day__gt=F("ended_by__last_day"))
    for pk, comparison in _rows(gone.filter(elsewhere), "pk", "ended_by_id"):
        yield f"discrepancy {pk}: ended by comparison {comparison}, which is about other days"


def message_is_delivered_or_scheduled() -> Iterator[str]:
    """I17: an undelivered message keeps its error and is tried again within an hour."""
    now = conf.now()
    waiting = OutboxMessage.objects.filter(delivered_at=None)
    late = waiting.filter(next_delivery_at__gt=now + outbox.LONGEST_WAIT)
    for pk, next_delivery_at in _rows(late, "pk", "next_delivery_at"):
        yield f"message {pk}: not delivered, next delivery {next_delivery_at}"
    silent = waiting.filter(delivery_count__gt=0, last_error="", next_delivery_at__gt=now + outbox.LEASE)
    for pk, count in _rows(silent, "pk", "delivery_count"):
        yield f"message {pk}: no error stored after {count} deliveries"
    for pk in _ids(OutboxMessage.objects.filter(delivered_at__isnull=False, next_delivery_at__isnull=False)):
        yield f"message {pk}: delivered, and scheduled again"


def prompts_are_bounded() -> Iterator[str]:
    """I18: in the last hour no number got more prompts than the setting allows.

    Staff may lift the limit of a number. Older hours are not checked: the setting of that time is unknown.
    """
    for attempt, count, amount, allowed in prompts.beyond_the_limit():
        said, period = (f" of {amount}", "ten minutes") if amount else ("", "the hour")
        yield f"attempt {attempt}: {count} prompts{said} to its number within {period}, {allowed} are allowed"


def no_time_is_too_far_ahead() -> Iterator[str]:
    """I19: no row waits longer than its rules allow, and none is from the future.

    A wrong clock causes both. The worker corrects the waits within a minute. A wrong creation time stays, so that staff
    see it.
    """
    now = conf.now()
    late_attempts = Attempt.objects.filter(leases.scheduled_too_late(now) | leases.missing_next_poll(now))
    for pk, status, next_poll_at in _rows(late_attempts, "pk", "status", "next_poll_at"):
        yield f"attempt {pk}: {status}, next poll {next_poll_at or 'never'}"
    late = OutboxMessage.objects.filter(next_delivery_at__gt=now + LONGEST_WAIT)
    for pk, at in _rows(late, "pk", "next_delivery_at"):
        yield f"message {pk}: not delivered before {at}"
    future = Q(created_at__gt=now + conf.CLOCK_SLACK) | Q(sent_at__gt=now + conf.CLOCK_SLACK)
    for pk, created_at in _rows(Attempt.objects.filter(future), "pk", "created_at"):
        yield f"attempt {pk}: created or sent in the future ({created_at})"
    for pk, night in _rows(Comparison.objects.filter(night__gt=now.date() + LONGEST_WAIT), "pk", "night"):
        yield f"comparison {pk}: of the night of {night}, which is in the future"


def daily_totals_match_the_payments() -> Iterator[str]:
    """I23: each daily total is what its payments add up to. A rebuild repairs it; no money depends on it."""
    yield from daily_totals.differences()


#: The invariants that rows can show. I11 (no msisdn leaks) is not among them: tests check it.
INVARIANTS: Mapping[str, Callable[[], Iterator[str]]] = {
    "I1": credit_invariants.credits_add_up,
    "I2": successful_means_credited,
    "I3": payer_is_never_asked_twice,
    "I4": second_charge_opens_an_incident,
    "I5": events_form_a_chain,
    "I6": credit_invariants.credit_has_proof,
    "I7": undecided_attempt_has_a_next_poll,
    "I8": delivery_matches_its_attempt,
    "I9": idempotency_key_leads_to_one_payment,
    "I10": every_outcome_has_its_message,
    "I12": amounts_agree,
    "I13": review_is_closed_by_a_person,
    "I14": doubtful_attempt_is_searched_long_enough,
    "I15": incident_is_announced_once,
    "I16": discrepancy_ends_in_its_own_period,
    "I17": message_is_delivered_or_scheduled,
    "I18": prompts_are_bounded,
    "I19": no_time_is_too_far_ahead,
    "I20": refund_invariants.refunds_never_exceed_what_was_taken,
    "I21": refund_invariants.closed_incident_is_refunded_or_explained,
    "I22": refund_invariants.recorded_refund_is_approved_and_announced_once,
    "I23": daily_totals_match_the_payments,
    "I24": payout_invariants.payout_pays_its_refund_once_by_two_persons,
}


def _rows(rows: QuerySet[Any], *names: str) -> Iterator[tuple[Any, ...]]:
    """The named columns of each row, by primary key, read without loading the table into memory."""
    return rows.order_by("pk").values_list(*names).iterator()


def _ids(rows: QuerySet[Any]) -> Iterator[Any]:
    return (pk for (pk,) in _rows(rows, "pk"))
