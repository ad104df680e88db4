"""The production settings of the sample shop without a proxy, with the reference views of the bench."""

from __future__ import annotations

from config.settings.base import INSTALLED_APPS as SAMPLE_APPS
from config.settings.production import *  # noqa: F403 -- settings are layered by import
from config.settings.production import env

INSTALLED_APPS = [*SAMPLE_APPS, "tools.bench"]
ROOT_URLCONF = "tools.load.urls"
SECURE_SSL_REDIRECT = False  # all is on this machine, without TLS
# Tables of other apps are created without migrations, which is faster. Those of the shop and ours are migrated.
MIGRATION_MODULES = dict.fromkeys(("admin", "auth", "contenttypes", "sessions", "knox", "django_q"))
WEBHOOK_SECRET = env.str("FEEXPAY_SANDBOX_WEBHOOK_SECRET")  # the reference view reads it
