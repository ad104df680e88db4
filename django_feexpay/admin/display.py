"""HTML of values for staff. Everything is escaped: texts come from payers and from FeexPay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_feexpay.catalogue import money
from django_feexpay.lifecycle import Status

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

EMPTY = "–"


class Tone(StrEnum):
    """The colour of a badge. static/feexpay/admin.css has one rule for each."""

    QUIET = "quiet"
    WAITING = "waiting"
    GOOD = "good"
    BAD = "bad"
    DOUBT = "doubt"


@dataclass(frozen=True, slots=True)
class Badge:
    """A text and its colour."""

    text: str | StrPromise
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


def pill(text: object, tone: Tone) -> SafeString:
    """A text in a coloured pill."""
    return format_html('<span class="feexpay-badge feexpay-badge--{}">{}</span>', tone.value, text)


def pill_with_text(text: object, tone: Tone, explanation: str) -> SafeString:
    """A pill with an explanation beside it."""
    return format_html("{} <span>{}</span>", pill(text, tone), explanation)


def status_badge(status: str) -> SafeString:
    """The badge of a status; a dash for "", the status before the first."""
    if not status:
        return format_html("<span>{}</span>", EMPTY)
    badge = BADGES[Status(status)]
    return pill(badge.text, badge.tone)


def line(text: str) -> SafeString:
    """A text that the browser never breaks over two lines; a dash for ""."""
    return format_html('<span class="feexpay-line">{}</span>', text or EMPTY)


def amount(value: int, currency: str) -> SafeString:
    """`5 000 F CFA`."""
    return line(money.show(value, currency))


def amount_of_charge(value: int | None, currency: str) -> SafeString:
    """The amount of a charge; a dash if FeexPay named none. A charge that only FeexPay has comes without a currency."""
    if value is None:
        return line("")
    return amount(value, currency) if currency else line(str(value))


def between(least: int, most: int, currency: str) -> SafeString:
    """A range of amounts."""
    return format_html("<span>{} – {}</span>", amount(least, currency), amount(most, currency))


def percent(value: Decimal) -> SafeString:
    """`1.7 %`, in French `1,7 %`."""
    return line(f"{formats.number_format(f'{value.normalize():f}')}\u00a0%")


# --- days and times: everywhere in the same words, in tables with a short month ---
#
# Translators: formats of Django's `date` filter; a backslash precedes a letter that is printed as it is. The no-break
# spaces leave one place where a narrow column may break the line: between the day and the time.


def moment(at: datetime) -> str:
    """A time in the shop's time zone: `28 November 2026, 14:05`, in French `28 novembre 2026 à 14 h 05`."""
    return formats.date_format(local(at), gettext("j F Y, H:i"))


def short_moment(at: datetime) -> str:
    """The same for tables: `28 Nov 2026, 14:05`, in French `28 nov. 2026 à 14 h 05`."""
    return formats.date_format(local(at), gettext("j\u00a0M\u00a0Y, H:i"))


def exact_moment(at: datetime) -> str:
    """The same with seconds, for a timeline: `28 November 2026, 14:05:09`."""
    return formats.date_format(local(at), gettext("j F Y, H:i:s"))


def day(at: date) -> str:
    """`28 November 2026`."""
    return formats.date_format(at, gettext("j F Y"))


def short_day(at: date) -> str:
    """`28 Nov 2026`."""
    return formats.date_format(at, gettext("j\u00a0M\u00a0Y"))


def local(at: datetime) -> datetime:
    """A time in the shop's time zone, whatever zone the host has activated."""
    return timezone.localtime(at, timezone.get_default_timezone()) if timezone.is_aware(at) else at


def short_id(value: UUID) -> SafeString:
    """The first eight characters of an id; the whole id on hover."""
    return format_html('<span class="feexpay-code" title="{}">{}…</span>', value, str(value)[:8])


def pretty(value: Any) -> str:
    """Indented JSON as plain text."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def json_block(value: Any) -> SafeString | str:
    """Indented JSON in a block; a dash for an empty value."""
    return format_html('<pre class="feexpay-json">{}</pre>', pretty(value)) if value else EMPTY


def payment_link(payment_id: UUID | None) -> SafeString | str:
    """A short id with a link to the payment's page; a dash if the row belongs to no payment."""
    if payment_id is None:
        return EMPTY
    return format_html(
        '<a href="{}">{}</a>', reverse("admin:feexpay_payment_change", args=[payment_id]), short_id(payment_id)
    )
