"""Refunds, how incidents ended, released orders. PostgreSQL itself refuses to change or delete a recorded refund."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

GUARD = """
CREATE OR REPLACE FUNCTION feexpay_refuse_refund_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state = 'proposed' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% keeps recorded and cancelled refunds as they are', TG_TABLE_NAME;
END $$;
CREATE TRIGGER feexpay_refund_stays
    BEFORE UPDATE OR DELETE ON feexpay_refund
    FOR EACH ROW EXECUTE FUNCTION feexpay_refuse_refund_change();
"""

UNGUARD = """
DROP TRIGGER feexpay_refund_stays ON feexpay_refund;
DROP FUNCTION feexpay_refuse_refund_change();
"""


def guard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(GUARD, params=None)


def unguard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(UNGUARD, params=None)


def say_how_closed_incidents_ended(apps, schema_editor):
    incidents = apps.get_model("feexpay", "Incident").objects.using(schema_editor.connection.alias)
    incidents.filter(closed_at__isnull=False, resolution="").update(resolution="before_refunds")


class Migration(migrations.Migration):
    dependencies = [
        ("feexpay", "0014_staff_actions"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="outboxmessage",
            options={
                "ordering": ("id",),
                "permissions": (("resend_signal", "Can send a signal to the shop again"),),
                "verbose_name": "outbox message",
                "verbose_name_plural": "outbox messages",
            },
        ),
        migrations.AlterModelOptions(
            name="webhookdelivery",
            options={
                "ordering": ("-received_at", "-id"),
                "permissions": (("reprocess_delivery", "Can process a webhook delivery again"),),
                "verbose_name": "webhook delivery",
                "verbose_name_plural": "webhook deliveries",
            },
        ),
        migrations.AddField(
            model_name="incident",
            name="closed_by",
            field=models.CharField(blank=True, max_length=255, verbose_name="closed by"),
        ),
        migrations.AddField(
            model_name="incident",
            name="resolution",
            field=models.CharField(
                blank=True,
                choices=[
                    ("refunded", "refunded: the recorded refunds cover the whole amount"),
                    ("other_refunded", "the other charge of the order was refunded instead"),
                    ("kept_as_balance", "kept as a balance, agreed with the payer"),
                    ("taken_back", "FeexPay gave the money back itself"),
                    ("goods_taken_back", "what was sold was taken back"),
                    ("loss_accepted", "the shop bears the loss"),
                    ("no_money_lost", "no money was lost: it was looked into"),
                    ("before_refunds", "closed before refunds were recorded"),
                ],
                max_length=16,
                verbose_name="how it ended",
            ),
        ),
        migrations.AddField(
            model_name="payment",
            name="released_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="order released at"),
        ),
        migrations.AlterField(
            model_name="outboxmessage",
            name="signal",
            field=models.CharField(
                choices=[
                    ("payment_succeeded", "payment succeeded"),
                    ("payment_failed", "payment failed"),
                    ("payment_succeeded_late", "payment succeeded late"),
                    ("payment_needs_review", "payment needs review"),
                    ("duplicate_charge_found", "duplicate charge found"),
                    ("payment_refunded", "payment refunded"),
                    ("payment_reversed", "payment reversed"),
                ],
                max_length=32,
                verbose_name="signal",
            ),
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("credited", models.BooleanField(verbose_name="the credited charge")),
                (
                    "gateway_reference",
                    models.CharField(blank=True, max_length=128, verbose_name="FeexPay reference of the charge"),
                ),
                ("amount", models.BigIntegerField(verbose_name="amount")),
                ("currency", models.CharField(max_length=3, verbose_name="currency")),
                (
                    "way",
                    models.CharField(
                        choices=[
                            ("gateway", "FeexPay's dashboard"),
                            ("mobile_money", "mobile money, sent by hand"),
                            ("cash", "cash"),
                            ("account_balance", "balance of the payer's account in the shop"),
                            ("other", "another way"),
                        ],
                        max_length=16,
                        verbose_name="paid back by",
                    ),
                ),
                (
                    "outside_reference",
                    models.CharField(blank=True, max_length=128, verbose_name="reference of the payout"),
                ),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("proposed", "waits for a second person"),
                            ("recorded", "recorded"),
                            ("cancelled", "cancelled"),
                        ],
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                ("event_id", models.UUIDField(blank=True, null=True, unique=True, verbose_name="event id")),
                ("two_person_above", models.BigIntegerField(blank=True, null=True, verbose_name="two persons above")),
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
                ("proposed_by", models.CharField(max_length=255, verbose_name="recorded or proposed by")),
                ("proposed_at", models.DateTimeField(verbose_name="recorded or proposed at")),
                ("approved_by", models.CharField(blank=True, max_length=255, verbose_name="approved by")),
                ("approved_at", models.DateTimeField(blank=True, null=True, verbose_name="approved at")),
                ("recorded_at", models.DateTimeField(blank=True, null=True, verbose_name="counts since")),
                ("cancelled_by", models.CharField(blank=True, max_length=255, verbose_name="cancelled by")),
                ("cancelled_at", models.DateTimeField(blank=True, null=True, verbose_name="cancelled at")),
                (
                    "attempt",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="refunds",
                        to="feexpay.attempt",
                        verbose_name="attempt",
                    ),
                ),
                (
                    "incident",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="refunds",
                        to="feexpay.incident",
                        verbose_name="incident",
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="refunds",
                        to="feexpay.payment",
                        verbose_name="payment",
                    ),
                ),
            ],
            options={
                "verbose_name": "refund",
                "verbose_name_plural": "refunds",
                "ordering": ("-id",),
                "permissions": (
                    ("refund_payment", "Can record, approve and cancel refunds"),
                    ("release_order", "Can release an order whose payment was refunded"),
                ),
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["state", "-id"], name="feexpay_refund_state")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="feexpay_refund_amount"),
                    models.CheckConstraint(
                        condition=models.Q(("credited", True), ("incident__isnull", False), _connector="OR"),
                        name="feexpay_refund_charge",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("approved_by", ""),
                            models.Q(("approved_by", models.F("proposed_by")), _negated=True),
                            _connector="OR",
                        ),
                        name="feexpay_refund_two_persons",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("event_id__isnull", False), ("recorded_at__isnull", False), ("state", "recorded")
                            ),
                            models.Q(
                                models.Q(("state", "recorded"), _negated=True),
                                ("event_id__isnull", True),
                                ("recorded_at__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="feexpay_refund_recorded",
                    ),
                ],
            },
        ),
        migrations.RunPython(guard, unguard),
        migrations.RunPython(say_how_closed_incidents_ended, migrations.RunPython.noop),
    ]
