"""ATOMIC_REQUESTS with DISPATCH = inline: start_payment refuses inside the view's transaction."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes
from settings import DATABASES

DATABASES = {"default": {**DATABASES["default"], "ATOMIC_REQUESTS": True}}
