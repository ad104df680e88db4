"""The diagnosis that `feexpay_doctor` prints. Each check has a time limit, says what to do and shows no secret."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.db import DatabaseError, connection
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from django_feexpay import checks, conf, report_files
from django_feexpay.background import worker
from django_feexpay.catalogue.web_addresses import LOOPBACK
from django_feexpay.checks import host_project
from django_feexpay.conf import feexpay
from django_feexpay.database_clock import DatabaseClock
from django_feexpay.gateway.errors import GatewayError, NotSentError
from django_feexpay.gateway.transport import Timeouts, Transport, WireReply, WireRequest
from django_feexpay.models import Heartbeat, OutboxMessage
from django_feexpay.monitoring import facts, secrets_in_use
from django_feexpay.monitoring.measurements import Measurements, pending_migrations
from django_feexpay.monitoring.webhook_route import (
    intercepting_middleware,
    is_refusal_of_ours,
    public_webhook_path,
    webhook_path,
)
from django_feexpay.payments.audit import anchors
from django_feexpay.privacy import key_rotation

#: A check that takes longer is abandoned.
TIMEOUT_SECONDS = 20.0
#: Signed webhooks are refused when two clocks differ by more than five minutes.
_LARGEST_CLOCK_ERROR = timedelta(seconds=60)
#: An anchor is written soon after the end of its day. Two hours more, because a cluster looks once an hour.
_LATEST_ANCHOR_HOURS = 26
_LOCAL_CACHES = ("locmem", "dummy")

Value = TypeVar("Value")


class Mark(StrEnum):
    GOOD = "✔"
    BAD = "✘"
    NOT_APPLICABLE = "–"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis. `advice`: what to do about it."""

    mark: Mark
    subject: str
    text: str
    advice: str = ""


@dataclass(slots=True)
class DateRecorder:
    """A transport that keeps the Date header of the last reply, and when it came."""

    inner: Transport
    date: str = field(default="", init=False)
    received_at: float = field(default=0.0, init=False)

    def exchange(self, request: WireRequest) -> WireReply:
        reply = self.inner.exchange(request)
        self.date, self.received_at = reply.headers.get("date", ""), time.time()
        return reply


Findings = Iterator[Finding]


def examine(webhook_url: str = "") -> Findings:
    """Every check, in the order in which to fix what it finds. `webhook_url`: the address that FeexPay was given."""
    yield from _settings()
    yield _source_of_secrets()
    yield _key_and_mode()
    yield from _keys_and_webhook_secrets()
    yield from _database_and_rows()
    yield _receivers()
    yield _cache()
    yield _queue()
    yield _exports()
    yield from _gateway()
    yield _webhook_route()
    yield _webhook_from_outside(webhook_url)


def _settings() -> Findings:
    found = [*checks.check_settings(), *checks.check_deployment()]
    errors = [message for message in found if message.is_serious()]
    for error in errors:
        yield Finding(Mark.BAD, "settings", f"{error.id} {error.msg}", str(error.hint or ""))
    if not errors:
        ids = ", ".join(str(message.id) for message in found)
        advice = _("Warnings: %s. `manage.py check --deploy` explains them.") % ids if ids else ""
        yield Finding(Mark.GOOD, "settings", _("no errors"), advice)


def _key_and_mode() -> Finding:
    key = feexpay.api_key.reveal()
    if not key or not feexpay.shop_id:
        advice = _("Set API_KEY and SHOP_ID: FeexPay's dashboard has them.")
        return Finding(Mark.BAD, "key", _("API_KEY or SHOP_ID is not set"), advice)
    is_live = key.startswith("fp_")
    if is_live and feexpay.environment == conf.DEVELOPMENT:
        return Finding(Mark.BAD, "key", _("a live key in development"), _("Payments would be real: use a test key."))
    if not is_live and feexpay.environment == conf.PRODUCTION:
        return Finding(Mark.BAD, "key", _("no live key in production"), _("Use the key that begins with fp_."))
    return Finding(Mark.GOOD, "key", _("a live key (fp_…)") if is_live else _("a test key"))


def _source_of_secrets() -> Finding:
    """Where the secrets come from, and when they were read."""
    cache = conf.secrets()
    count, state = len(cache.values()), cache.state()
    if state is None or not count:
        return Finding(Mark.GOOD, "secrets", _("from the settings"))
    text = _("%(count)d read %(seconds)d s ago") % {"count": count, "seconds": state.age_seconds}
    if state.problem:
        advice = _("The values of the last read are kept.")
        return Finding(Mark.BAD, "secrets", f"{text}; {state.problem}", advice)
    return Finding(Mark.GOOD, "secrets", text)


def _keys_and_webhook_secrets() -> Findings:
    """Every key and webhook secret with its end. Only the last four characters of a long one are shown."""
    now = datetime.now(UTC)
    for entry in secrets_in_use.listed(now):
        if not entry.is_current:
            text = _("%(secret)s has ended: remove it") % {"secret": entry.masked}
            yield Finding(Mark.NOT_APPLICABLE, entry.kind, text)
        elif entry.until is None:
            yield Finding(Mark.GOOD, entry.kind, _("%(secret)s, without an end") % {"secret": entry.masked})
        else:
            end = {"secret": entry.masked, "end": f"{entry.until:%Y-%m-%d %H:%M} UTC"}
            yield Finding(Mark.GOOD, entry.kind, _("%(secret)s, until %(end)s") % end)
    word = secrets_in_use.problem(now)
    if word in ("ended", "ends_soon"):
        text = _("no key or no webhook secret is left") if word == "ended" else _("the last one of a kind ends soon")
        yield Finding(Mark.BAD, "ends", text, _("Put a new one first in API_KEY or WEBHOOK_SECRETS."))


# --- the database -------------------------------------------------------------------------------------


def _database_and_rows() -> Findings:
    database = _database()
    yield database
    unreadable = _("no database") if database.mark is Mark.BAD else ""
    if not unreadable:
        migrations = _migrations()
        yield migrations
        unreadable = _("no tables yet") if migrations.mark is Mark.BAD else ""
    if not unreadable and not settings.USE_TZ:
        unreadable = _("not checked while USE_TZ is off")
    for subject, check in (
        ("worker", _worker),
        ("signals", _signals),
        ("old keys", _old_keys),
        ("audit anchor", _audit_anchor),
        ("database clock", _database_clock),
    ):
        yield Finding(Mark.NOT_APPLICABLE, subject, unreadable) if unreadable else check()
    if unreadable:
        yield Finding(Mark.NOT_APPLICABLE, "health", unreadable)
    else:
        yield from _facts()


def _database() -> Finding:
    try:
        _with_timeout(_query_database)
    except (DatabaseError, TimeoutError) as error:
        advice = _("Is it running, and is the address in DATABASES right?")
        return Finding(Mark.BAD, "database", _("no answer (%s)") % type(error).__name__, advice)
    if connection.vendor == "sqlite" and not settings.DEBUG:
        return Finding(Mark.BAD, "database", "SQLite", _("Use PostgreSQL in production."))
    return Finding(Mark.GOOD, "database", connection.display_name)


def _query_database() -> None:
    """Runs in its own thread, and therefore on its own database connection."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


def _migrations() -> Finding:
    missing = pending_migrations()
    if not missing:
        return Finding(Mark.GOOD, "migrations", _("all applied"))
    advice = str(facts.BY_NAME["migrations_pending"].advice)
    return Finding(Mark.BAD, "migrations", _("not applied: %s") % ", ".join(missing[:3]), advice)


def _worker() -> Finding:
    last = Heartbeat.objects.filter(name__in=(worker.WORKER, worker.CLUSTER)).order_by("-beat_at").first()
    fact = facts.BY_NAME["worker_silent"]
    beats = {} if last is None else {last.name: last.beat_at}
    if last is not None and not fact.is_trouble(Measurements(conf.now(), beats).worker_silence()[""]):
        return Finding(Mark.GOOD, "worker", _("running (%s)") % last.name)
    text = _("no heartbeat yet") if last is None else _("no heartbeat since %s") % f"{last.beat_at:%Y-%m-%d %H:%M} UTC"
    return Finding(Mark.BAD, "worker", text, str(fact.advice))


def _signals() -> Finding:
    """The messages that a receiver failed to handle or that no worker delivers, with the newest error."""
    failed, late = ~Q(last_error=""), Q(created_at__lt=conf.now() - facts.within("signals_late"))
    waiting = OutboxMessage.objects.filter(failed | late, next_delivery_at__isnull=False)
    count, last = waiting.count(), waiting.filter(failed).order_by("-id").first()
    if not count:
        return Finding(Mark.GOOD, "signals", _("all delivered"))
    text = _("%d not delivered to every receiver") % count
    if last is None:
        return Finding(Mark.BAD, "signals", text, _("Start a worker: it delivers them."))
    advice = str(facts.BY_NAME["signals_late"].advice)
    return Finding(Mark.BAD, "signals", f"{text} ({last.last_error})", advice)


#: The facts that have lines of their own, with more detail.
_OWN_LINES = frozenset(
    {
        *("database_unreachable", "migrations_pending", "cache_silent", "worker_silent", "receiver_hangs"),
        *("signals_late", "secrets_not_read", "keys_ended", "keys_end_soon", "gateway_silent"),
    }
)


def _facts() -> Findings:
    """The other health facts in trouble, one line each."""
    found = facts.troubles(facts.measured_now(Measurements(conf.now())))
    bad = [trouble for trouble in found if trouble.fact.name not in _OWN_LINES]
    for trouble in bad:
        yield Finding(Mark.BAD, trouble.fact.name, trouble.headline, str(trouble.fact.advice))
    if not bad:
        yield Finding(Mark.GOOD, "health", _("no other health fact is in trouble"))


def _old_keys() -> Finding:
    """The rows that an older key of FIELD_KEYS or HASH_KEY made. They are no problem while their key is listed."""
    counts = key_rotation.rows_of_old_keys()
    if not counts:
        return Finding(Mark.GOOD, "old keys", _("no row carries one"))
    text = ", ".join(f"{what}: {count}" for what, count in counts.items())
    return Finding(Mark.NOT_APPLICABLE, "old keys", text, _("Run `manage.py feexpay_rotate_keys`."))


def _audit_anchor() -> Finding:
    """The day of the newest anchor file, and whether one is overdue."""
    if not feexpay.audit_anchors:
        text = _("AUDIT_ANCHORS is not set: none are written")
        return Finding(Mark.NOT_APPLICABLE, "audit anchor", text)
    day = anchors.newest_day(Path(feexpay.audit_anchors))
    advice = _("A worker or a cluster writes it after midnight (UTC). Its log says why it did not.")
    if day is None:
        return Finding(Mark.BAD, "audit anchor", _("none is in %s") % feexpay.audit_anchors, advice)
    ended = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
    hours = (conf.now() - ended) // timedelta(hours=1)
    text = _("of %(day)s, which ended %(hours)d hours ago") % {"day": day, "hours": hours}
    if hours >= _LATEST_ANCHOR_HOURS:
        return Finding(Mark.BAD, "audit anchor", text, advice)
    return Finding(Mark.GOOD, "audit anchor", text)


def _database_clock() -> Finding:
    if connection.vendor != "postgresql":
        return Finding(Mark.NOT_APPLICABLE, "database clock", _("this database has no clock"))
    return _clock_error("database clock", DatabaseClock()() - timezone.now())


# --- the project --------------------------------------------------------------------------------------


def _receivers() -> Finding:
    for message in host_project.receivers():
        return Finding(Mark.BAD, "receivers", str(message.msg), str(message.hint))
    return Finding(Mark.GOOD, "receivers", _("payment_succeeded has a receiver"))


def _cache() -> Finding:
    backend = str(settings.CACHES.get("default", {}).get("BACKEND", ""))
    try:
        _with_timeout(lambda: cache.set("feexpay:doctor", "here", 30))
        is_kept = _with_timeout(lambda: cache.get("feexpay:doctor")) == "here"
    except ModuleNotFoundError as error:
        advice = _("Run `pip install %s`.") % error.name
        return Finding(Mark.BAD, "cache", _("the package %s is not installed") % error.name, advice)
    except Exception as error:  # each cache backend raises its own exceptions
        return Finding(Mark.BAD, "cache", _("no answer (%s)") % type(error).__name__, _("Is it running?"))
    if any(name in backend for name in _LOCAL_CACHES):
        mark = Mark.NOT_APPLICABLE if settings.DEBUG else Mark.BAD
        advice = _("With more than one process use Redis or a database cache: the rate limits are counted there.")
        return Finding(mark, "cache", _("not shared by processes"), advice)
    if not is_kept:
        return Finding(Mark.BAD, "cache", _("loses the values written to it"), _("Check CACHES."))
    return Finding(Mark.GOOD, "cache", _("keeps the values written to it"))


def _queue() -> Finding:
    if not apps.is_installed("django_q"):
        return Finding(Mark.NOT_APPLICABLE, "django-q2", _("not installed: feexpay_worker does the work"))
    for message in host_project.queue_timing():
        return Finding(Mark.BAD, "django-q2", f"{message.id} {message.msg}", str(message.hint))
    cluster = getattr(settings, "Q_CLUSTER", {})
    if not cluster.get("timeout"):
        return Finding(Mark.BAD, "django-q2", _("Q_CLUSTER sets no timeout"), host_project.QUEUE_TIMING_HINT)
    return Finding(Mark.GOOD, "django-q2", _("timeout %(timeout)s s, retry %(retry)s s") % {"retry": 60, **cluster})


def _exports() -> Finding:
    """Whether the storage of exported files takes a file, and whether several hosts can share it."""
    if not feexpay.export_storage:
        text = _("kept in %s on this machine") % report_files.default_directory()
        advice = _("With workers and web servers on several hosts set EXPORT_STORAGE to a storage that they share.")
        return Finding(Mark.GOOD, "exports", text, advice)
    try:
        _with_timeout(_store_and_delete)
    except Exception as error:  # each storage raises its own exceptions
        advice = _("Check the storage that EXPORT_STORAGE names in STORAGES.")
        return Finding(Mark.BAD, "exports", _("no file can be stored (%s)") % type(error).__name__, advice)
    advice = _("All web servers and workers must share it.")
    return Finding(Mark.GOOD, "exports", _("kept in the storage %s") % feexpay.export_storage, advice)


def _store_and_delete() -> None:
    place = report_files.storage()
    place.delete(place.save("doctor", ContentFile(b"")))


def _webhook_route() -> Finding:
    path = webhook_path()
    if not path:
        advice = _('Add path("payments/", include("django_feexpay.urls")) to your urls.')
        return Finding(Mark.BAD, "webhook route", _("django_feexpay.urls is not mounted"), advice)
    if middleware := intercepting_middleware(path):
        advice = _("Exempt %s from it: FeexPay has neither a session nor a login.") % public_webhook_path()
        return Finding(Mark.BAD, "webhook route", _("%s answers instead of the webhook") % middleware, advice)
    return Finding(Mark.GOOD, "webhook route", public_webhook_path())


# --- FeexPay ------------------------------------------------------------------------------------------


def _gateway() -> Findings:
    """`GET balance` with the shop's key moves no money. Its reply also carries FeexPay's clock."""
    recorder = DateRecorder(conf.transport())
    try:
        _with_timeout(conf.gateway_over(recorder).balance)
    except NotSentError as error:
        is_local = urlsplit(feexpay.base_url).hostname in LOOPBACK.union(feexpay.insecure_hosts)
        advice = _("Is feexpay_sandbox running?") if is_local else _("Check BASE_URL, PROXY, DNS and the firewall.")
        yield Finding(Mark.BAD, "gateway", str(error) or error.code, advice)
    except (GatewayError, TimeoutError) as error:
        code = getattr(error, "code", "timeout")
        advice = _("Check the key, the shop, and whether FeexPay's list has this server's address.")
        yield Finding(Mark.BAD, "gateway", _("no balance (%s)") % code, advice)
    else:
        yield Finding(Mark.GOOD, "gateway", _("accepts the key"))
    yield _gateway_clock(recorder)


def _gateway_clock(recorder: DateRecorder) -> Finding:
    try:
        theirs = parsedate_to_datetime(recorder.date)
    except (TypeError, ValueError):
        return Finding(Mark.NOT_APPLICABLE, "gateway clock", _("FeexPay did not send the time"))
    ours = datetime.fromtimestamp(recorder.received_at, UTC)
    return _clock_error("gateway clock", (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)) - ours)


def _clock_error(subject: str, difference: timedelta) -> Finding:
    text = _("%d s apart from this server's") % round(abs(difference.total_seconds()))
    if abs(difference) < _LARGEST_CLOCK_ERROR:
        return Finding(Mark.GOOD, subject, text)
    return Finding(Mark.BAD, subject, text, _("Set this server's clock by NTP."))


def _webhook_from_outside(url: str) -> Finding:
    """Send a GET to the address that you entered at FeexPay: our webhook refuses it with a problem document."""
    if not url:
        advice = _("Give the address that FeexPay has: --webhook-url https://…%s") % (
            public_webhook_path() or "/webhook/"
        )
        return Finding(Mark.NOT_APPLICABLE, "webhook", _("not checked"), advice)
    request = WireRequest(
        method="GET", url=url, timeouts=Timeouts(connect=5, read=8, total=12), headers={"Accept": "application/json"}
    )
    try:
        reply = _with_timeout(lambda: conf.transport().exchange(request))
    except (GatewayError, TimeoutError, ValueError) as error:
        advice = _("DNS, firewall and certificate: FeexPay must reach this address from outside.")
        return Finding(Mark.BAD, "webhook", _("not reachable (%s)") % getattr(error, "code", "timeout"), advice)
    if is_refusal_of_ours(reply.status, reply.body):
        return Finding(Mark.GOOD, "webhook", _("reachable"))
    advice = _("The address must be the webhook route above, and no proxy may answer in its place.")
    return Finding(Mark.BAD, "webhook", _("another program answers at this address (HTTP %d)") % reply.status, advice)


def _with_timeout(check: Callable[[], Value], seconds: float = TIMEOUT_SECONDS) -> Value:
    """Run a check in a thread, because a resolver or a driver may wait forever. Raises: TimeoutError, or its error."""
    done: Future[Value] = Future()

    def run() -> None:
        try:
            done.set_result(check())
        except BaseException as error:  # raised again in the waiting thread
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result(seconds)
