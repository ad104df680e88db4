"""Mounted under another prefix, app name and namespace, within the urls of another API."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes

ROOT_URLCONF = "variants.other_prefix_urls"
PREFIX = "/api/v2/money/"
