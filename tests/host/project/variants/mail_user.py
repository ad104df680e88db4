"""A custom user that has a mail address and no username."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes
from settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "mail_accounts"]
AUTH_USER_MODEL = "mail_accounts.User"
