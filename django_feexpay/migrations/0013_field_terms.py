"""Names of the field: an attempt is polled, a difference from the gateway's history is a discrepancy."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("feexpay", "0012_redact_kept_texts")]

    operations = [
        migrations.RenameField("attempt", "look_count", "poll_count"),
        migrations.RenameField("attempt", "last_look_at", "last_polled_at"),
        migrations.RenameField("attempt", "first_empty_look_at", "first_empty_search_at"),
        migrations.AlterField(
            "attempt", "poll_count", models.PositiveIntegerField(default=0, verbose_name="polls")
        ),
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
                verbose_name="last seen by",
            ),
        ),
    ]
