"""Settings of all environments. They come from environment variables, all named in `.env.example`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from django_feexpay.secrets import backends
from django_feexpay.secrets.files import VARIABLES
from django_feexpay.secrets.source import SecretsError

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parents[2]

# --- secrets -----------------------------------------------------------------------------------------

# From files (SECRET_KEY_FILE=…, credentials of systemd) and from FEEXPAY_SECRETS_BACKEND. Django's own are read once.
# django_feexpay reads those of FeexPay again by itself, so they can be rotated without a restart.
_SECRETS = (*VARIABLES, "SECRET_KEY", "DATABASE_URL")
if _twice := [name for name in _SECRETS if env.ENVIRON.get(name) and env.ENVIRON.get(f"{name}_FILE")]:
    raise ImproperlyConfigured(f"Set each secret once, as a value or as a file: {', '.join(_twice)}.")
_BACKEND = env.str("FEEXPAY_SECRETS_BACKEND", default="env"), env.str("FEEXPAY_SECRETS_NAME", default="")
try:
    _stored = backends.reader(*_BACKEND, _SECRETS)()
except SecretsError as error:
    raise ImproperlyConfigured(f"The secrets cannot be read. {error}.") from None


def secret(name: str, default: str = "") -> str:
    """A secret by the name of its environment variable."""
    return _stored.get(name) or env.str(name, default=default).strip()


# --- Django ------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "shop.admin_config.ShopAdminConfig",  # django.contrib.admin, with a limited sign-in
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "django_q",
    "django_feexpay",
    "shop",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "shop.content_policy.ContentPolicyMiddleware",
    "shop.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],  # the shop's changes to the pages of the checkout
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "shop.demo_context.demo",
            ],
        },
    },
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "CommonPasswordValidator", "NumericPasswordValidator")
] + [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}}]
SESSION_COOKIE_AGE = 12 * 3600  # staff sign in once a working day

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
FORMAT_MODULE_PATH = ["config.formats"]
TIME_ZONE = "Africa/Porto-Novo"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- the database ------------------------------------------------------------------------------------

_DATABASE_URL = secret("DATABASE_URL") or f"sqlite:///{BASE_DIR / 'db.sqlite3'}"
DATABASES = {"default": env.db_url_config(_DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # Without IMMEDIATE, a transaction that reads before it writes fails with "database is locked" under load.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    # Opening a connection for each request costs twelve times the work of the request itself. A thread of a WSGI server
    # or of the worker keeps its connection; under ASGI (`config.asgi`) the requests of a process share a pool.
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    if _pool := env.int("DATABASE_POOL", default=0):
        DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": _pool, "timeout": 10}
    else:
        DATABASES["default"]["CONN_MAX_AGE"] = 60
# With this, DATABASE_URL leads to pgbouncer in transaction mode. This is PostgreSQL itself: host:port?sslmode=…
# Through pgbouncer a cursor of the server ends with its transaction, and nothing arrives after LISTEN.
if _direct := env.str("DATABASE_DIRECT_HOST", default=""):
    _address = urlsplit(f"//{_direct}")
    DATABASES["direct"] = {
        **DATABASES["default"],
        "HOST": _address.hostname,
        "PORT": _address.port or 5432,
        "OPTIONS": dict(parse_qsl(_address.query)),
        "TEST": {"MIRROR": "default"},
    }
    DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True

# --- cache and queue ---------------------------------------------------------------------------------

REDIS_URL = env.str("REDIS_URL", default="")
if REDIS_URL:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
        }
    }

Q_CLUSTER = {
    "name": "feexpay",
    "workers": 2,
    "timeout": 240,
    "retry": 480,  # longer than timeout plus the time in the queue, or tasks run twice
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    "queue_limit": 2,
    "bulk": 1,
    "save_limit": 100,
    "poll": 0.5,
}
_BROKER = env.str("Q_BROKER", default="orm")
if _BROKER == "redis" and REDIS_URL:
    Q_CLUSTER["redis"] = REDIS_URL
elif _BROKER == "orm":
    Q_CLUSTER["orm"] = "default"
else:
    raise ImproperlyConfigured("Q_BROKER must be orm, or redis together with REDIS_URL.")

# --- the API -----------------------------------------------------------------------------------------

# For the shop's own views. The views of django_feexpay ignore these settings.
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["shop.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["django_feexpay.api.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "django_feexpay.api.errors.exception_handler",
    # Against password guessing, by the API and by the admin's sign-in page. `everywhere`: one account from all
    # addresses where it did not sign in before.
    "DEFAULT_THROTTLE_RATES": {
        "sign_in_account": "10/min",
        "sign_in_address": "60/min",
        "sign_in_everywhere": "60/hour",
    },
    # There is no proxy in front of this server, so X-Forwarded-For is ignored.
    "NUM_PROXIES": 0,
}
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_TTL": timedelta(days=30)}

# The description of the API at /api/v1/schema/ and /api/v1/docs/.
SPECTACULAR_SETTINGS = {
    "TITLE": "Coin shop",
    "DESCRIPTION": "A small shop that sells coins, and the payments of django_feexpay in `payments/feexpay/`.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "PREPROCESSING_HOOKS": ["django_feexpay.api.openapi.with_webhook"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "docExpansion": "list", "filter": True},
}

# For the home page of `make demo`; only the development settings set them.
# The scheme that opens the Kivy client: its application id (client_app/src/feexpay_client/core/brand.py).
CLIENT_SCHEME = "io.github.djangofeexpay.client"

DEMO_SANDBOX_URL = ""
DEMO_USERNAME = ""
DEMO_PASSWORD = ""

# --- FeexPay -----------------------------------------------------------------------------------------

# Each FEEXPAY_… variable that is set becomes a key of this dict. Other keys keep their defaults.
_NAMES = (
    "ENVIRONMENT",
    "API_KEY",
    "SHOP_ID",
    "BASE_URL",
    "INSECURE_HOSTS",
    "PROXY",
    "WEBHOOK_MODES",
    "WEBHOOK_SECRETS",
    "FIELD_KEYS",
    "HASH_KEY",
    "AUDIT_KEYS",
    "AUDIT_ANCHORS",
    "SECRETS_BACKEND",
    "SECRETS_NAME",
    "SECRETS_TTL_SECONDS",
    "DISPATCH",
    "POLL_SECONDS",
    "EXPIRY_SECONDS",
    "PUSH_EXPIRY_SECONDS",
    "RATE_LIMIT",
    "RATE_LIMITS",
    "CLIENT_ADDRESS_HEADER",
    "UNKNOWN_WEBHOOKS_PER_MINUTE",
    "UNKNOWN_WEBHOOKS_KEPT",
    "COMPARE_AT",
    "PURGE_AT",
    "RETENTION",
    "FEE_PAYER",
    "RETURN_HOSTS",
    "RATES_SOURCE",
    "RATES",
    "RATES_URL",
    "RATES_KEY_PATH",
    "RATES_QUOTED_IN",
    "RATES_STALE_SECONDS",
    "MAX_ATTEMPTS",
    "REVIEW_TWO_PERSON_ABOVE",
    "PROMPTS_PER_PHONE",
    "GATEWAY_PER_SECOND",
    "GATEWAY_AT_ONCE",
    "EXPORT_DAYS",
    "SHOP_NAME",
    "CHECKOUT_SECONDS",
    "MONITOR_TOKEN",
    "MONITOR_NETWORKS",
    "MONITOR_THRESHOLDS",
    "MONITOR_WINDOW_MINUTES",
    "ALERT_URLS",
    "ALERT_QUIET_HOURS",
)
FEEXPAY: dict[str, object] = {name: env.str(f"FEEXPAY_{name}") for name in _NAMES if f"FEEXPAY_{name}" in env.ENVIRON}
if "direct" in DATABASES:
    FEEXPAY["LIVE_STATUS_DATABASE"] = "direct"
FEEXPAY["PAYABLE"] = "shop.orders.Orders"
for _switch in ("LIVE_STATUS", "PAYOUTS", "REQUIRE_IDEMPOTENCY_KEY"):  # true or false, never a text
    if f"FEEXPAY_{_switch}" in env.ENVIRON:
        FEEXPAY[_switch] = env.bool(f"FEEXPAY_{_switch}")
