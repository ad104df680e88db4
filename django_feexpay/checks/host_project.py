"""Checks of the host's own settings: database, cache, queue, urls, and a receiver of `payment_succeeded`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.utils import load_backend

from django_feexpay.checks.messages import Messages, error, everywhere, on_deployment, warning
from django_feexpay.conf import feexpay
from django_feexpay.monitoring.webhook_route import webhook_path
from django_feexpay.payments.durability import apps_outside_default
from django_feexpay.payments.receivers import host_receives
from django_feexpay.signals import payment_succeeded

#: The 120 s that a call to a synchronous provider may take, and a minute for the rest of the sweep.
_LONGEST_SWEEP_SECONDS = 180
#: With `--concurrency` 8: threads to poll (8, and 4 for settled payments), send (16), deliver (16), compare, write
#: files; the loop.
_WORKER_CONNECTIONS = 47
QUEUE_TIMING_HINT = 'For example "timeout": 240, "retry": 480.'


# --- the database ---------------------------------------------------------------------------------------


def _vendor(database: Mapping[str, Any]) -> str:
    """The product behind an entry of DATABASES. Engines of other packages, too, say which one they extend."""
    vendor: str = load_backend(database["ENGINE"]).DatabaseWrapper.vendor
    return vendor


@everywhere
def database_engine() -> Messages:
    database = settings.DATABASES["default"]
    vendor = _vendor(database)
    if vendor not in ("postgresql", "sqlite"):
        text = f"The database {database['ENGINE']} is not supported."
        yield error(21, text, "PostgreSQL in production, SQLite to start.")
    if vendor == "sqlite" and database.get("OPTIONS", {}).get("transaction_mode") != "IMMEDIATE":
        hint = 'Set DATABASES["default"]["OPTIONS"]["transaction_mode"] = "IMMEDIATE" and a timeout.'
        yield warning(7, "SQLite without IMMEDIATE transactions: writes fail with 'database is locked'.", hint)


@everywhere
def other_database() -> Messages:
    if elsewhere := apps_outside_default():
        text = (
            f"DATABASE_ROUTERS keeps the tables of {', '.join(elsewhere)} outside the default database: payments are"
            " refused, because their locks and transactions use the default connection."
        )
        hint = 'Let the router leave the app "feexpay" and AUTH_USER_MODEL on "default", or return None for them.'
        yield error(52, text, hint)


@everywhere
def transactions() -> Messages:
    database = settings.DATABASES["default"]
    if not database.get("AUTOCOMMIT", True):
        text = 'DATABASES["default"]["AUTOCOMMIT"] is False: payments are refused, because nothing commits them.'
        yield error(51, text, "Remove it, and use transaction.atomic() where several changes belong together.")
    if database.get("ATOMIC_REQUESTS") and feexpay.dispatch != "queue":
        text = (
            "ATOMIC_REQUESTS opens a transaction around each of your views, and start_payment refuses to call FeexPay"
            " inside one: a rollback would delete a payment whose payer was already prompted."
        )
        hint = (
            "Put @transaction.non_atomic_requests on the views that start payments, or set"
            ' FEEXPAY["DISPATCH"] = "queue". The API and the webhook are exempt already.'
        )
        yield warning(15, text, hint)


@everywhere
def pool_size() -> Messages:
    """psycopg's pool has four connections by default, and a thread that gets none fails."""
    pool = settings.DATABASES["default"].get("OPTIONS", {}).get("pool")
    options = pool if isinstance(pool, Mapping) else {}
    size = options.get("max_size") or options.get("min_size", 4)
    if pool and size < _WORKER_CONNECTIONS:
        text = f"The connection pool holds {size}; a feexpay_worker uses up to {_WORKER_CONNECTIONS} at once."
        hint = (
            'OPTIONS["pool"] = {"max_size": …}: 4 × --concurrency + 20 for the worker; for a web process, the number'
            " of its threads."
        )
        yield warning(12, text, hint)


@on_deployment
def database_in_production() -> Messages:
    if settings.DEBUG:
        return
    database = settings.DATABASES["default"]
    vendor = _vendor(database)
    if vendor == "sqlite":
        yield warning(6, "SQLite in production: one writer at a time, no row locks.", "Use PostgreSQL.")
    pooled = database.get("CONN_MAX_AGE", 0) != 0 or database.get("OPTIONS", {}).get("pool")
    if vendor == "postgresql" and not pooled:
        hint = 'Set DATABASES["default"]["CONN_MAX_AGE"] = 60, or OPTIONS["pool"].'
        yield warning(8, "Each request opens a new database connection, which cuts the throughput to a fifth.", hint)


# --- everything else ------------------------------------------------------------------------------------


@everywhere
def time_zones() -> Messages:
    if not settings.USE_TZ:
        yield error(22, "USE_TZ is off: an hour each year would be ambiguous.", "Set USE_TZ = True.")


@everywhere
def queue_timing() -> Messages:
    """django-q2 starts a task again after `retry` seconds, even while it still runs."""
    cluster = getattr(settings, "Q_CLUSTER", {})
    if not cluster:
        return
    timeout, retry = cluster.get("timeout"), cluster.get("retry", 60)
    if timeout is None or retry <= timeout:
        yield error(23, "Q_CLUSTER needs a timeout, and a retry that is longer.", QUEUE_TIMING_HINT)
    elif timeout < _LONGEST_SWEEP_SECONDS:
        # A killed sweep loses no payment, but may lose an answer: a later sweep searches FeexPay's history for it.
        text = f"Q_CLUSTER: timeout is below {_LONGEST_SWEEP_SECONDS} s, the longest sweep with a synchronous provider."
        yield warning(11, text, QUEUE_TIMING_HINT)


@everywhere
def mounted_urls() -> Messages:
    if getattr(settings, "ROOT_URLCONF", None) and not webhook_path():
        hint = 'Add path("payments/", include("django_feexpay.urls")) to your urls.'
        yield warning(13, "django_feexpay.urls is not mounted: FeexPay's webhooks have no address here.", hint)


@everywhere
def receivers() -> Messages:
    if not host_receives(payment_succeeded):
        hint = (
            'Override `paid` in the class that FEEXPAY["PAYABLE"] names, or connect a receiver to'
            " django_feexpay.signals.payment_succeeded in AppConfig.ready()."
        )
        text = "No receiver of payment_succeeded is connected: your project would not mark a paid order as paid."
        yield warning(16, text, hint)


@on_deployment
def shared_cache() -> Messages:
    if "locmem" in settings.CACHES["default"]["BACKEND"] and not settings.DEBUG:
        text = "Processes do not share the cache: each has its own rate limits, circuit breakers and provider list."
        yield warning(9, text, "Use Redis.")


@on_deployment
def client_addresses() -> Messages:
    behind_proxy = settings.SECURE_PROXY_SSL_HEADER or settings.USE_X_FORWARDED_HOST
    if behind_proxy and not feexpay.num_proxies and not feexpay.client_address_header:
        text = "The server is behind a proxy, but NUM_PROXIES is 0: all callers without a sign-in share one rate limit."
        hint = (
            "Set NUM_PROXIES to the number of your proxies, or CLIENT_ADDRESS_HEADER to a header that yours overwrites."
        )
        yield warning(66, text, hint)
