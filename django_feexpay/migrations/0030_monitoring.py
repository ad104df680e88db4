"""Alerts: health facts in trouble, and whether the team was told."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("feexpay", "0029_checkout")]

    operations = [
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("fact", models.CharField(max_length=64, verbose_name="health fact")),
                ("subject", models.CharField(blank=True, max_length=64, verbose_name="subject")),
                ("severity", models.CharField(max_length=16, verbose_name="severity")),
                ("value", models.FloatField(blank=True, null=True, verbose_name="value")),
                ("opened_at", models.DateTimeField(verbose_name="since")),
                ("seen_at", models.DateTimeField(verbose_name="last seen")),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="ended at")),
                ("claimed_at", models.DateTimeField(blank=True, null=True, verbose_name="sending began at")),
                ("sent_at", models.DateTimeField(blank=True, null=True, verbose_name="team told at")),
                (
                    "recovery_sent_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="team told of the end at"),
                ),
            ],
            options={
                "verbose_name": "alert",
                "verbose_name_plural": "alerts",
                "ordering": ("-opened_at", "-id"),
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["-opened_at", "-id"], name="feexpay_alert_newest")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("closed_at__isnull", True)),
                        fields=("fact", "subject"),
                        name="feexpay_alert_open_once",
                    )
                ],
            },
        ),
    ]
