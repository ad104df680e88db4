"""How values of the ledgers are shown to staff. Everything is escaped: texts come from payers and from the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_feexpay.catalogue import money
from django_feexpay.lifecycle import Status

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

EMPTY = "–"


class Tone(StrEnum):
    """What a badge says by its colour, beside its word. static/feexpay/admin.css holds one rule for each."""

    QUIET = "quiet"
    WAITING = "waiting"
    GOOD = "good"
    BAD = "bad"
    DOUBT = "doubt"


@dataclass(frozen=True, slots=True)
class Badge:
    """A word and its colour: never the colour alone."""

    word: str | StrPromise
    tone: Tone


BADGES: Mapping[Status, Badge] = {
    Status.CREATED: Badge(_("Created"), Tone.QUIET),
    Status.SENDING: Badge(_("Sending"), Tone.WAITING),
    Status.PENDING: Badge(_("Pending"), Tone.WAITING),
    Status.UNKNOWN: Badge(_("Unknown"), Tone.DOUBT),
    Status.SUCCESSFUL: Badge(_("Successful"), Tone.GOOD),
    Status.FAILED: Badge(_("Failed"), Tone.BAD),
    Status.REJECTED: Badge(_("Rejected"), Tone.BAD),
    Status.EXPIRED: Badge(_("Expired"), Tone.QUIET),
    Status.REVIEW: Badge(_("Review"), Tone.DOUBT),
}


def pill(word: object, tone: Tone) -> SafeString:
    """A word on a coloured ground."""
    return format_html('<span class="feexpay-badge feexpay-badge--{}">{}</span>', tone.value, word)


def pill_with_words(word: object, tone: Tone, words: str) -> SafeString:
    """The same with an explanation beside it."""
    return format_html("{} <span>{}</span>", pill(word, tone), words)


def status_badge(status: str) -> SafeString:
    """The badge of a status; for "", where an attempt's life begins, a dash."""
    if not status:
        return format_html("<span>{}</span>", EMPTY)
    badge = BADGES[Status(status)]
    return pill(badge.word, badge.tone)


def line(words: str) -> SafeString:
    """Words that are never broken over two lines; a dash for none."""
    return format_html('<span class="feexpay-line">{}</span>', words or EMPTY)


def amount(value: int, currency: str) -> SafeString:
    """`5 000 F CFA`."""
    return line(money.show(value, currency))


def amount_of_charge(value: int | None, currency: str) -> SafeString:
    """The amount FeexPay named; a dash where it named none."""
    return line("") if value is None else amount(value, currency)


def between(least: int, most: int, currency: str) -> SafeString:
    """Two amounts as the ends of a range."""
    return format_html("{} – {}", amount(least, currency), amount(most, currency))


def short_id(value: UUID) -> SafeString:
    """The first eight characters of an id, the whole of it on hover."""
    return format_html('<span class="feexpay-code" title="{}">{}…</span>', value, str(value)[:8])


def pretty(value: Any) -> str:
    """JSON to be read by people, plain text."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def json_block(value: Any) -> SafeString | str:
    """The same in a block of its own; a dash where there is nothing."""
    return format_html('<pre class="feexpay-json">{}</pre>', pretty(value)) if value else EMPTY


def payment_link(payment_id: UUID) -> SafeString:
    """A short id that leads to the payment's page."""
    return format_html(
        '<a href="{}">{}</a>', reverse("admin:feexpay_payment_change", args=[payment_id]), short_id(payment_id)
    )
