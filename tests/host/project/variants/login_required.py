"""LoginRequiredMiddleware sends every visitor without a session to a login page."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes
from settings import MIDDLEWARE

MIDDLEWARE = [*MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
