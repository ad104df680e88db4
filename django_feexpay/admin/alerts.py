"""The list of alerts: what went wrong when, and when the team was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from django_feexpay.admin.period_filter import PeriodFilter
from django_feexpay.admin.readonly import LedgerAdmin
from django_feexpay.models import Alert
from django_feexpay.monitoring.facts import BY_NAME, shown_value

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


@admin.register(Alert)
class AlertAdmin(LedgerAdmin):
    """Alerts, newest first."""

    list_display = ("what", "subject", "severity", "value_shown", "opened_at", "closed_at", "sent_at")
    list_filter = ("severity", ("closed_at", admin.EmptyFieldListFilter), ("opened_at", PeriodFilter))
    fields = (
        *("what", "advice", "fact", "subject", "severity", "value_shown"),
        *("opened_at", "seen_at", "closed_at", "sent_at", "recovery_sent_at", "claimed_at"),
    )

    @admin.display(description=_("what it means"))
    def what(self, row: Alert) -> str | StrPromise:
        fact = BY_NAME.get(row.fact)
        return fact.words if fact else row.fact

    @admin.display(description=_("what to do"))
    def advice(self, row: Alert) -> str | StrPromise:
        fact = BY_NAME.get(row.fact)
        return fact.advice if fact else ""

    @admin.display(description=_("value"))
    def value_shown(self, row: Alert) -> str:
        fact = BY_NAME.get(row.fact)
        value = float("inf") if row.value is None else row.value
        return shown_value(value, fact.unit) if fact else str(row.value)
