"""Settings for your own machine: no key, SQLite, and the local sandbox in place of FeexPay."""

from __future__ import annotations

import re

from config.settings.base import *  # noqa: F403 -- settings are layered by import
from config.settings.base import FEEXPAY, env, secret
from django_feexpay.monitoring.logs import logging_config

DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = secret("SECRET_KEY", default="development-only-" + "x" * 50)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
LOGGING = logging_config(env.str("LOG_FORMAT", default="text"), level=env.str("LOG_LEVEL", default="INFO"))

FEEXPAY.setdefault("ENVIRONMENT", "development")

# The default address of `manage.py feexpay_sandbox`.
FEEXPAY.setdefault("BASE_URL", "http://127.0.0.1:8801/api")
# On this machine there can only be a sandbox: its only key and shop, and an invented exchange rate, as the payments are
# invented, too. Another address may be the real FeexPay: then nothing is filled in.
if re.match(r"https?://(localhost|127\.0\.0\.1|\[::1\])[:/]", str(FEEXPAY["BASE_URL"])):
    FEEXPAY = {"API_KEY": "test_sandbox_key", "SHOP_ID": "SANDBOXSHOP0001", "RATES": "USD:600"} | FEEXPAY

# For the home page; `make demo` sets them.
DEMO_SANDBOX_URL = env.str("DEMO_SANDBOX_URL", default="")
DEMO_USERNAME = env.str("DEMO_USERNAME", default="")
DEMO_PASSWORD = env.str("DEMO_PASSWORD", default="")
