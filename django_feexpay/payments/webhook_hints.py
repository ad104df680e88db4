"""Store webhook deliveries, and poll the attempt that each one names. Their content is never trusted."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connection
from django.db.models import Count, F, Q
from django.utils.translation import gettext as _

from django_feexpay import conf, crypto, isolation, log_context
from django_feexpay.catalogue.outcomes import Word, same_reference, spellings_of
from django_feexpay.conf import feexpay
from django_feexpay.gateway.reports import WebhookHint, takes_back, word_from
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, PaymentEvent, Payout, PayoutState, WebhookDelivery
from django_feexpay.payments import leases, payout_polls, staff_actions, webhook_bounds, webhook_drops, webhook_pace
from django_feexpay.payments.durability import durable
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.staff_actions import checked_reason

logger = logging.getLogger("django_feexpay.webhooks")

_MAX_FIELD_LENGTH = 64
_MATCH_BATCH = 500
#: At most this many open hosted pages are compared with the page that a delivery names.
_MAX_PAGES = 50

#: A delivery may name a credited page for this long after the attempt was created.
_PAGE_REMEMBERED = timedelta(days=1)

#: An attempt with the columns needed to make it due, and with `user_id`, `provider_code` and `stored_count`, the
#: number of its stored deliveries. Building this with the ORM took a quarter of the time of a delivery.
_ATTEMPT = """
SELECT attempt.id, attempt.payment_id, attempt.status, attempt.next_poll_at, attempt.last_polled_at,
    attempt.gateway_reference, payment.user_id, payment.provider_id AS provider_code,
    (SELECT count(*) FROM feexpay_webhookdelivery AS stored WHERE stored.attempt_id = attempt.id) AS stored_count
FROM feexpay_attempt AS attempt JOIN feexpay_payment AS payment ON payment.id = attempt.payment_id
"""
_ATTEMPT_BY_REFERENCE = _ATTEMPT + "WHERE attempt.gateway_reference IN (%(given)s, %(lower)s, %(upper)s) LIMIT 1"
_ATTEMPT_BY_ID = _ATTEMPT + "WHERE attempt.id = %(id)s"

#: Every start runs this for deliveries that came early. Building it with the ORM took a twentieth of a start's time.
_MATCH = """
UPDATE feexpay_webhookdelivery SET attempt_id = %(id)s
WHERE attempt_id = %(id)s
    OR (attempt_id IS NULL AND payout_id IS NULL AND gateway_reference IN (%(given)s, %(lower)s, %(upper)s))
"""

_IS_KNOWN = """
SELECT EXISTS (
    SELECT 1 FROM feexpay_attempt WHERE gateway_reference IN (%(given)s, %(lower)s, %(upper)s) OR id = %(id)s
) OR EXISTS (
    SELECT 1 FROM feexpay_payout WHERE gateway_reference IN (%(given)s, %(lower)s, %(upper)s) OR id = %(id)s
)
"""


@log_context.step()
def receive(hint: WebhookHint, *, sender: str = "") -> None:
    """Store a delivery and make what it is about due. `match` finds that later if we do not know its reference yet.

    It is about the attempt with that reference, else about the one whose id FeexPay echoes: FeexPay may report an
    attempt whose reference we never received, or which it refused. Else it is about such a payout. `sender`: a
    hash of its address, for the bound of unknown ones. A delivery beyond the bounds is dropped and counted; it makes
    its attempt or payout due all the same.
    Changes: WebhookDelivery, `next_poll_at` of the attempt or payout. Safe to repeat: yes; a repeat is counted, and
    polls again. Makes no call.
    """
    if not hint.link and webhook_bounds.drops_unknown(sender) and not _is_known(hint):
        webhook_drops.note()
        return
    # The limits and the pace use the cache outside transactions: it may be a table of this database, and fail.
    attempt = _attempt_named(hint)
    payout = _payout_named(hint) if attempt is None else None
    is_stored = _count_repeat_of_old_key(hint)
    if attempt is None and payout is None:
        pages = _pages_of(hint)
        if not is_stored:
            _store_unknown(hint, pages, sender)
        for page in pages:
            _make_due_now(page, hint)
        logger.info("webhook: its reference is not known, %d open pages may be meant", len(pages))
        return
    _log_known(attempt, payout)
    if not is_stored:
        _store_known(_delivery(hint, attempt, payout), attempt or payout)
    if attempt is not None:
        _make_due_now(attempt, hint)
    elif payout is not None and (payout.life_state is not PayoutState.SUCCESSFUL or takes_back(hint.reported_status)):
        payout_polls.make_due_now(payout)


def _log_known(attempt: Attempt | None, payout: Payout | None) -> None:
    """Bind what a delivery is about to the log context, and log that it came."""
    if attempt is not None:
        provider: str = attempt.provider_code  # type: ignore[attr-defined]  # selected by _ATTEMPT
        log_context.bind(payment_id=attempt.payment_id, attempt_id=attempt.pk, provider=provider)
        logger.info("webhook about attempt %s", attempt.pk)
    elif payout is not None:
        log_context.bind(payment_id=payout.payment_id, provider=payout.provider_code)
        logger.info("webhook about payout %s", payout.pk)


def _store_known(delivery: WebhookDelivery, about: Any) -> None:
    """Store a delivery about an attempt or payout, read by `_attempt_named` or `_payout_named`."""
    if about.stored_count >= webhook_bounds.FREE_EACH:
        if WebhookDelivery.objects.count_repeat(delivery.dedupe_key):
            return
        if about.stored_count >= webhook_bounds.MAX_EACH or not webhook_bounds.admits_known(about.user_id):
            webhook_drops.note()
            return
    with durable():
        WebhookDelivery.objects.store_or_count(delivery)


def _store_unknown(hint: WebhookHint, pages: list[Attempt], sender: str) -> None:
    """Store a delivery that matches no attempt. One that names an open hosted page counts among the known ones."""
    if pages:
        admitted = webhook_bounds.admits_known(pages[0].user_id)  # type: ignore[attr-defined]  # selected by _ATTEMPT
    else:
        admitted = webhook_bounds.admits_unknown(sender)
    if not admitted:
        webhook_drops.note()
        return
    with durable():
        webhook_bounds.lock_unknown()
        WebhookDelivery.objects.store_or_count(_delivery(hint))
        evicted = webhook_bounds.evict()
    webhook_drops.note(evicted)


def _count_repeat_of_old_key(hint: WebhookHint) -> bool:
    """Count a repeat of a delivery that was stored with an older key of HASH_KEY; False if there is none."""
    keys = feexpay.hash_keys
    if len(keys) == 1:
        return False
    stored = WebhookDelivery.objects.filter(dedupe_key__in=crypto.keyed_hashes(hint.dedupe_key, keys)[1:])
    return bool(stored.update(repeat_count=F("repeat_count") + 1))


def match(attempt_id: UUID, gateway_reference: str = "") -> bool:
    """Match deliveries that came before the outcome of the sending was written; if there are any, the attempt is due.

    gateway_reference: "" if FeexPay gave none. Returns whether there are any.
    Changes: WebhookDelivery, `next_poll_at`. Safe to repeat: yes.
    """
    # One that echoed our id has its attempt already, but could not make it due while it was being sent.
    values = {**_spellings(gateway_reference), "id": _column_value(attempt_id)}
    with isolation.read_committed(connection.alias), connection.cursor() as cursor:
        cursor.execute(_MATCH, values)
        if not cursor.rowcount:
            return False
    attempt = _attempt(attempt_id)
    if attempt.life_status is not Status.SUCCESSFUL and not _is_due(attempt):
        webhook_pace.make_due_now(attempt, attempt.user_id)  # type: ignore[attr-defined]  # selected by _ATTEMPT
    return True


def match_payout(payout_id: UUID, gateway_reference: str) -> None:
    """Do as `match`, for a payout."""
    named = Q(attempt=None, payout=None, gateway_reference__in=spellings_of(gateway_reference))
    if WebhookDelivery.objects.filter(named | Q(payout=payout_id)).update(payout=payout_id):
        payout_polls.make_due_now(Payout.objects.get(pk=payout_id))


def match_late_references() -> int:
    """Match deliveries that were stored while their reference was being committed; return how many.

    Changes: as `match`. Safe to repeat: yes.
    """
    since = conf.now() - webhook_bounds.MATCHABLE
    waiting = WebhookDelivery.objects.unmatched().filter(received_at__gt=since).exclude(gateway_reference="")
    references = list(waiting.order_by("pk").values_list("gateway_reference", flat=True))
    matched = 0
    for start in range(0, len(references), _MATCH_BATCH):
        batch = references[start : start + _MATCH_BATCH]
        spellings = {spelling for reference in batch for spelling in spellings_of(reference)}
        for model, match_one in ((Attempt, match), (Payout, match_payout)):
            found = model._default_manager.filter(gateway_reference__in=spellings)
            for pk, reference in found.values_list("pk", "gateway_reference"):
                match_one(pk, str(reference))
                matched += 1
    return matched


def process_again(delivery_id: int, *, reason: str, actor: str, source: PaymentEvent.Source) -> None:
    """Make the attempt or payout of a stored delivery due now: the worker asks FeexPay. What the body says is not used.

    Changes: WebhookDelivery, `next_poll_at` of the attempt or payout, StaffAction. Makes no call. Safe to repeat: yes.
    Raises: NotAllowedError `validation_error`, `no_attempt`, `payment_open` while it is being sent.
    """
    reason = checked_reason(reason)
    delivery = WebhookDelivery.objects.select_related("attempt", "payout").get(pk=delivery_id)
    if delivery.attempt is None and delivery.payout is None and delivery.gateway_reference:
        named = spellings_of(delivery.gateway_reference)
        delivery.attempt = Attempt.objects.filter(gateway_reference__in=named).first()
        if delivery.attempt is None:
            delivery.payout = Payout.objects.filter(gateway_reference__in=named).first()
    attempt, payout = delivery.attempt, delivery.payout
    if attempt is None and payout is None:
        message = _("This webhook names no attempt and no payout that we know, so there is nothing to ask about.")
        raise NotAllowedError("no_attempt", message)
    if payout is not None and payout.life_state not in payout_polls.POLLED:
        message = _("This payout was not sent yet, or it is being sent right now: there is nothing to ask about.")
        raise NotAllowedError("payment_open", message, payment_id=payout.payment_id)
    if attempt is not None and attempt.life_status is Status.SENDING:
        message = _("This attempt is being sent right now: FeexPay will be asked about it soon.")
        raise NotAllowedError("payment_open", message, payment_id=delivery.payment_id)
    with durable():
        WebhookDelivery.objects.unmatched().filter(pk=delivery_id).update(attempt=attempt, payout=payout)
        action = staff_actions.Action.REDELIVER
        staff_actions.record(action, actor=actor, source=source, target=delivery, reason=reason)
    # As in `receive`, after the commit.
    if payout is not None:
        payout_polls.make_due_now(payout)
    elif attempt is not None and attempt.life_status is Status.SUCCESSFUL:
        leases.make_credited_due_now(attempt)
    elif attempt is not None:
        leases.make_due_now(attempt)


def _is_known(hint: WebhookHint) -> bool:
    """Whether a delivery names an attempt or a payout. One statement instead of four, which counts in a flood."""
    with connection.cursor() as cursor:
        cursor.execute(_IS_KNOWN, {**_spellings(hint.reference), "id": _column_value(_echoed_id(hint))})
        return bool(cursor.fetchone()[0])


def _attempt_named(hint: WebhookHint) -> Attempt | None:
    """The attempt with the reference of a delivery, else the one whose id it echoes."""
    named = None
    if hint.reference:
        named = next(iter(Attempt.objects.raw(_ATTEMPT_BY_REFERENCE, _spellings(hint.reference))), None)
    echo = _echoed_id(hint)
    if named is not None or echo is None:
        return named
    return next(iter(Attempt.objects.raw(_ATTEMPT_BY_ID, {"id": _column_value(echo)})), None)


def _attempt(attempt_id: UUID) -> Attempt:
    return Attempt.objects.raw(_ATTEMPT_BY_ID, {"id": _column_value(attempt_id)})[0]


def _payout_named(hint: WebhookHint) -> Payout | None:
    """As `_attempt_named`."""
    payouts = Payout.objects.annotate(user_id=F("payment__user"), stored_count=Count("deliveries")).order_by("pk")
    named = payouts.filter(gateway_reference__in=spellings_of(hint.reference)).first() if hint.reference else None
    echo = _echoed_id(hint)
    if named is not None or echo is None:
        return named
    return payouts.filter(pk=echo).first()


def _spellings(reference: str | None) -> dict[str, str | None]:
    """As `spellings_of`, for an SQL statement; without a reference NULLs, which are equal to nothing."""
    given = reference or None
    return {"given": given, "lower": given and given.lower(), "upper": given and given.upper()}


def _echoed_id(hint: WebhookHint) -> UUID | None:
    try:
        return UUID(hint.echo or "")
    except ValueError:  # no id of ours
        return None


def _column_value(attempt_id: UUID | None) -> Any:
    return Attempt._meta.pk.get_db_prep_value(attempt_id, connection)


def _pages_of(hint: WebhookHint) -> list[Attempt]:
    """The attempts of a hosted page that a delivery names: we do not know their reference, but the code of the page."""
    if not hint.link:
        return []
    credited_lately = Q(status=Status.SUCCESSFUL, created_at__gt=conf.now() - _PAGE_REMEMBERED)
    pages = Attempt.objects.filter(Q(status=Status.PENDING) | credited_lately, sought_by_echo=True)
    named = pages.filter(redirect_url__contains=f"/{hint.link}").order_by("created_at")
    urls = named.values_list("pk", "redirect_url")[:_MAX_PAGES]
    return [_attempt(pk) for pk, url in urls if _page_code(url) == hint.link]


def _page_code(url: str) -> str:
    """`abcd1234` of https://link.feexpay.me/abcd1234/coins; the last part is a title that many pages share."""
    parts = [part for part in urlsplit(url).path.split("/") if part]
    return parts[-2] if len(parts) > 1 else "".join(parts)


def _make_due_now(attempt: Attempt, hint: WebhookHint) -> None:
    """Make an attempt due, unless it is due already, or credited and the delivery reports nothing new about it.

    One that was being sent is read again: if its sender wrote the outcome before the delivery was stored, `match` did
    not see the delivery.
    """
    if attempt.life_status is Status.SENDING:
        attempt = _attempt(attempt.pk)
    if attempt.life_status is Status.SUCCESSFUL and not _reports_change_of_credited(attempt, hint):
        return
    if not _is_due(attempt):
        webhook_pace.make_due_now(attempt, attempt.user_id)  # type: ignore[attr-defined]  # selected by _ATTEMPT


def _reports_change_of_credited(attempt: Attempt, hint: WebhookHint) -> bool:
    """Whether a delivery reports a reversal of a credited attempt, or another successful charge."""
    if not hint.reference or same_reference(hint.reference, attempt.gateway_reference or ""):
        return takes_back(hint.reported_status)
    return word_from(hint.reported_status) is Word.SUCCESSFUL


def _is_due(attempt: Attempt) -> bool:
    return attempt.next_poll_at is not None and attempt.next_poll_at <= conf.now()


def _delivery(hint: WebhookHint, attempt: Attempt | None = None, payout: Payout | None = None) -> WebhookDelivery:
    """An unsaved row. Fields longer than their columns are cut: nothing is decided by them."""
    return WebhookDelivery(
        dedupe_key=crypto.keyed_hash(hint.dedupe_key, feexpay.hash_keys[0]),
        gateway_reference=hint.reference,
        reported_status=hint.reported_status[:_MAX_FIELD_LENGTH],
        event_type=hint.event_type[:_MAX_FIELD_LENGTH],
        attempt=attempt,
        payout=payout,
        body=hint.redacted,
        received_at=conf.now(),
    )
