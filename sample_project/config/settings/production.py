"""Settings of production: behind a proxy that terminates TLS, on PostgreSQL, without built-in values."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config.settings.base import *  # noqa: F403 -- settings are layered by import
from config.settings.base import DATABASES, FEEXPAY, REST_FRAMEWORK, env, secret
from django_feexpay.monitoring import sentry
from django_feexpay.monitoring.logs import logging_config

_REQUIRED = (
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "DATABASE_URL",
    "FEEXPAY_API_KEY",
    "FEEXPAY_SHOP_ID",
    "FEEXPAY_FIELD_KEYS",
    "FEEXPAY_HASH_KEY",
)
_missing = [name for name in _REQUIRED if not secret(name)]
if _missing:
    raise ImproperlyConfigured(
        f"Production does not start without {', '.join(_missing)}: see sample_project/.env.production.example."
    )

DEBUG = False
# A test server sets `staging`, which allows the sandbox and test keys.
FEEXPAY.setdefault("ENVIRONMENT", "production")
if FEEXPAY["ENVIRONMENT"] not in ("production", "staging"):
    raise ImproperlyConfigured(
        f"FEEXPAY_ENVIRONMENT is {FEEXPAY['ENVIRONMENT']!r}. The production settings run as `production`, or on a test"
        " server as `staging`, which may use a sandbox. In a sandbox anyone can mark a payment as paid."
    )
SECRET_KEY = secret("SECRET_KEY")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS")
# To the journal or the container's log; with LOG_FILE into files that rotate: 10 of 10 MB, no line older than 30 days.
LOGGING = logging_config(
    env.str("LOG_FORMAT", default="text"),
    level=env.str("LOG_LEVEL", default="INFO"),
    file=env.str("LOG_FILE", default=""),
)
sentry.start(secret("SENTRY_DSN"), environment=str(FEEXPAY["ENVIRONMENT"]), release=env.str("RELEASE", default=""))

# --- the database ------------------------------------------------------------------------------------

_database = DATABASES["default"]
if _database["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("Production runs on PostgreSQL: DATABASE_URL=postgres://user:password@host:5432/name")
# PostgreSQL cancels a statement or a lock wait that outlasts a web request, so one slow query cannot occupy all
# connections. For a long migration: DATABASE_URL=…?options=-c%20statement_timeout%3D0
_limits = {"options": "-c statement_timeout=15s -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s"}
for _alias, _one in DATABASES.items():
    # pgbouncer refuses `options`; docs/how-to/deploy.md sets the limits for the role instead.
    _pooled = _alias == "default" and "direct" in DATABASES
    _one["OPTIONS"] = {"connect_timeout": 5, **({} if _pooled else _limits), **_one.get("OPTIONS", {})}

# --- TLS ---------------------------------------------------------------------------------------------

# The proxy must overwrite this header, or any visitor could claim to use https.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
# Load balancers check the health, and Prometheus reads the metrics, over plain http inside the server or its network.
SECURE_REDIRECT_EXEMPT = [r"^api/v1/payments/feexpay/(health/(live/|ready/)?|metrics/)$", r"^metrics$"]
SECURE_HSTS_SECONDS = 2 * 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
# Browsers accept a cookie named __Host-… only over https and from this very host, so a page on a neighbouring subdomain
# cannot plant one.
SESSION_COOKIE_NAME = "__Host-sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken"
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
LANGUAGE_COOKIE_SECURE = True

# --- behind the proxy --------------------------------------------------------------------------------

# The number of our proxies: rate limits read the visitor's address from the entry that they added.
REST_FRAMEWORK["NUM_PROXIES"] = FEEXPAY["NUM_PROXIES"] = env.int("NUM_PROXIES", default=1)
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Exports wait for their download where a new release does not lose them. Workers and web servers must share the folder.
if EXPORT_DIR := env.str("EXPORT_DIR", default=""):
    STORAGES["exports"] = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": EXPORT_DIR},
    }
    FEEXPAY["EXPORT_STORAGE"] = "exports"
