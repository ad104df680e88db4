"""What webhooks are good for: knowing that it is time to ask. A delivery is stored and points at its attempt;
nothing it says is believed."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from uuid import UUID

from django.db.models import Count, QuerySet

from django_feexpay import conf, secrets
from django_feexpay.conf import feexpay
from django_feexpay.gateway.reports import WebhookHint, spellings_of
from django_feexpay.models import Attempt, WebhookDelivery
from django_feexpay.payments import due
from django_feexpay.payments.durability import durable
from django_feexpay.payments.lifecycle import Status

#: How long an unmatched delivery may still find its attempt: an answer to collect is minutes late at most.
_MATCHABLE = timedelta(hours=24)
UNMATCHED_AT_MOST = 10_000
#: Rows kept of one attempt. FeexPay sends a few; whoever knows a reference could invent any number.
KEPT_OF_ATTEMPT = 50
_LONGEST_WORD = 64

#: A page's name in a delivery is looked for in the addresses of open pages; shorter ones would be in many.
_SHORTEST_LINK = 6


@durable()
def receive(hint: WebhookHint) -> None:
    """Store a delivery and make its attempt due. An unknown reference is kept, and matched when we learn it.

    The attempt is the one with that reference, else the one that is named as our echo: FeexPay may speak of an
    attempt whose reference we never heard, or which it refused. Changes: WebhookDelivery, `next_poll_at` of the
    attempt. Safe to repeat: yes; a repeat only counts up and asks again. Makes no call.
    """
    attempt = _attempt_of(hint)
    if attempt is None:
        _hasten_page(hint)
    delivery = _delivery(hint, attempt)
    if _has_room(attempt) or WebhookDelivery.objects.filter(dedupe_key=delivery.dedupe_key).exists():
        WebhookDelivery.objects.store_or_count(delivery)
    # Whoever takes an attempt that is due already asks after this moment, and so learns what is new.
    if attempt is not None and not _is_due(attempt):
        due.hasten(attempt)


def match(attempt_id: UUID, gateway_reference: str) -> None:
    """Give an attempt the deliveries that came before its reference was known; with one, it is due now.

    Changes: WebhookDelivery, `next_poll_at`. Safe to repeat: yes.
    """
    waiting = WebhookDelivery.objects.filter(gateway_reference__in=spellings_of(gateway_reference), attempt=None)
    if waiting.update(attempt=attempt_id):
        due.hasten(Attempt.objects.get(pk=attempt_id))


def match_stragglers() -> int:
    """Match deliveries that crossed with the commit of their reference; how many.

    Changes: as `match`. Safe to repeat: yes.
    """
    since = conf.now() - _MATCHABLE
    waiting = WebhookDelivery.objects.filter(attempt=None, received_at__gt=since).exclude(gateway_reference="")
    waiting_for = waiting.values_list("gateway_reference", flat=True)[:500]
    references = {spelling for reference in waiting_for for spelling in spellings_of(reference)}
    found = Attempt.objects.filter(gateway_reference__in=references).values_list("pk", "gateway_reference")
    for attempt_id, reference in found:
        match(attempt_id, str(reference))
    return len(found)


def _attempt_of(hint: WebhookHint) -> Attempt | None:
    """The attempt a delivery is about."""
    attempts = _attempts()
    named = attempts.filter(gateway_reference__in=spellings_of(hint.reference)).first() if hint.reference else None
    if named is not None or (attempt_id := _echoed_id(hint)) is None:
        return named
    # One that is on its way is not taken by its echo: the answer brings the reference, and with it the delivery.
    return attempts.filter(pk=attempt_id).exclude(status=Status.SENDING).first()


@cache
def _attempts() -> QuerySet[Attempt]:
    """Attempts with no more columns than it takes to hasten them, and how many deliveries are kept of each.

    Only to be narrowed: building this anew for each delivery cost 0.1 ms of its 2.
    """
    attempts = Attempt.objects.only("status", "next_poll_at", "last_look_at").order_by("pk")
    return attempts.annotate(kept=Count("deliveries"))


def _echoed_id(hint: WebhookHint) -> UUID | None:
    try:
        return UUID(hint.echo or "")
    except ValueError:
        return None


def _hasten_page(hint: WebhookHint) -> None:
    """A payment on a page has a reference nobody told us: the page's own name says whose turn it is."""
    if len(hint.link) < _SHORTEST_LINK:
        return
    pages = Attempt.objects.filter(status=Status.PENDING, sought_by_echo=True, redirect_url__contains=hint.link)
    for attempt in pages.only("status", "next_poll_at", "last_look_at")[:1]:
        if not _is_due(attempt):
            due.hasten(attempt)


def _is_due(attempt: Attempt) -> bool:
    return attempt.next_poll_at is not None and attempt.next_poll_at <= conf.now()


def _has_room(attempt: Attempt | None) -> bool:
    """Strangers may post when no credential is configured: what points at no attempt, and what points at one, is
    kept only up to a bound.
    """
    if attempt is None:
        return WebhookDelivery.objects.filter(attempt=None)[:UNMATCHED_AT_MOST].count() < UNMATCHED_AT_MOST
    kept: int = attempt.kept  # type: ignore[attr-defined]  # by _attempt_of
    return kept < KEPT_OF_ATTEMPT


def _delivery(hint: WebhookHint, attempt: Attempt | None) -> WebhookDelivery:
    """A row for what came; words longer than their columns are cut, as nothing is decided by them."""
    return WebhookDelivery(
        dedupe_key=secrets.keyed_hash(hint.dedupe_key, feexpay.hash_key),
        gateway_reference=hint.reference,
        reported_status=hint.reported_status[:_LONGEST_WORD],
        event_type=hint.event_type[:_LONGEST_WORD],
        attempt=attempt,
        body=hint.redacted,
        received_at=conf.now(),
    )
