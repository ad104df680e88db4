"""Puts ShopAdminSite in the place of Django's admin site. INSTALLED_APPS names this class."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class ShopAdminConfig(AdminConfig):
    default_site = "shop.admin_site.ShopAdminSite"
