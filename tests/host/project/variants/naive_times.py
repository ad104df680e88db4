"""USE_TZ is off."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes

USE_TZ = False
