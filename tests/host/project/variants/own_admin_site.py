"""The project's own AdminSite in place of Django's."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes
from settings import INSTALLED_APPS

INSTALLED_APPS = ["own_admin.OwnAdminConfig" if app == "django.contrib.admin" else app for app in INSTALLED_APPS]
