"""The payment that each checkout address led to, so that one address never starts two."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("feexpay", "0028_payer_erased_at")]

    operations = [
        migrations.CreateModel(
            name="Checkout",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                (
                    "currency",
                    models.CharField(
                        blank=True, help_text="Empty: francs of any country.", max_length=3, verbose_name="currency"
                    ),
                ),
                ("return_url", models.CharField(blank=True, max_length=500, verbose_name="return URL")),
                ("cancel_url", models.CharField(blank=True, max_length=500, verbose_name="cancel URL")),
                ("expires_at", models.DateTimeField(verbose_name="expires at")),
                ("created_at", models.DateTimeField(verbose_name="created at")),
                (
                    "payment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="checkout",
                        to="feexpay.payment",
                        verbose_name="payment",
                    ),
                ),
            ],
            options={
                "verbose_name": "checkout",
                "verbose_name_plural": "checkouts",
                "ordering": ("-created_at",),
                "default_permissions": ("view",),
            },
        ),
    ]
