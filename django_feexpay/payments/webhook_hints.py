"""What webhooks are good for: knowing that it is time to ask. A delivery is stored and points at its attempt;
nothing it says is believed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connection
from django.db.models import Count, F, Q, QuerySet

from django_feexpay import conf, crypto
from django_feexpay.conf import feexpay
from django_feexpay.gateway.reports import WebhookHint, Word, same_reference, spellings_of, takes_back, word_from
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, WebhookDelivery
from django_feexpay.payments import webhook_pace
from django_feexpay.payments.durability import durable

#: How long an unmatched delivery may still find its attempt: an answer to collect is minutes late at most.
_MATCHABLE = timedelta(hours=24)
#: Deliveries that point at no attempt. Beyond it the oldest are dropped, so that no flood keeps a true one out.
UNMATCHED_AT_MOST = 10_000
#: They are counted with one delivery in so many, picked at random, and so many are dropped at most.
EVICT_ONCE_IN = 100
_EVICTED_AT_MOST = 1_000
#: Rows kept of one attempt. FeexPay sends a few; whoever knows a reference could invent any number.
KEPT_OF_ATTEMPT = 50
_LONGEST_WORD = 64
_MATCHED_AT_ONCE = 500
#: Open pages that are compared with the one a delivery names.
_PAGES_AT_MOST = 50

#: So long after it was opened a page that is credited may still be named by a delivery.
_PAGE_REMEMBERED = timedelta(days=1)

_dice = random.SystemRandom()


def receive(hint: WebhookHint) -> None:
    """Store a delivery and make its attempt due. An unknown reference is kept, and matched when we learn it.

    The attempt is the one with that reference, else the one that is named as our echo: FeexPay may speak of an
    attempt whose reference we never heard, or which it refused. Changes: WebhookDelivery, `next_poll_at` of the
    attempt. Safe to repeat: yes; a repeat only counts up and asks again. Makes no call.
    """
    with durable():
        attempt = _attempt_of(hint)
        _store(hint, attempt)
    # Committed first: the pace is kept in the cache, which may be a table of the same database, and fail.
    if attempt is None:
        _make_page_due_now(hint)
    else:
        _make_due_now(attempt, hint)


def _store(hint: WebhookHint, attempt: Attempt | None) -> None:
    delivery = _delivery(hint, attempt)
    if attempt is None:
        WebhookDelivery.objects.store_or_count(delivery)
        if not _dice.randrange(EVICT_ONCE_IN):
            _evict_unmatched()
    elif _has_room(attempt) or WebhookDelivery.objects.filter(dedupe_key=delivery.dedupe_key).exists():
        WebhookDelivery.objects.store_or_count(delivery)


def match(attempt_id: UUID, gateway_reference: str) -> None:
    """Give an attempt the deliveries that came before its reference was known; with one, it is due now.

    Changes: WebhookDelivery, `next_poll_at`. Safe to repeat: yes.
    """
    named = Q(attempt=None, gateway_reference__in=spellings_of(gateway_reference))
    echoed = Q(attempt=attempt_id)  # it came while the attempt was on its way, and could not make it due
    if WebhookDelivery.objects.filter(named | echoed).update(attempt=attempt_id):
        attempt = _attempts().get(pk=attempt_id)
        if attempt.life_status is not Status.SUCCESSFUL and not _is_due(attempt):
            webhook_pace.make_due_now(attempt, attempt.user_id)  # type: ignore[attr-defined]  # annotated by _attempts


def match_late_references() -> int:
    """Match deliveries that crossed with the commit of their reference; how many.

    Changes: as `match`. Safe to repeat: yes.
    """
    since = conf.now() - _MATCHABLE
    waiting = WebhookDelivery.objects.filter(attempt=None, received_at__gt=since).exclude(gateway_reference="")
    references = list(waiting.order_by("pk").values_list("gateway_reference", flat=True))
    return sum(_match_all(references[at : at + _MATCHED_AT_ONCE]) for at in range(0, len(references), _MATCHED_AT_ONCE))


def _match_all(references: Iterable[str]) -> int:
    spellings = {spelling for reference in references for spelling in spellings_of(reference)}
    found = Attempt.objects.filter(gateway_reference__in=spellings).values_list("pk", "gateway_reference")
    for attempt_id, reference in found:
        match(attempt_id, str(reference))
    return len(found)


def _attempt_of(hint: WebhookHint) -> Attempt | None:
    """The attempt a delivery is about."""
    attempts = _attempts()
    named = attempts.filter(gateway_reference__in=spellings_of(hint.reference)).first() if hint.reference else None
    if named is not None or (attempt_id := _echoed_id(hint)) is None:
        return named
    return attempts.filter(pk=attempt_id).first()


@cache
def _attempts() -> QuerySet[Attempt]:
    """Attempts with only the columns needed to make them due, their owner, and the number of deliveries kept.

    Only to be narrowed: building this anew for each delivery cost 0.1 ms of its 2.
    """
    columns = ("status", "next_poll_at", "last_polled_at", "gateway_reference")
    attempts = Attempt.objects.only(*columns).order_by("pk")
    return attempts.annotate(user_id=F("payment__user"), kept=Count("deliveries"))


def _echoed_id(hint: WebhookHint) -> UUID | None:
    try:
        return UUID(hint.echo or "")
    except ValueError:
        return None


def _make_page_due_now(hint: WebhookHint) -> None:
    """A payment on a page has a reference nobody told us: the page's own code says which attempt it is."""
    if not hint.link:
        return
    credited_lately = Q(status=Status.SUCCESSFUL, created_at__gt=conf.now() - _PAGE_REMEMBERED)
    pages = Attempt.objects.filter(Q(status=Status.PENDING) | credited_lately, sought_by_echo=True)
    named = pages.filter(redirect_url__contains=f"/{hint.link}").order_by("created_at")
    for pk, url in named.values_list("pk", "redirect_url")[:_PAGES_AT_MOST]:
        if _page_code(url) == hint.link:
            _make_due_now(_attempts().get(pk=pk), hint)


def _page_code(url: str) -> str:
    """`abcd1234` of https://link.feexpay.me/abcd1234/coins: the last part is only a title, which many pages share."""
    parts = [part for part in urlsplit(url).path.split("/") if part]
    return parts[-2] if len(parts) > 1 else "".join(parts)


def _make_due_now(attempt: Attempt, hint: WebhookHint) -> None:
    """Make an attempt of `_attempts` due, if a delivery is news of it. One that is due is asked about after this moment
    anyway.
    """
    if attempt.life_status is Status.SUCCESSFUL and not _is_news_of_credited(attempt, hint):
        return
    if not _is_due(attempt):
        webhook_pace.make_due_now(attempt, attempt.user_id)  # type: ignore[attr-defined]  # annotated by _attempts


def _is_news_of_credited(attempt: Attempt, hint: WebhookHint) -> bool:
    """Whether a delivery speaks of a credited attempt's money being taken back, or of another charge that was paid."""
    if not hint.reference or same_reference(hint.reference, attempt.gateway_reference or ""):
        return takes_back(hint.reported_status)
    return word_from(hint.reported_status) is Word.SUCCESSFUL


def _is_due(attempt: Attempt) -> bool:
    return attempt.next_poll_at is not None and attempt.next_poll_at <= conf.now()


def _has_room(attempt: Attempt) -> bool:
    """Strangers may post when no credential is configured: of what they say about an attempt, not all is kept."""
    kept: int = attempt.kept  # type: ignore[attr-defined]  # by _attempts
    return kept < KEPT_OF_ATTEMPT


def _evict_unmatched() -> None:
    """Drop the oldest of too many deliveries that point at no attempt. Those that name one of ours are matched, and
    stay.
    """
    unmatched = WebhookDelivery.objects.filter(attempt=None)
    newest_to_go = unmatched.order_by("-pk").values_list("pk", flat=True)[UNMATCHED_AT_MOST:].first()
    if newest_to_go is None:
        return
    too_many = unmatched.filter(pk__lte=newest_to_go).order_by("pk")
    if connection.features.has_select_for_update_skip_locked:
        too_many = too_many.select_for_update(skip_locked=True)  # two who evict must not wait for each other
    victims = list(too_many.values_list("pk", flat=True)[:_EVICTED_AT_MOST])
    unmatched.filter(pk__in=victims).delete()


def _delivery(hint: WebhookHint, attempt: Attempt | None) -> WebhookDelivery:
    """A row for what came; words longer than their columns are cut, as nothing is decided by them."""
    return WebhookDelivery(
        dedupe_key=crypto.keyed_hash(hint.dedupe_key, feexpay.hash_key),
        gateway_reference=hint.reference,
        reported_status=hint.reported_status[:_LONGEST_WORD],
        event_type=hint.event_type[:_LONGEST_WORD],
        attempt=attempt,
        body=hint.redacted,
        received_at=conf.now(),
    )
