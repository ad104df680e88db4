"""The settings of `startproject` with an app that sells orders through FeexPay. The variants change single settings."""

from __future__ import annotations

import os
from pathlib import Path

DEBUG = True
SECRET_KEY = "only for this test"
ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
ROOT_URLCONF = "urls"
LOGIN_URL = "/login/"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django_feexpay",
    "orders",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ["HOST_FOLDER"]) / "db.sqlite3",
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
}
USE_TZ = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
FEEXPAY = {
    "API_KEY": "test_sandbox_key",
    "SHOP_ID": "SANDBOXSHOP0001",
    "BASE_URL": f"http://127.0.0.1:{os.environ.get('SANDBOX_PORT', '9')}/api",
    "PAYABLE": "orders.prices.price",
    # Ten minutes: if an order is paid sooner, a webhook made its poll due.
    "POLL_SECONDS": [600],
}

# --- what the driver must know of a variant ---
PREFIX = "/payments/"
#: How the driver signs in to the HTTP API: "session", "basic" or "token".
SIGN_IN = "session"
#: "wsgi" or "asgi".
SERVER = "wsgi"
