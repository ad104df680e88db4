"""The audit list of the back office. PostgreSQL itself refuses to change or delete its rows."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

GUARD = """
CREATE OR REPLACE FUNCTION feexpay_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER feexpay_staffaction_append_only
    BEFORE UPDATE OR DELETE ON feexpay_staffaction
    FOR EACH ROW EXECUTE FUNCTION feexpay_refuse_change();
"""

UNGUARD = "DROP TRIGGER feexpay_staffaction_append_only ON feexpay_staffaction;"


def guard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(GUARD, params=None)


def unguard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(UNGUARD)


class Migration(migrations.Migration):
    dependencies = [
        ("feexpay", "0013_field_terms"),
    ]

    operations = [
        migrations.CreateModel(
            name="StaffAction",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("reconcile", "asked FeexPay"),
                            ("retry", "started a new attempt"),
                            ("close_review", "closed a review"),
                            ("close_incident", "closed an incident"),
                            ("close_discrepancy", "closed a difference"),
                            ("refund", "recorded a refund"),
                            ("approve_refund", "approved a refund"),
                            ("cancel_refund", "cancelled a refund"),
                            ("release_order", "released an order"),
                            ("redeliver", "processed a webhook again"),
                            ("resend_signal", "sent a signal again"),
                            ("lift_prompts", "lifted the limit of payment requests"),
                            ("switch_provider", "changed a provider"),
                            ("export", "exported"),
                            ("look_up_number", "looked up a phone number"),
                            ("unmask", "read a phone number"),
                            ("note", "wrote a note"),
                        ],
                        max_length=32,
                        verbose_name="action",
                    ),
                ),
                (
                    "result",
                    models.CharField(
                        choices=[("done", "done"), ("skipped", "skipped"), ("failed", "failed")],
                        default="done",
                        max_length=8,
                        verbose_name="result",
                    ),
                ),
                ("actor", models.CharField(max_length=255, verbose_name="by")),
                ("actor_name", models.CharField(max_length=255, verbose_name="name")),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("api", "API"),
                            ("worker", "Worker"),
                            ("admin", "Admin"),
                            ("host", "Host project"),
                            ("command", "Command"),
                        ],
                        max_length=16,
                        verbose_name="source",
                    ),
                ),
                ("target", models.CharField(blank=True, max_length=128, verbose_name="record")),
                ("reason", models.CharField(blank=True, max_length=500, verbose_name="reason")),
                ("detail", models.JSONField(blank=True, default=dict, verbose_name="details")),
                ("created_at", models.DateTimeField(verbose_name="at")),
                (
                    "payment",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="staff_actions",
                        to="feexpay.payment",
                        verbose_name="payment",
                    ),
                ),
            ],
            options={
                "verbose_name": "staff action",
                "verbose_name_plural": "staff actions",
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["actor", "-id"], name="feexpay_staff_actor"),
                    models.Index(fields=["action", "-id"], name="feexpay_staff_action"),
                ],
            },
        ),
        migrations.RunPython(guard, unguard),
    ]
