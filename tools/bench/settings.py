"""The testing settings with production behaviour: DEBUG off, persistent connections, no log output."""

from __future__ import annotations

from config.settings.base import INSTALLED_APPS as SAMPLE_APPS
from config.settings.testing import *  # noqa: F403 -- settings are layered by import
from config.settings.testing import DATABASES, FEEXPAY, REST_FRAMEWORK

DEBUG = False
SECURE_SSL_REDIRECT = False
INSTALLED_APPS = [*SAMPLE_APPS, "tools.bench"]
ROOT_URLCONF = "tools.bench.urls"
# Tables of other apps are created without migrations, which is faster. Ours come from our migrations.
MIGRATION_MODULES = dict.fromkeys(("admin", "auth", "contenttypes", "sessions", "knox", "django_q"))
# The middleware of `startproject`, for both sides of every ratio.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
DATABASES["default"] |= {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": False}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"nowhere": {"class": "logging.NullHandler"}},
    "root": {"handlers": ["nowhere"]},
}
# Authentication is the host's code. Here it costs nothing, so that a ratio measures our code.
REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"] = ["tools.bench.authentication.HeaderUser"]

WEBHOOK_SECRET = "a secret of the benchmark, long enough"  # noqa: S105 -- it protects nothing
FEEXPAY |= {
    "PAYABLE": "any_amount",
    "WEBHOOK_MODES": ["status", "hmac"],
    "WEBHOOK_SECRETS": [WEBHOOK_SECRET],
    "POLL_SECONDS": [3600],  # no attempt is polled twice in one run
    "RATE_LIMIT": "1000000/min",
}
