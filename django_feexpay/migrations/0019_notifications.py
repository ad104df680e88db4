"""The language of a payment's notifications, and the users who want none."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("feexpay", "0018_roles"),
    ]

    operations = [
        migrations.AddField(
            model_name="payment",
            name="language",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="For notifications. Empty: the language of the project.",
                max_length=16,
                verbose_name="language of the payer",
            ),
        ),
        migrations.CreateModel(
            name="NotificationOptOut",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
                ("created_at", models.DateTimeField(verbose_name="created at")),
            ],
            options={
                "verbose_name": "user without notifications",
                "verbose_name_plural": "users without notifications",
                "ordering": ("-created_at",),
                "default_permissions": (),
            },
        ),
    ]
