"""A custom user with a UUID as primary key."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes
from settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "accounts"]
AUTH_USER_MODEL = "accounts.User"
