"""Sums of payments by day for the dashboard; the background work fills them from the payments."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("feexpay", "0015_refunds"),
    ]

    operations = [
        migrations.CreateModel(
            name="TotalsCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("event_id", models.BigIntegerField(default=0, verbose_name="last event counted")),
                ("time_zone", models.CharField(max_length=64, verbose_name="time zone")),
                ("claimed_at", models.DateTimeField(verbose_name="begun at")),
                ("counted_at", models.DateTimeField(verbose_name="counted at")),
            ],
            options={
                "verbose_name": "state of the daily totals",
                "verbose_name_plural": "states of the daily totals",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="DailyTotal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField(verbose_name="day")),
                ("currency", models.CharField(max_length=3, verbose_name="currency")),
                ("started", models.PositiveIntegerField(default=0, verbose_name="started")),
                ("succeeded", models.PositiveIntegerField(default=0, verbose_name="succeeded")),
                ("failed", models.PositiveIntegerField(default=0, verbose_name="failed")),
                ("expired", models.PositiveIntegerField(default=0, verbose_name="expired")),
                ("amount", models.BigIntegerField(default=0, verbose_name="amount")),
                ("fee", models.BigIntegerField(default=0, verbose_name="fee")),
                ("settle_counts", models.JSONField(default=list, verbose_name="seconds to settle")),
                ("reasons", models.JSONField(blank=True, default=dict, verbose_name="reasons")),
                (
                    "provider",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="daily_totals",
                        to="feexpay.provider",
                        verbose_name="provider",
                    ),
                ),
            ],
            options={
                "verbose_name": "daily total",
                "verbose_name_plural": "daily totals",
                "ordering": ("-day", "provider", "currency"),
                "default_permissions": ("view",),
                "constraints": [
                    models.UniqueConstraint(fields=("day", "provider", "currency"), name="feexpay_total_of_a_day")
                ],
            },
        ),
    ]
