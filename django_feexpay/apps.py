"""App configuration: system checks, observers of FeexPay calls, the django-q2 hook, provider rows after migrate."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.core.signals import setting_changed
from django.db import connections, router
from django.db.models.signals import post_delete, post_migrate, post_save


class FeexPayConfig(AppConfig):
    name = "django_feexpay"
    label = "feexpay"
    verbose_name = "FeexPay"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_feexpay import (
            checks,  # noqa: F401 -- registers the system checks
            conf,
            payable,
            request_ids,
        )
        from django_feexpay.background import worker
        from django_feexpay.models import Provider
        from django_feexpay.monitoring import logs, minutely, process_metrics
        from django_feexpay.notifications import connect as notifiers
        from django_feexpay.payments import leases
        from django_feexpay.payments.admission import circuit_breaker, rate_budget
        from django_feexpay.webhooks import url_token

        conf.load_secrets()
        conf.observe(circuit_breaker.record)
        conf.observe(rate_budget.record)
        conf.observe(process_metrics.note_call)
        conf.observe(logs.note_call)
        if process_metrics.note_round not in worker.round_observers:
            worker.round_observers.append(process_metrics.note_round)
        if minutely.run not in worker.minutely:
            worker.minutely.append(minutely.run)
        url_token.guard_logs()
        request_ids.connect()
        payable.connect()
        setting_changed.connect(payable.connect, dispatch_uid="feexpay_payable")
        notifiers.connect()
        setting_changed.connect(notifiers.connect, dispatch_uid="feexpay_notifiers")
        if apps.is_installed("django_q"):
            from django_feexpay.background import tasks

            leases.due_listeners.append(tasks.wake)
        if apps.is_installed("drf_spectacular"):
            from django_feexpay.api import openapi  # noqa: F401 -- describes the API

        post_migrate.connect(_sync_providers, sender=self, dispatch_uid="feexpay_sync_providers")
        post_migrate.connect(_restore_triggers, sender=self, dispatch_uid="feexpay_triggers")
        for signal in (post_save, post_delete):
            signal.connect(_invalidate_provider_lists, sender=Provider, dispatch_uid="feexpay_provider_list")


def _invalidate_provider_lists(sender: type[Any], using: str, **kwargs: Any) -> None:
    from django_feexpay.models.provider import invalidate_provider_lists

    invalidate_provider_lists(using)


def _sync_providers(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Update the provider rows from the catalogue, if the table has the columns of this release.

    After `migrate feexpay <an earlier migration>` the columns are missing; after `migrate feexpay zero`, the table.
    """
    from django_feexpay.models import Provider

    if not router.allow_migrate_model(using, Provider):
        return
    with connections[using].cursor() as cursor:
        introspection, table = connections[using].introspection, Provider._meta.db_table
        if table not in introspection.table_names(cursor):
            return
        columns = {column.name for column in introspection.get_table_description(cursor, table)}
    if columns == {field.column for field in Provider._meta.concrete_fields}:
        Provider.objects.sync_with_catalogue(using=using)


def _restore_triggers(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Create the triggers that are missing: on SQLite Django drops them with a table that a migration copies."""
    from django_feexpay.models import PaymentEvent, triggers

    connection = connections[using]
    if connection.vendor not in ("postgresql", "sqlite") or not router.allow_migrate_model(using, PaymentEvent):
        return
    if triggers.are_migrated(connection):
        triggers.install(connection, triggers.missing(connection))
