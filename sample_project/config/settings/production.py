"""Settings of production: behind a proxy that terminates TLS, on PostgreSQL, without built-in values."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from config.log_format import logging_config
from config.settings.base import *  # noqa: F403 -- settings are layered by import
from config.settings.base import DATABASES, FEEXPAY, REST_FRAMEWORK, env

_REQUIRED = (
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "DATABASE_URL",
    "FEEXPAY_API_KEY",
    "FEEXPAY_SHOP_ID",
    "FEEXPAY_FIELD_KEYS",
    "FEEXPAY_HASH_KEY",
)
_missing = [name for name in _REQUIRED if not env.str(name, default="").strip()]
if _missing:
    raise ImproperlyConfigured(
        f"Production does not start without {', '.join(_missing)}: see sample_project/.env.production.example."
    )

DEBUG = False
# A test server sets `staging`, which allows the sandbox and test keys.
FEEXPAY.setdefault("ENVIRONMENT", "production")
SECRET_KEY = env.str("SECRET_KEY")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS")
LOGGING = logging_config(env.str("LOG_FORMAT", default="text"))

# --- the database ------------------------------------------------------------------------------------

_database = DATABASES["default"]
if _database["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("Production runs on PostgreSQL: DATABASE_URL=postgres://user:password@host:5432/name")
# PostgreSQL cancels a statement or a lock wait that outlasts a web request, so one slow query cannot occupy all
# connections. For a long migration: DATABASE_URL=…?options=-c%20statement_timeout%3D0
_database["OPTIONS"] = {
    "connect_timeout": 5,
    "options": "-c statement_timeout=15s -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s",
} | _database.get("OPTIONS", {})

# --- TLS ---------------------------------------------------------------------------------------------

# The proxy must overwrite this header, or any visitor could claim to use https.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
# Load balancers check the health over plain http.
SECURE_REDIRECT_EXEMPT = [r"^api/v1/payments/feexpay/health/$"]
SECURE_HSTS_SECONDS = 2 * 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

# --- behind the proxy --------------------------------------------------------------------------------

# The number of our proxies: throttles read the visitor's address from the entry that they added.
REST_FRAMEWORK["NUM_PROXIES"] = env.int("NUM_PROXIES", default=1)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
