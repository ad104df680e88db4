"""Days in the shop's time zone, Django's TIME_ZONE, whatever zone a user may see the admin in."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, tzinfo

from django.utils import timezone

from django_feexpay import conf

A_DAY = timedelta(days=1)


def time_zone() -> tzinfo:
    """The shop's time zone."""
    return timezone.get_default_timezone()


def today() -> date:
    """The current day."""
    return day_of(conf.now())


def day_of(at: datetime) -> date:
    """The day that an instant falls on."""
    return at.astimezone(time_zone()).date()


def start_of(day: date) -> datetime:
    """The first instant of a day."""
    return datetime.combine(day, time.min, time_zone())
