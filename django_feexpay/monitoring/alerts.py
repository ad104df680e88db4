"""Alerts to the team: which troubles began and ended, and who was told.

A trouble opens one row (a constraint allows no second), so it is told once however many workers look and however long
it lasts. It ends when it was not seen for RECOVERED_AFTER, so one that comes and goes is one alert. Notices are sent
outside transactions, after a claim by a guarded update; a worker that dies while it sends leaves the claim to expire.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_feexpay import cache_state, conf
from django_feexpay.conf import feexpay
from django_feexpay.models import Alert
from django_feexpay.monitoring import alert_channels, facts
from django_feexpay.monitoring.facts import BY_NAME, Severity, Trouble
from django_feexpay.monitoring.measurements import Measurements
from django_feexpay.monitoring.webhook_route import own_host

logger = logging.getLogger("django_feexpay.monitoring")

RECOVERED_AFTER = timedelta(minutes=5)
#: A worker that claimed a notice and has not finished it within this time has died.
_CLAIM = timedelta(minutes=2)

#: In the cache while the database is away: there is no row then.
_DATABASE_AWAY = "alerts:database_away"
_DATABASE_AWAY_SECONDS = 24 * 3600


def update(now: datetime) -> None:
    """Open and close the alerts. Changes: Alert. Safe to repeat: yes, also concurrently. Raises: DatabaseError."""
    found = facts.troubles(facts.measured_now(Measurements(now)))
    for trouble in found:
        value = None if math.isinf(trouble.value) else trouble.value
        seen = _open().filter(fact=trouble.fact.name, subject=trouble.subject)
        if not seen.update(seen_at=now, value=value):
            row = Alert(
                fact=trouble.fact.name,
                subject=trouble.subject,
                severity=trouble.fact.severity,
                value=value,
                opened_at=now,
                seen_at=now,
            )
            Alert.objects.bulk_create([row], ignore_conflicts=True)
    _open().filter(seen_at__lte=now - RECOVERED_AFTER).update(closed_at=now)


def send(now: datetime) -> int:
    """Tell the team what it does not know yet; return the number of alerts told. Not inside a transaction.

    Changes: Alert. Safe to repeat: yes, also concurrently: only one caller sends each notice.
    """
    if not feexpay.alert_urls:
        return 0
    begun = _claimed(_open().filter(sent_at=None), now)
    ended = _claimed(Alert.objects.filter(closed_at__isnull=False, sent_at__isnull=False, recovery_sent_at=None), now)
    told = 0
    with translation.override(settings.LANGUAGE_CODE):
        if begun and alert_channels.notify(_title(begun), "\n\n".join(map(_begin_text, begun))):
            Alert.objects.filter(pk__in=[row.pk for row in begun]).update(sent_at=now, claimed_at=None)
            told += len(begun)
        if ended and alert_channels.notify(_end_title(ended), "\n\n".join(map(_end_text, ended)), is_recovery=True):
            Alert.objects.filter(pk__in=[row.pk for row in ended]).update(recovery_sent_at=now, claimed_at=None)
            told += len(ended)
    return told


def note_database_away() -> None:
    """Tell the team once that the database does not answer. Never raises.

    Without a database there is no row: the shared cache remembers that the team was told.
    """
    if not feexpay.alert_urls:
        return
    if cache_state.put_first(_DATABASE_AWAY, 1, _DATABASE_AWAY_SECONDS, otherwise=False):
        trouble = Trouble(BY_NAME["database_unreachable"], "", 1)
        with translation.override(settings.LANGUAGE_CODE):
            if not alert_channels.notify(
                f"{_site()}: {trouble.fact.words}", f"✘ {trouble.fact.words}\n{trouble.fact.advice}"
            ):
                cache_state.drop(_DATABASE_AWAY)  # the next minute tries again


def note_database_back() -> None:
    """Tell the team that the database answers again, if it was told that it does not."""
    if _DATABASE_AWAY in cache_state.read([_DATABASE_AWAY]) and cache_state.take(
        f"{_DATABASE_AWAY}:back", 60, otherwise=False
    ):
        cache_state.drop(_DATABASE_AWAY)
        with translation.override(settings.LANGUAGE_CODE):
            text = _("The database answers again.")
            alert_channels.notify(f"{_site()}: {text}", f"✔ {text}", is_recovery=True)


def _open() -> QuerySet[Alert]:
    return Alert.objects.filter(closed_at__isnull=True)


def _claimed(rows: QuerySet[Alert], now: datetime) -> list[Alert]:
    """The rows whose notices this caller sends. In quiet hours, those that can wait are left out."""
    free = Q(claimed_at=None) | Q(claimed_at__lte=now - _CLAIM) | Q(claimed_at__gt=now + conf.CLOCK_SLACK)
    if _is_quiet(now):
        rows = rows.filter(severity=Severity.CRITICAL)
    found = list(rows.filter(free).order_by("opened_at", "pk"))
    return [row for row in found if rows.filter(free, pk=row.pk).update(claimed_at=now)]


def _is_quiet(now: datetime) -> bool:
    hours = feexpay.alert_quiet_hours
    if hours is None:
        return False
    since, until = hours
    local = now.astimezone(timezone.get_default_timezone()).time()
    return since <= local < until if since <= until else local >= since or local < until


# --- the words: the registry's, a provider's code and numbers, so nothing personal and no secret -------


def _site() -> str:
    return f"{own_host()} ({feexpay.environment})"


def _title(rows: Sequence[Alert]) -> str:
    if len(rows) == 1:
        return f"{_site()}: {_words(rows[0])}"
    return f"{_site()}: {ngettext('%d trouble', '%d troubles', len(rows)) % len(rows)}"


def _end_title(rows: Sequence[Alert]) -> str:
    if len(rows) == 1:
        return f"{_site()}: {_('over')}: {_words(rows[0])}"
    return f"{_site()}: {ngettext('%d trouble is over', '%d troubles are over', len(rows)) % len(rows)}"


def _begin_text(row: Alert) -> str:
    fact = BY_NAME.get(row.fact)
    headline = _words(row)
    if fact is not None:
        headline = Trouble(fact, row.subject, math.inf if row.value is None else row.value).headline
    since = _("Since %(time)s.") % {"time": _time(row.opened_at)}
    return "\n".join(part for part in (f"✘ {headline}", since, str(fact.advice) if fact else "") if part)


def _end_text(row: Alert) -> str:
    times = {"begin": _time(row.opened_at), "end": _time(row.seen_at)}
    return f"✔ {_words(row)}\n" + _("Over: it lasted from %(begin)s to %(end)s.") % times


def _words(row: Alert) -> str:
    fact = BY_NAME.get(row.fact)
    words = str(fact.words) if fact else row.fact  # an earlier release opened it
    return f"{row.subject}: {words}" if row.subject else words


def _time(at: datetime) -> str:
    return date_format(timezone.localtime(at, timezone.get_default_timezone()), _("j F Y, H:i"))
