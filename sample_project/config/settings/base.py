"""Settings of all environments. They come from environment variables, all named in `.env.example`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parents[2]

# --- Django ------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
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
    "whitenoise.middleware.WhiteNoiseMiddleware",
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
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
TIME_ZONE = "Africa/Porto-Novo"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- the database ------------------------------------------------------------------------------------

_DATABASE_URL = env.str("DATABASE_URL", default="").strip() or f"sqlite:///{BASE_DIR / 'db.sqlite3'}"
DATABASES = {"default": env.db_url_config(_DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # Without IMMEDIATE, a transaction that reads before it writes fails with "database is locked" under load.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    # Opening a connection for each request costs twelve times the work of the request itself.
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

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
    "DEFAULT_AUTHENTICATION_CLASSES": ["knox.auth.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["django_feexpay.api.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "django_feexpay.api.errors.exception_handler",
    # Against password guessing: one account from one address, and all accounts from one address.
    "DEFAULT_THROTTLE_RATES": {"sign_in_account": "10/min", "sign_in_address": "60/min"},
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
    "SECRETS_BACKEND",
    "DISPATCH",
    "POLL_SECONDS",
    "EXPIRY_SECONDS",
    "RATE_LIMIT",
    "COMPARE_AT",
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
)
FEEXPAY: dict[str, object] = {name: env.str(f"FEEXPAY_{name}") for name in _NAMES if f"FEEXPAY_{name}" in env.ENVIRON}
FEEXPAY["PAYABLE"] = "shop.orders.Orders"
if "FEEXPAY_PAYOUTS" in env.ENVIRON:  # true or false, never a text
    FEEXPAY["PAYOUTS"] = env.bool("FEEXPAY_PAYOUTS")
