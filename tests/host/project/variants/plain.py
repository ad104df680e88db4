"""The settings of startproject: a session, and a page with CSRF."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes
