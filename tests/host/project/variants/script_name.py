"""A proxy serves the project below a prefix, and removes it from each request. Old projects have 32-bit keys."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes

FORCE_SCRIPT_NAME = "/shop"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
