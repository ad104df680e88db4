"""How a record is named for people: by words, references and amounts, never by a bare primary key."""

from __future__ import annotations

from datetime import date, datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext

from django_feexpay.catalogue import money


def joined(*parts: object, by: str = " · ") -> str:
    """The parts that are not empty, in one line."""
    return by.join(str(part) for part in parts if part)


def amount(value: int | None, currency: str) -> str:
    """`5 000 F CFA`; "" where there is no amount, or no known currency."""
    return money.show(value, currency) if value is not None and currency in money.CURRENCIES else ""


def day(at: date | None) -> str:
    """`28 November 2026`, of a time in the shop's time zone; "" where there is no day yet."""
    if isinstance(at, datetime) and timezone.is_aware(at):
        at = timezone.localtime(at, timezone.get_default_timezone())
    return "" if at is None else date_format(at, gettext("j F Y"))
