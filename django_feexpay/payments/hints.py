"""What webhooks are good for: knowing that it is time to ask. A delivery is stored and points at its attempt;
nothing it says is believed."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import transaction

from django_feexpay import conf
from django_feexpay.gateway.reports import WebhookHint
from django_feexpay.models import Attempt, WebhookDelivery
from django_feexpay.payments import due

#: How long an unmatched delivery may still find its attempt: an answer to collect is minutes late at most.
_MATCHABLE = timedelta(hours=24)
UNMATCHED_AT_MOST = 10_000
_LONGEST_WORD = 64


@transaction.atomic(durable=True)
def receive(hint: WebhookHint) -> None:
    """Store a delivery and make its attempt due. An unknown reference is kept, and matched when we learn it.

    Changes: WebhookDelivery, `next_poll_at` of the attempt. Safe to repeat: yes; a repeat only counts up and asks
    again. Makes no call.
    """
    attempt = _attempt_of(hint)
    if attempt is None and not _may_keep(hint):
        return
    WebhookDelivery.objects.store_or_count(_delivery(hint, attempt))
    # Whoever takes an attempt that is due already asks after this moment, and so learns what is new.
    if attempt is not None and not _is_due(attempt):
        due.hasten(attempt)


def match(attempt_id: UUID, gateway_reference: str) -> None:
    """Give an attempt the deliveries that came before its reference was known; with one, it is due now.

    Changes: WebhookDelivery, `next_poll_at`. Safe to repeat: yes.
    """
    waiting = WebhookDelivery.objects.filter(gateway_reference=gateway_reference, attempt=None)
    if waiting.update(attempt=attempt_id):
        due.hasten(Attempt.objects.get(pk=attempt_id))


def match_stragglers() -> int:
    """Match deliveries that crossed with the commit of their reference; how many.

    Changes: as `match`. Safe to repeat: yes.
    """
    since = conf.now() - _MATCHABLE
    waiting = WebhookDelivery.objects.filter(attempt=None, received_at__gt=since).exclude(gateway_reference="")
    references = list(waiting.values_list("gateway_reference", flat=True)[:500])
    found = Attempt.objects.filter(gateway_reference__in=references).values_list("pk", "gateway_reference")
    for attempt_id, reference in found:
        match(attempt_id, str(reference))
    return len(found)


def _attempt_of(hint: WebhookHint) -> Attempt | None:
    """The attempt a delivery is about, with no more columns than it takes to hasten it."""
    if not hint.reference:
        return None
    attempts = Attempt.objects.only("status", "next_poll_at", "last_look_at")
    try:
        return attempts.get(gateway_reference=hint.reference)
    except Attempt.DoesNotExist:
        return None


def _is_due(attempt: Attempt) -> bool:
    return attempt.next_poll_at is not None and attempt.next_poll_at <= conf.now()


def _may_keep(hint: WebhookHint) -> bool:
    """Strangers may post when no credential is configured: what points at no attempt is kept only up to a bound."""
    known = WebhookDelivery.objects.filter(dedupe_key=hint.dedupe_key)
    return known.exists() or _unmatched_count() < UNMATCHED_AT_MOST


def _delivery(hint: WebhookHint, attempt: Attempt | None) -> WebhookDelivery:
    """A row for what came; words longer than their columns are cut, as nothing is decided by them."""
    return WebhookDelivery(
        dedupe_key=hint.dedupe_key,
        gateway_reference=hint.reference,
        reported_status=hint.reported_status[:_LONGEST_WORD],
        event_type=hint.event_type[:_LONGEST_WORD],
        attempt=attempt,
        body=hint.redacted,
        received_at=conf.now(),
    )


def _unmatched_count() -> int:
    return WebhookDelivery.objects.filter(attempt=None)[:UNMATCHED_AT_MOST].count()
