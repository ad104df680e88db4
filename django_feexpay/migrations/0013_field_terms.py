"""Use the usual terms of payment software: an attempt is polled, a difference from FeexPay's history is a discrepancy."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("feexpay", "0012_redact_kept_texts")]

    operations = [
        migrations.RenameField("attempt", "look_count", "poll_count"),
        migrations.RenameField("attempt", "last_look_at", "last_polled_at"),
        migrations.RenameField("attempt", "first_empty_look_at", "first_empty_search_at"),
        migrations.AlterField("attempt", "poll_count", models.PositiveIntegerField(default=0, verbose_name="polls")),
        migrations.AlterField(
            "attempt",
            "last_polled_at",
            models.DateTimeField(blank=True, null=True, verbose_name="last polled at"),
        ),
        migrations.AlterField(
            "attempt",
            "first_empty_search_at",
            models.DateTimeField(blank=True, null=True, verbose_name="first empty search of the history"),
        ),
        migrations.AlterField(
            "comparison",
            "unproven_count",
            models.PositiveIntegerField(default=0, verbose_name="attempts that may be in a gap of the history"),
        ),
        migrations.RenameModel("Break", "Discrepancy"),
        migrations.RenameIndex("discrepancy", new_name="feexpay_discrepancy_open", old_name="feexpay_break_open"),
        migrations.AlterField(
            "discrepancy",
            "attempt",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discrepancies",
                to="feexpay.attempt",
                verbose_name="attempt",
            ),
        ),
        migrations.AlterField(
            "discrepancy",
            "payment",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discrepancies",
                to="feexpay.payment",
                verbose_name="payment",
            ),
        ),
        migrations.AlterField(
            "discrepancy",
            "comparison",
            models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discrepancies_found",
                to="feexpay.comparison",
                verbose_name="found by",
            ),
        ),
        migrations.AlterField(
            "discrepancy",
            "last_comparison",
            models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="discrepancies",
                to="feexpay.comparison",
                verbose_name="last found by",
            ),
        ),
        migrations.AlterField(
            "attempt",
            "next_poll_at",
            models.DateTimeField(blank=True, null=True, verbose_name="next poll"),
        ),
        migrations.AlterField(
            "attempt",
            "reason_text",
            models.CharField(blank=True, max_length=200, verbose_name="FeexPay's text"),
        ),
        migrations.AlterField(
            "attempt",
            "sent_at",
            models.DateTimeField(
                blank=True, help_text="Empty: nothing was sent to FeexPay.", null=True, verbose_name="sent at"
            ),
        ),
        migrations.AlterField(
            "attempt",
            "sought_by_echo",
            models.BooleanField(
                db_default=False,
                default=False,
                help_text="For a payment page, or a code whose answer was lost: found by our id, not by FeexPay's reference.",
                verbose_name="searched in FeexPay's history by our id",
            ),
        ),
        migrations.AlterField(
            "comparison",
            "beat_at",
            models.DateTimeField(verbose_name="last heartbeat"),
        ),
        migrations.AlterField(
            "comparison",
            "settled_count",
            models.PositiveIntegerField(default=0, verbose_name="settled by FeexPay's answer"),
        ),
        migrations.AlterField(
            "discrepancy",
            "echo",
            models.CharField(blank=True, max_length=200, verbose_name="our id in FeexPay's row"),
        ),
        migrations.AlterField(
            "discrepancy",
            "ended_by",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="feexpay.comparison",
                verbose_name="no longer found by",
            ),
        ),
        migrations.AlterField(
            "discrepancy",
            "outcome",
            models.CharField(
                blank=True,
                choices=[
                    ("", "FeexPay was not asked about it"),
                    ("moved", "FeexPay was asked: our status was corrected"),
                    ("confirmed", "FeexPay was asked: our status was right"),
                    ("adopted", "its reference was stored"),
                    ("no_answer", "FeexPay gave no answer; the worker asks again"),
                    ("no_change", "FeexPay was asked: the difference stays"),
                    ("incident", "FeexPay was asked: an incident is open"),
                ],
                max_length=16,
                verbose_name="result of asking FeexPay",
            ),
        ),
        migrations.AlterField(
            "discrepancy",
            "state",
            models.CharField(
                choices=[
                    ("open", "open"),
                    ("settled", "settled by FeexPay's answer"),
                    ("gone", "not found any more"),
                    ("closed", "closed by staff"),
                ],
                default="open",
                max_length=16,
                verbose_name="state",
            ),
        ),
        migrations.AlterField(
            "heartbeat",
            "beat_at",
            models.DateTimeField(verbose_name="last heartbeat"),
        ),
        migrations.AlterField(
            "provider",
            "disabled_reason",
            models.CharField(
                blank=True,
                help_text="Shown to payers unchanged. Empty: the French reason is shown, else the catalogue's.",
                max_length=200,
                verbose_name="reason shown while disabled, in English",
            ),
        ),
        migrations.AlterField(
            "provider",
            "disabled_reason_fr",
            models.CharField(
                blank=True,
                help_text="Shown to payers unchanged. Empty: the English reason is shown, else the catalogue's.",
                max_length=200,
                verbose_name="reason shown while disabled, in French",
            ),
        ),
        migrations.AlterField(
            "provider",
            "flow",
            models.CharField(
                help_text="What the payer does. You may choose it where sources on FeexPay disagree. If FeexPay's answer contains a page, the payer is sent there.",
                max_length=16,
                verbose_name="flow",
            ),
        ),
        migrations.AlterField(
            "reviewproposal",
            "outcome",
            models.CharField(
                choices=[
                    ("open", "waits for a second person"),
                    ("approved", "approved"),
                    ("replaced", "replaced by another proposal"),
                    ("outdated", "FeexPay's answer changed"),
                    ("not_needed", "the review ended without it"),
                ],
                default="open",
                max_length=16,
                verbose_name="outcome",
            ),
        ),
    ]
