"""ATOMIC_REQUESTS with DISPATCH = queue: the worker sends after the view's transaction."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes
from settings import DATABASES, FEEXPAY

DATABASES = {"default": {**DATABASES["default"], "ATOMIC_REQUESTS": True}}
FEEXPAY = {**FEEXPAY, "DISPATCH": "queue"}
