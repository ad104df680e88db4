from __future__ import annotations

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig


class OwnAdminSite(AdminSite):
    site_header = "Ours"


class OwnAdminConfig(AdminConfig):
    default_site = "own_admin.OwnAdminSite"
