"""Settings of `make test`: explicit keys, fast password hashes, no throttle unless a test sets one."""

from __future__ import annotations

from config.settings.base import *  # noqa: F403 -- settings are layered by import
from config.settings.base import DATABASES, FEEXPAY, REST_FRAMEWORK

SECRET_KEY = "testing-only-" + "x" * 50
DEBUG = True
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_AUTOREFRESH = True  # serves files without collectstatic
REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] = dict.fromkeys(REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"])
DATABASES["default"]["CONN_MAX_AGE"] = 0  # test threads must not leave connections open

FEEXPAY |= {
    "ENVIRONMENT": "development",  # pytest sets DEBUG to False
    "API_KEY": "test_sandbox_key",
    "SHOP_ID": "SANDBOXSHOP0001",
    "BASE_URL": "http://127.0.0.1:9/api",  # the discard port: a test without a sandbox reaches nothing
    "FIELD_KEYS": ["dGVzdGluZy1maWVsZC1rZXktMzItYnl0ZXMtbG9uZyE="],
    "HASH_KEY": "testing hash key that is long enough to be one",
    "RATE_LIMIT": "100000/min",
    "PROMPTS_PER_PHONE": 0,  # most tests pay with one number
    # The gateway in memory answers faster than any rate limit, and tests call it from fifty threads.
    "GATEWAY_PER_SECOND": 0,
    "GATEWAY_AT_ONCE": 0,
}
