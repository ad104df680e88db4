"""What `feexpay_doctor` looks at. Each look ends by itself, tells what to do, and shows no secret."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TypeVar

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from django.utils.translation import gettext as _

from django_feexpay import conf
from django_feexpay.background import worker
from django_feexpay.conf import feexpay
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.gateway.transport import Timeouts, Transport, WireReply, WireRequest
from django_feexpay.models import Heartbeat, OutboxMessage
from django_feexpay.monitoring import health

#: A look that takes longer is given up: the doctor never hangs.
TIMEOUT_SECONDS = 20.0
_WORKER_SILENT = timedelta(minutes=3)
#: Signed webhooks are refused when clocks are further apart than five minutes.
_CLOCKS_APART = timedelta(seconds=60)
_LOCAL_CACHES = ("locmem", "dummy")

Value = TypeVar("Value")


class Mark(StrEnum):
    GOOD = "✔"
    BAD = "✘"
    NOT_HERE = "–"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. `advice`: what to do about it."""

    mark: Mark
    subject: str
    text: str
    advice: str = ""


@dataclass(slots=True)
class Seen:
    """A transport that remembers when FeexPay said it is."""

    inner: Transport
    date: str = field(default="", init=False)
    received_at: float = field(default=0.0, init=False)

    def exchange(self, request: WireRequest) -> WireReply:
        reply = self.inner.exchange(request)
        self.date, self.received_at = reply.headers.get("date", ""), time.time()
        return reply


Found = Iterator[Finding]


def examine(webhook_url: str = "") -> Found:
    """Every look, in the order in which to mend things. `webhook_url`: the address FeexPay was given."""
    yield from _settings()
    yield _key_and_mode()
    database = _database()
    yield database
    for look in (_migrations, _worker, _signals, _database_clock):
        yield look() if database.mark is Mark.GOOD else Finding(Mark.NOT_HERE, look.__name__[1:], _("no database"))
    yield _cache()
    yield _queue()
    yield from _gateway()
    yield _webhook(webhook_url)


def _settings() -> Found:
    """Our own system checks; `manage.py check` tells the rest."""
    ours = [found for found in checks.run_checks() if str(found.id).startswith("feexpay.")]
    errors = [found for found in ours if found.is_serious()]
    for found in errors:
        yield Finding(Mark.BAD, "settings", f"{found.id} {found.msg}", str(found.hint or ""))
    if not errors:
        ids = ", ".join(str(found.id) for found in ours)
        advice = _("Warnings: %s. `manage.py check` explains them.") % ids if ids else ""
        yield Finding(Mark.GOOD, "settings", _("no errors"), advice)


def _key_and_mode() -> Finding:
    key = feexpay.api_key.reveal()
    if not key or not feexpay.shop_id:
        advice = _("Set API_KEY and SHOP_ID: FeexPay's dashboard has them.")
        return Finding(Mark.BAD, "key", _("no key or no shop"), advice)
    live = key.startswith("fp_")
    if live and feexpay.environment == conf.DEVELOPMENT:
        return Finding(Mark.BAD, "key", _("a live key in development"), _("Payments would be real: take a test key."))
    if not live and feexpay.environment == conf.PRODUCTION:
        return Finding(Mark.BAD, "key", _("no live key in production"), _("Take the key that begins with fp_."))
    return Finding(Mark.GOOD, "key", _("a live key (fp_…)") if live else _("a test key"))


def _database() -> Finding:
    try:
        _within(_ask_database)
    except (DatabaseError, TimeoutError) as error:
        advice = _("Is it running, and does DATABASES name it?")
        return Finding(Mark.BAD, "database", _("no answer (%s)") % type(error).__name__, advice)
    if connection.vendor == "sqlite" and not settings.DEBUG:
        return Finding(Mark.BAD, "database", "SQLite", _("Production runs on PostgreSQL."))
    return Finding(Mark.GOOD, "database", connection.display_name)


def _ask_database() -> None:
    """In a thread of its own, and so over a connection of its own."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


def _migrations() -> Finding:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not missing:
        return Finding(Mark.GOOD, "migrations", _("all applied"))
    names = ", ".join(f"{step.app_label}.{step.name}" for step, _backwards in missing[:3])
    return Finding(Mark.BAD, "migrations", _("not applied: %s") % names, _("Run `manage.py migrate`."))


def _worker() -> Finding:
    beats = Heartbeat.objects.filter(name__in=(worker.WORKER, worker.CLUSTER)).order_by("-beat_at")
    try:
        last = beats.first()
    except DatabaseError:  # before the first migrate
        return Finding(Mark.NOT_HERE, "worker", _("no tables yet"))
    if last is not None and worker.is_recent(last.beat_at, conf.now(), _WORKER_SILENT):
        return Finding(Mark.GOOD, "worker", _("at work (%s)") % last.name)
    text = _("never seen") if last is None else _("silent since %s") % f"{last.beat_at:%Y-%m-%d %H:%M} UTC"
    advice = _("Start `manage.py feexpay_worker`, or a qcluster after `manage.py feexpay_schedule`.")
    return Finding(Mark.BAD, "worker", text, advice)


def _signals() -> Finding:
    """Messages that a receiver has still not taken, and what the newest of them ran into."""
    try:
        waiting = OutboxMessage.objects.filter(
            next_delivery_at__isnull=False, created_at__lt=conf.now() - health.MESSAGE_LATE
        )
        count, last = waiting.count(), waiting.exclude(last_error="").order_by("-id").first()
    except DatabaseError:  # before the first migrate
        return Finding(Mark.NOT_HERE, "signals", _("no tables yet"))
    if not count:
        return Finding(Mark.GOOD, "signals", _("every receiver took what it was told"))
    text = _("%d not taken by every receiver") % count
    if last is None:
        return Finding(Mark.BAD, "signals", text, _("Start a worker: it delivers them."))
    advice = _("Mend the receiver, then restart the worker: it is called again by itself.")
    return Finding(Mark.BAD, "signals", f"{text} ({last.last_error})", advice)


def _database_clock() -> Finding:
    if connection.vendor != "postgresql":
        return Finding(Mark.NOT_HERE, "database clock", _("the database has none of its own"))
    return _apart("database clock", conf.DatabaseClock()() - timezone.now())


def _cache() -> Finding:
    backend = str(settings.CACHES.get("default", {}).get("BACKEND", ""))
    try:
        _within(lambda: cache.set("feexpay:doctor", "here", 30))
        here = _within(lambda: cache.get("feexpay:doctor")) == "here"
    except Exception as error:  # the host chooses the cache, so its errors have no common name
        return Finding(Mark.BAD, "cache", _("no answer (%s)") % type(error).__name__, _("Is it running?"))
    if any(name in backend for name in _LOCAL_CACHES):
        mark = Mark.NOT_HERE if settings.DEBUG else Mark.BAD
        advice = _("With more than one process, take Redis or a database cache: limits are counted there.")
        return Finding(mark, "cache", _("not shared by processes"), advice)
    if not here:
        return Finding(Mark.BAD, "cache", _("does not keep what it is given"), _("Look at CACHES."))
    return Finding(Mark.GOOD, "cache", _("keeps what it is given"))


def _queue() -> Finding:
    if not apps.is_installed("django_q"):
        return Finding(Mark.NOT_HERE, "django-q2", _("not installed: feexpay_worker does the work"))
    cluster = getattr(settings, "Q_CLUSTER", {})
    if not cluster.get("timeout") or cluster.get("retry", 60) <= cluster["timeout"]:
        advice = _("Set timeout, and a longer retry: else a task may run twice.")
        return Finding(Mark.BAD, "django-q2", _("retry is not longer than timeout"), advice)
    return Finding(Mark.GOOD, "django-q2", _("timeout %(timeout)s s, retry %(retry)s s") % cluster)


def _gateway() -> Found:
    """`GET balance` with our key: nothing else is judged by. Its answer also has FeexPay's clock."""
    seen = Seen(conf.transport())
    try:
        _within(conf.gateway_over(seen).balance)
    except (GatewayError, TimeoutError) as error:
        code = getattr(error, "code", "timeout")
        advice = _("Key, shop, and this server's address on FeexPay's list; then BASE_URL and PROXY.")
        yield Finding(Mark.BAD, "gateway", _("no balance (%s)") % code, advice)
    else:
        yield Finding(Mark.GOOD, "gateway", _("answers to our key"))
    yield _gateway_clock(seen)


def _gateway_clock(seen: Seen) -> Finding:
    try:
        theirs = parsedate_to_datetime(seen.date)
    except (TypeError, ValueError):
        return Finding(Mark.NOT_HERE, "gateway clock", _("FeexPay did not say what time it is"))
    ours = datetime.fromtimestamp(seen.received_at, UTC)
    return _apart("gateway clock", (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)) - ours)


def _apart(subject: str, difference: timedelta) -> Finding:
    seconds = round(abs(difference.total_seconds()))
    text = _("%d s from ours") % seconds
    if abs(difference) < _CLOCKS_APART:
        return Finding(Mark.GOOD, subject, text)
    return Finding(Mark.BAD, subject, text, _("Let NTP set this server's clock."))


def _webhook(url: str) -> Finding:
    """A GET to the address FeexPay was given: our door refuses it in a way nobody else does."""
    if not url:
        advice = _("Give the address FeexPay was given: --webhook-url https://…/webhook/")
        return Finding(Mark.NOT_HERE, "webhook", _("not looked at"), advice)
    request = WireRequest(
        method="GET", url=url, timeouts=Timeouts(connect=5, read=8, total=12), headers={"Accept": "application/json"}
    )
    try:
        reply = _within(lambda: conf.transport().exchange(request))
    except (GatewayError, TimeoutError, ValueError) as error:
        advice = _("DNS, firewall and certificate: FeexPay must reach this address from outside.")
        return Finding(Mark.BAD, "webhook", _("not reachable (%s)") % getattr(error, "code", "timeout"), advice)
    if reply.status == 405 and b"urn:feexpay:problem:" in reply.body:
        return Finding(Mark.GOOD, "webhook", _("our door is there"))
    advice = _("The address must end in …/webhook/, where django_feexpay.urls are mounted.")
    return Finding(Mark.BAD, "webhook", _("something else answers there (HTTP %d)") % reply.status, advice)


def _within(look: Callable[[], Value], seconds: float = TIMEOUT_SECONDS) -> Value:
    """What `look` returns or raises; TimeoutError when it does not end. A resolver or a driver may wait for ever."""
    done: list[tuple[Value | None, BaseException | None]] = []

    def run() -> None:
        try:
            done.append((look(), None))
        except BaseException as error:  # raised again where it is waited for
            done.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not done:
        raise TimeoutError
    value, error = done[0]
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # no error, so it is what look returned
