"""Second charges and reversals: an incident names its charge, a comparison keeps what it found."""

from __future__ import annotations

import uuid
from typing import Any

import django.db.models.deletion
import django.db.models.functions.text
from django.db import migrations, models
from django.db.models import F
from django.utils import timezone

_LONGEST_NOTE = 500


def name_the_charges(apps: Any, schema_editor: Any) -> None:
    """An incident so far was about the charge of its own attempt, and there was one of a kind for each."""
    incidents = apps.get_model("feexpay", "Incident").objects.using(schema_editor.connection.alias)
    credits_ = apps.get_model("feexpay", "Credit").objects.using(schema_editor.connection.alias)
    for incident in incidents.select_related("attempt", "payment").order_by("pk").iterator():
        own = incident.attempt.gateway_reference or ""
        incident.gateway_reference = incident.credited_reference = own
        incident.amount, incident.currency = incident.attempt.amount, incident.payment.charged_currency
        if incident.kind == "duplicate_charge":
            incident.credited_reference = _credited_beside(credits_, incident)
        incident.save(update_fields=["gateway_reference", "credited_reference", "amount", "currency"])


def _credited_beside(credits_: Any, incident: Any) -> str:
    """The reference of the other charge: of the credit of the payment, else of another payment of its order."""
    payment = incident.payment
    beside = credits_.exclude(attempt=incident.attempt)
    found = beside.filter(payment=payment)
    if not found.exists() and payment.merchant_reference:
        order = {"payment__user": payment.user_id, "payment__merchant_reference": payment.merchant_reference}
        found = beside.filter(**order).order_by("event")
    return found.values_list("attempt__gateway_reference", flat=True).first() or ""


def announce_reversals(apps: Any, schema_editor: Any) -> None:
    """`contradiction` is `reversed_after_credit` now, and the host is told of those that staff have not closed. Those
    they have closed count as told: the host must not act on them a second time.
    """
    alias = schema_editor.connection.alias
    incidents = apps.get_model("feexpay", "Incident").objects.using(alias).filter(kind="contradiction")
    messages = apps.get_model("feexpay", "OutboxMessage").objects.using(alias)
    for incident in incidents.order_by("pk").iterator():
        messages.create(
            event_id=uuid.uuid4(),
            payment_id=incident.payment_id,
            signal="payment_reversed",
            next_delivery_at=None if incident.closed_at else timezone.now(),
            delivered_at=incident.closed_at,
            created_at=incident.opened_at,
        )
    incidents.update(kind="reversed_after_credit")


def forget_reversals(apps: Any, schema_editor: Any) -> None:
    alias = schema_editor.connection.alias
    apps.get_model("feexpay", "OutboxMessage").objects.using(alias).filter(signal="payment_reversed").delete()
    incidents = apps.get_model("feexpay", "Incident").objects.using(alias)
    incidents.filter(kind="reversed_after_credit").update(kind="contradiction")


def fold_incidents(apps: Any, schema_editor: Any) -> None:
    """Backwards one incident of a kind is left for each attempt: its note tells what the others were about."""
    incidents = apps.get_model("feexpay", "Incident").objects.using(schema_editor.connection.alias)
    first_of: dict[tuple[str, Any], Any] = {}
    for incident in incidents.order_by("pk"):
        first = first_of.setdefault((incident.kind, incident.attempt_id), incident)
        if first is incident:
            continue
        words = (
            first.note,
            f"also {incident.gateway_reference}",
            f"{incident.amount} {incident.currency}",
            incident.note,
        )
        first.note = "; ".join(word for word in words if word)[:_LONGEST_NOTE]
        if incident.closed_at is None:
            first.closed_at = None
        first.save(update_fields=["note", "closed_at"])
        incident.delete()


def keep_findings(apps: Any, schema_editor: Any) -> None:
    """What is still known of older comparisons: the differences that each was the last to see."""
    alias = schema_editor.connection.alias
    findings = apps.get_model("feexpay", "Finding").objects.using(alias)
    for row in apps.get_model("feexpay", "Break").objects.using(alias).order_by("pk").iterator():
        findings.create(
            comparison_id=row.last_comparison_id,
            difference_id=row.pk,
            is_open=row.state != "settled",
            money_at_stake=row.money_at_stake,
        )


def bring_rows_forward(apps: Any, schema_editor: Any) -> None:
    name_the_charges(apps, schema_editor)
    announce_reversals(apps, schema_editor)
    keep_findings(apps, schema_editor)
    _check_now(schema_editor)


def bring_rows_back(apps: Any, schema_editor: Any) -> None:
    fold_incidents(apps, schema_editor)
    forget_reversals(apps, schema_editor)
    _check_now(schema_editor)


def _check_now(schema_editor: Any) -> None:
    """PostgreSQL alters no table on whose rows a foreign key is still to be checked."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")


class Migration(migrations.Migration):
    dependencies = [("feexpay", "0008_ask_about_doubtful_refusals")]

    operations = [
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("sought_by_echo", True)), fields=["created_at"], name="feexpay_attempt_sought"
            ),
        ),
        migrations.AddField(
            "incident",
            "gateway_reference",
            models.CharField(blank=True, default="", max_length=128, verbose_name="FeexPay reference"),
            preserve_default=False,
        ),
        migrations.AddField(
            "incident",
            "credited_reference",
            models.CharField(
                blank=True, default="", max_length=128, verbose_name="FeexPay reference of the credited charge"
            ),
            preserve_default=False,
        ),
        migrations.AddField("incident", "amount", models.BigIntegerField(blank=True, null=True, verbose_name="amount")),
        migrations.AddField(
            "incident",
            "currency",
            models.CharField(blank=True, default="", max_length=3, verbose_name="currency"),
            preserve_default=False,
        ),
        migrations.AlterField(
            "outboxmessage",
            "signal",
            models.CharField(
                choices=[
                    ("payment_succeeded", "payment succeeded"),
                    ("payment_failed", "payment failed"),
                    ("payment_succeeded_late", "payment succeeded late"),
                    ("payment_needs_review", "payment needs review"),
                    ("duplicate_charge_found", "duplicate charge found"),
                    ("payment_reversed", "payment reversed"),
                ],
                max_length=32,
                verbose_name="signal",
            ),
        ),
        migrations.AlterField(
            "incident",
            "kind",
            models.CharField(
                choices=[
                    ("duplicate_charge", "charged twice: refund one"),
                    ("reversed_after_credit", "FeexPay took a credited payment back"),
                ],
                max_length=32,
                verbose_name="kind",
            ),
        ),
        migrations.RemoveConstraint("incident", "feexpay_incident_once"),
        migrations.AddConstraint(
            "incident",
            models.UniqueConstraint(
                F("kind"),
                F("attempt"),
                django.db.models.functions.text.Lower("gateway_reference"),
                name="feexpay_incident_once_a_charge",
            ),
        ),
        migrations.AddField(
            "break",
            "ended_by",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="feexpay.comparison",
                verbose_name="not found any more by",
            ),
        ),
        migrations.AlterField(
            "break",
            "outcome",
            models.CharField(
                blank=True,
                choices=[
                    ("", "FeexPay was not asked about it"),
                    ("moved", "FeexPay was asked: our status followed"),
                    ("confirmed", "FeexPay was asked: ours was right"),
                    ("adopted", "its reference was written down"),
                    ("no_answer", "FeexPay gave no answer; the worker asks again"),
                    ("no_change", "FeexPay was asked: the difference stays"),
                    ("incident", "FeexPay was asked: an incident is open"),
                ],
                max_length=16,
                verbose_name="what asking did",
            ),
        ),
        migrations.CreateModel(
            name="Finding",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("is_open", models.BooleanField(verbose_name="left open")),
                ("money_at_stake", models.BooleanField(verbose_name="money at stake")),
                (
                    "comparison",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="findings",
                        to="feexpay.comparison",
                        verbose_name="comparison",
                    ),
                ),
                (
                    "difference",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="findings",
                        to="feexpay.break",
                        verbose_name="difference",
                    ),
                ),
            ],
            options={"verbose_name": "finding", "verbose_name_plural": "findings", "ordering": ("id",)},
        ),
        migrations.AddConstraint(
            "finding",
            models.UniqueConstraint(fields=("comparison", "difference"), name="feexpay_finding_once_a_comparison"),
        ),
        migrations.RunPython(bring_rows_forward, bring_rows_back),
    ]
