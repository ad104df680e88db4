"""The least a project needs: no admin, no sessions, no messages, no templates; Basic authentication."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_feexpay", "orders"]
MIDDLEWARE: list[str] = []
TEMPLATES: list[object] = []
SIGN_IN = "basic"
