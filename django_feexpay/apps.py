"""Wiring: system checks, and provider rows after migrate."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class FeexPayConfig(AppConfig):
    name = "django_feexpay"
    label = "feexpay"
    verbose_name = "FeexPay"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_feexpay import checks  # noqa: F401 -- registers the system checks

        post_migrate.connect(_sync_providers, sender=self, dispatch_uid="feexpay_sync_providers")


def _sync_providers(sender: AppConfig, using: str, plan: Any = None, **kwargs: Any) -> None:
    """Provider rows follow the catalogue. When our tables are migrated away again there is nothing to sync."""
    from django.db import connections

    from django_feexpay.models import Provider

    if Provider._meta.db_table in connections[using].introspection.table_names():
        Provider.objects.sync_with_catalogue(using=using)
