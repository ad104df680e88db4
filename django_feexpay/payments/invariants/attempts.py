"""Invariants of attempts, and of what FeexPay reports about them: I5, I7, I8, I14, I16, I18 and I19."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.db.models import CharField, Exists, F, OuterRef, Q, Value, Window
from django.db.models.functions import Lag, Lead, TruncDate

from django_feexpay import conf
from django_feexpay.catalogue.outcomes import DOUBTFUL_REFUSALS
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.gateway.reports import echo_kept_in
from django_feexpay.lifecycle import LIVE, NEVER_ARRIVED, Status, may_move
from django_feexpay.models import (
    Attempt,
    Comparison,
    Discrepancy,
    Incident,
    OutboxMessage,
    PaymentEvent,
    Payout,
    WebhookDelivery,
)
from django_feexpay.payments import history_search, leases, missing_attempts, prompts
from django_feexpay.payments.invariants.reading import columns_of, ids_of
from django_feexpay.payments.poll_schedule import longest_wait

#: The longest wait between two polls of a live attempt, and of an EXPIRED or REVIEW up to a week old.
LONGEST_WAIT = timedelta(days=1)

#: A delivery that arrived before the commit of its reference is matched at the worker's next heartbeat.
MATCHED_WITHIN = timedelta(minutes=2)


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
    for pk, status in columns_of(without, "pk", "status"):
        yield f"attempt {pk}: {status}, its events end at nothing"


def undecided_attempt_has_a_next_poll() -> Iterator[str]:
    """I7: a live attempt is polled within a day; doubtful ones are polled forever.

    REVIEW and a sent EXPIRED: within a day in the first week, then within a seventh of their age.
    """
    now = conf.now()
    watched = Q(status__in=[*LIVE, Status.REVIEW]) | Q(status=Status.EXPIRED, sent_at__isnull=False)
    late = Q(next_poll_at=None) | Q(next_poll_at__gt=now + LONGEST_WAIT)
    names = ("pk", "status", "created_at", "next_poll_at")
    for pk, status, created_at, next_poll_at in columns_of(Attempt.objects.filter(watched, late), *names):
        longest = max(LONGEST_WAIT, longest_wait(Status(status), now - created_at))
        if next_poll_at is None or next_poll_at > now + longest:
            yield f"attempt {pk}: {status}, next poll {next_poll_at or 'never'}"


def delivery_matches_its_attempt() -> Iterator[str]:
    """I8: a delivery belongs to the attempt, or the payout, whose reference it names.

    If no attempt has that reference, it may be a second charge: the delivery belongs to the attempt whose id it echoes
    or that has an incident about the reference. An attempt found by its id (a page, an OTP) takes the reference of the
    payer's next try, and keeps the deliveries about the one before.
    """
    mismatched = WebhookDelivery.objects.filter(
        attempt__gateway_reference__isnull=False, attempt__sought_by_echo=False
    ).exclude(gateway_reference=F("attempt__gateway_reference"))
    second = Incident.objects.filter(
        attempt=OuterRef("attempt"), gateway_reference__iexact=OuterRef("gateway_reference")
    )
    for pk, attempt, body in columns_of(mismatched.exclude(Exists(second)), "pk", "attempt_id", "body"):
        if echo_kept_in(body) != str(attempt):
            yield f"delivery {pk}: matched to attempt {attempt}, which has another reference"
    of_payouts = WebhookDelivery.objects.filter(payout__gateway_reference__isnull=False)
    for pk, payout, body in columns_of(
        of_payouts.exclude(gateway_reference=F("payout__gateway_reference")), "pk", "payout_id", "body"
    ):
        if echo_kept_in(body) != str(payout):
            yield f"delivery {pk}: matched to payout {payout}, which has another reference"
    waiting = WebhookDelivery.objects.unmatched().filter(received_at__lt=conf.now() - MATCHED_WITHIN)
    for model in (Attempt, Payout):
        named = model._default_manager.filter(gateway_reference=OuterRef("gateway_reference"))
        for pk in ids_of(waiting.exclude(gateway_reference="").filter(Exists(named))):
            yield f"delivery {pk}: not matched to the {model._meta.model_name} that it names"


def doubtful_attempt_is_searched_long_enough() -> Iterator[str]:
    """I14: an attempt is closed as never arrived only after the full search.

    It is put back for sending only if it was surely not sent. A doubtful refusal is polled on its first day.
    """
    closed = PaymentEvent.objects.filter(because=NEVER_ARRIVED)
    for pk, attempt, from_status, evidence in columns_of(closed, "pk", "attempt_id", "from_status", "evidence"):
        if problem := _problem_of_closing(from_status, evidence):
            yield f"attempt {attempt}: event {pk} closed it, {problem}"
    said_so = Attempt.objects.filter(status=Status.EXPIRED, reason_code=NEVER_ARRIVED)
    for pk in ids_of(said_so.exclude(Exists(closed.filter(attempt=OuterRef("pk"))))):
        yield f"attempt {pk}: closed as never arrived, and no event says so"
    put_back = PaymentEvent.objects.filter(from_status=Status.SENDING, to_status=Status.CREATED)
    for pk, attempt, because in columns_of(put_back.exclude(_SURELY_NOT_SENT), "pk", "attempt_id", "because"):
        yield f"attempt {attempt}: event {pk} put it back to be sent again, because {because}"
    doubted = Attempt.objects.filter(status=Status.REJECTED, reason_code__in=sorted(DOUBTFUL_REFUSALS))
    for pk in ids_of(doubted.filter(settled_at__gt=conf.now() - LONGEST_WAIT, next_poll_at=None)):
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
    if last - sent < history_search.CLOSED_AFTER or last - first < missing_attempts.SEARCHES_APART:
        return "too soon"
    return ""


_INSTANTS_OF_CLOSING = ("sent_at", "first_absence_at", "last_absence_at")


def discrepancy_ends_in_its_own_period() -> Iterator[str]:
    """I16: only a comparison of the attempt's own day ends a discrepancy as gone."""
    gone = Discrepancy.objects.filter(
        state=Discrepancy.State.GONE, ended_by__isnull=False, attempt__sent_at__isnull=False
    )
    gone = gone.annotate(day=TruncDate("attempt__sent_at", tzinfo=UTC))
    elsewhere = Q(day__lt=F("ended_by__first_day")) | Q(day__gt=F("ended_by__last_day"))
    for pk, comparison in columns_of(gone.filter(elsewhere), "pk", "ended_by_id"):
        yield f"discrepancy {pk}: ended by comparison {comparison}, which is about other days"


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
    for pk, status, next_poll_at in columns_of(late_attempts, "pk", "status", "next_poll_at"):
        yield f"attempt {pk}: {status}, next poll {next_poll_at or 'never'}"
    late = OutboxMessage.objects.filter(next_delivery_at__gt=now + LONGEST_WAIT)
    for pk, at in columns_of(late, "pk", "next_delivery_at"):
        yield f"message {pk}: not delivered before {at}"
    future = Q(created_at__gt=now + conf.CLOCK_SLACK) | Q(sent_at__gt=now + conf.CLOCK_SLACK)
    for pk, created_at in columns_of(Attempt.objects.filter(future), "pk", "created_at"):
        yield f"attempt {pk}: created or sent in the future ({created_at})"
    for pk, night in columns_of(Comparison.objects.filter(night__gt=now.date() + LONGEST_WAIT), "pk", "night"):
        yield f"comparison {pk}: of the night of {night}, which is in the future"
