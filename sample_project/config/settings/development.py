"""For one's own machine: no key, no server, SQLite, and a FeexPay that is the local sandbox."""

from __future__ import annotations

from config.log_format import logging_config
from config.settings.base import *  # noqa: F403 -- settings are layered by import
from config.settings.base import FEEXPAY, env

DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = env.str("SECRET_KEY", default="development-only-" + "x" * 50)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
LOGGING = logging_config(env.str("LOG_FORMAT", default="text"))

FEEXPAY.setdefault("ENVIRONMENT", "development")

# Where `manage.py feexpay_sandbox` listens unless told otherwise, and the only key and shop it knows.
# A host that was set is a real one: it gets no made-up credentials.
if "BASE_URL" not in FEEXPAY:
    FEEXPAY |= {"BASE_URL": "http://127.0.0.1:8801/api"}
    FEEXPAY = {"API_KEY": "test_sandbox_key", "SHOP_ID": "SANDBOXSHOP0001"} | FEEXPAY
    # A made-up dollar for payments that are made up as well.
    FEEXPAY = {"RATES": "USD:600"} | FEEXPAY

# What the home page may show beside the shop itself; `make demo` sets them.
DEMO_SANDBOX_URL = env.str("DEMO_SANDBOX_URL", default="")
DEMO_USERNAME = env.str("DEMO_USERNAME", default="")
DEMO_PASSWORD = env.str("DEMO_PASSWORD", default="")
