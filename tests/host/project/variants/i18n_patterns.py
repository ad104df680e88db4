"""Addresses begin with the language."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes
from settings import MIDDLEWARE

MIDDLEWARE = [*MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
LANGUAGE_CODE = "fr"
ROOT_URLCONF = "variants.i18n_patterns_urls"
PREFIX = "/fr/payments/"
