"""Statements of a period: their permission, and the index of credits by time."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("feexpay", "0016_daily_totals"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="credit",
            options={
                "ordering": ("-created_at",),
                "permissions": (("view_statement", "Can read and export the statement of a period"),),
                "verbose_name": "credit",
                "verbose_name_plural": "credits",
            },
        ),
        migrations.AddIndex(
            model_name="credit",
            index=models.Index(fields=["created_at"], name="feexpay_credit_day"),
        ),
    ]
