"""Store webhook deliveries, and poll the attempt that each one names. Their content is never trusted."""

from __future__ import annotations

import random
from datetime import timedelta
from functools import cache
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connection
from django.db.models import Count, F, Q, QuerySet
from django.utils.translation import gettext as _

from django_feexpay import conf, crypto
from django_feexpay.catalogue.outcomes import Word, same_reference, spellings_of
from django_feexpay.conf import feexpay
from django_feexpay.gateway.reports import WebhookHint, takes_back, word_from
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, PaymentEvent, WebhookDelivery
from django_feexpay.payments import leases, staff_actions, webhook_pace
from django_feexpay.payments.durability import durable
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.staff_actions import checked_reason

#: How long an unmatched delivery may still be matched: FeexPay's answer with the reference is minutes late at most.
_MATCHABLE = timedelta(hours=24)
#: Stored deliveries that match no attempt. Above this number the oldest are deleted, so that a flood cannot fill the
#: table and keep a genuine one out.
MAX_UNMATCHED = 10_000
#: One delivery in this many, chosen at random, counts the unmatched ones and deletes at most _MAX_EVICTED.
EVICT_ONCE_IN = 100
_MAX_EVICTED = 1_000
#: Stored deliveries per attempt. FeexPay sends a few; a stranger who knows a reference could send any number.
MAX_PER_ATTEMPT = 50
_MAX_FIELD_LENGTH = 64
_MATCH_BATCH = 500
#: Open hosted pages that are compared with the page a delivery names.
_MAX_PAGES = 50

#: A delivery may name a credited page for this long after the attempt was created.
_PAGE_REMEMBERED = timedelta(days=1)

_random_source = random.SystemRandom()


def receive(hint: WebhookHint) -> None:
    """Store a delivery and make its attempt due. `match` finds the attempt later if we do not know its reference yet.

    The attempt is the one with that reference, else the one whose id FeexPay echoes: FeexPay may report an attempt
    whose reference we never received, or which it refused.
    Changes: WebhookDelivery, `next_poll_at` of the attempt. Safe to repeat: yes; a repeat is counted, and polls again.
    Makes no call.
    """
    with durable():
        attempt = _attempt_of(hint)
        _store(hint, attempt)
    # After the commit: the pace is in the cache, which may be a table of the same database, and may fail.
    if attempt is None:
        _make_page_due_now(hint)
    else:
        _make_due_now(attempt, hint)


def _store(hint: WebhookHint, attempt: Attempt | None) -> None:
    delivery = _delivery(hint, attempt)
    if attempt is None:
        WebhookDelivery.objects.store_or_count(delivery)
        if not _random_source.randrange(EVICT_ONCE_IN):
            _evict_unmatched()
    elif (
        attempt.stored_count < MAX_PER_ATTEMPT  # type: ignore[attr-defined]  # annotated by _attempts
        or WebhookDelivery.objects.filter(dedupe_key=delivery.dedupe_key).exists()
    ):
        WebhookDelivery.objects.store_or_count(delivery)


def match(attempt_id: UUID, gateway_reference: str) -> None:
    """Match deliveries that came before the reference was known; if there are any, the attempt is due now.

    Changes: WebhookDelivery, `next_poll_at`. Safe to repeat: yes.
    """
    named = Q(attempt=None, gateway_reference__in=spellings_of(gateway_reference))
    echoed = Q(attempt=attempt_id)  # it came while the attempt was being sent, and could not make it due
    if WebhookDelivery.objects.filter(named | echoed).update(attempt=attempt_id):
        attempt = _attempts().get(pk=attempt_id)
        if attempt.life_status is not Status.SUCCESSFUL and not _is_due(attempt):
            webhook_pace.make_due_now(attempt, attempt.user_id)  # type: ignore[attr-defined]  # annotated by _attempts


def match_late_references() -> int:
    """Match deliveries that were stored while their reference was being committed; return how many.

    Changes: as `match`. Safe to repeat: yes.
    """
    since = conf.now() - _MATCHABLE
    waiting = WebhookDelivery.objects.filter(attempt=None, received_at__gt=since).exclude(gateway_reference="")
    references = list(waiting.order_by("pk").values_list("gateway_reference", flat=True))
    matched = 0
    for start in range(0, len(references), _MATCH_BATCH):
        batch = references[start : start + _MATCH_BATCH]
        spellings = {spelling for reference in batch for spelling in spellings_of(reference)}
        found = Attempt.objects.filter(gateway_reference__in=spellings).values_list("pk", "gateway_reference")
        for attempt_id, reference in found:
            match(attempt_id, str(reference))
        matched += len(found)
    return matched


def process_again(delivery_id: int, *, reason: str, actor: str, source: PaymentEvent.Source) -> None:
    """Make the attempt of a stored delivery due now: the worker asks FeexPay. What the body says is not used.

    Changes: WebhookDelivery, `next_poll_at` of the attempt, StaffAction. Makes no call. Safe to repeat: yes.
    Raises: NotAllowedError `validation_error`, `no_attempt`, `payment_open` while the attempt is being sent.
    """
    reason = checked_reason(reason)
    delivery = WebhookDelivery.objects.select_related("attempt").get(pk=delivery_id)
    attempt = delivery.attempt
    if attempt is None and delivery.gateway_reference:
        named = spellings_of(delivery.gateway_reference)
        attempt = Attempt.objects.filter(gateway_reference__in=named).first()
    if attempt is None:
        message = _("This webhook names no attempt that we know, so there is nothing to ask about.")
        raise NotAllowedError("no_attempt", message)
    if attempt.life_status is Status.SENDING:
        message = _("This attempt is being sent right now: FeexPay will be asked about it soon.")
        raise NotAllowedError("payment_open", message, payment_id=attempt.payment_id)
    with durable():
        WebhookDelivery.objects.filter(pk=delivery_id, attempt=None).update(attempt=attempt)
        delivery.attempt = attempt
        action = staff_actions.Action.REDELIVER
        staff_actions.record(action, actor=actor, source=source, target=delivery, reason=reason)
    # As in `receive`, after the commit.
    if attempt.life_status is Status.SUCCESSFUL:
        leases.make_credited_due_now(attempt)
    else:
        leases.make_due_now(attempt)


def _attempt_of(hint: WebhookHint) -> Attempt | None:
    attempts = _attempts()
    named = attempts.filter(gateway_reference__in=spellings_of(hint.reference)).first() if hint.reference else None
    if named is not None:
        return named
    try:
        return attempts.filter(pk=UUID(hint.echo or "")).first()
    except ValueError:  # no attempt id of ours
        return None


@cache
def _attempts() -> QuerySet[Attempt]:
    """Attempts with the columns needed to make them due, `user_id`, and `stored_count`, the number of deliveries.

    Cached, because building it costs 0.1 ms of the 2 ms of a delivery. Callers must filter it, which copies it.
    """
    columns = ("status", "next_poll_at", "last_polled_at", "gateway_reference")
    attempts = Attempt.objects.only(*columns).order_by("pk")
    return attempts.annotate(user_id=F("payment__user"), stored_count=Count("deliveries"))


def _make_page_due_now(hint: WebhookHint) -> None:
    """A payment on a hosted page has a reference we do not know: the code of the page identifies the attempt."""
    if not hint.link:
        return
    credited_lately = Q(status=Status.SUCCESSFUL, created_at__gt=conf.now() - _PAGE_REMEMBERED)
    pages = Attempt.objects.filter(Q(status=Status.PENDING) | credited_lately, sought_by_echo=True)
    named = pages.filter(redirect_url__contains=f"/{hint.link}").order_by("created_at")
    for pk, url in named.values_list("pk", "redirect_url")[:_MAX_PAGES]:
        if _page_code(url) == hint.link:
            _make_due_now(_attempts().get(pk=pk), hint)


def _page_code(url: str) -> str:
    """`abcd1234` of https://link.feexpay.me/abcd1234/coins; the last part is a title that many pages share."""
    parts = [part for part in urlsplit(url).path.split("/") if part]
    return parts[-2] if len(parts) > 1 else "".join(parts)


def _make_due_now(attempt: Attempt, hint: WebhookHint) -> None:
    """Make an attempt due, unless it is due already, or credited and the delivery reports nothing new about it."""
    if attempt.life_status is Status.SUCCESSFUL and not _is_news_of_credited(attempt, hint):
        return
    if not _is_due(attempt):
        webhook_pace.make_due_now(attempt, attempt.user_id)  # type: ignore[attr-defined]  # annotated by _attempts


def _is_news_of_credited(attempt: Attempt, hint: WebhookHint) -> bool:
    """Whether a delivery reports a reversal of a credited attempt, or another successful charge."""
    if not hint.reference or same_reference(hint.reference, attempt.gateway_reference or ""):
        return takes_back(hint.reported_status)
    return word_from(hint.reported_status) is Word.SUCCESSFUL


def _is_due(attempt: Attempt) -> bool:
    return attempt.next_poll_at is not None and attempt.next_poll_at <= conf.now()


def _evict_unmatched() -> None:
    """Delete the oldest unmatched deliveries above MAX_UNMATCHED. Matched ones are never deleted here."""
    unmatched = WebhookDelivery.objects.filter(attempt=None)
    newest_victim = unmatched.order_by("-pk").values_list("pk", flat=True)[MAX_UNMATCHED:].first()
    if newest_victim is None:
        return
    too_many = unmatched.filter(pk__lte=newest_victim).order_by("pk")
    if connection.features.has_select_for_update_skip_locked:
        too_many = too_many.select_for_update(skip_locked=True)  # two evictions must not wait for each other
    victims = list(too_many.values_list("pk", flat=True)[:_MAX_EVICTED])
    unmatched.filter(pk__in=victims).delete()


def _delivery(hint: WebhookHint, attempt: Attempt | None) -> WebhookDelivery:
    """An unsaved row. Fields longer than their columns are cut: nothing is decided by them."""
    return WebhookDelivery(
        dedupe_key=crypto.keyed_hash(hint.dedupe_key, feexpay.hash_key),
        gateway_reference=hint.reference,
        reported_status=hint.reported_status[:_MAX_FIELD_LENGTH],
        event_type=hint.event_type[:_MAX_FIELD_LENGTH],
        attempt=attempt,
        body=hint.redacted,
        received_at=conf.now(),
    )
