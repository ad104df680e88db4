"""An incident may be about a payout that FeexPay paid and undid later.

FeexPay is asked about paid payouts: PostgreSQL lets the three columns of their polls change, and nothing else.
"""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


KEEP_PAYOUTS = """
CREATE OR REPLACE FUNCTION feexpay_refuse_payout_delete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    polls CONSTANT text[] := ARRAY[{polls}]::text[];
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state <> 'successful' THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - polls = to_jsonb(OLD) - polls THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.masked_msisdn = '' AND NEW.msisdn_sealed IS NULL
        AND to_jsonb(NEW) - 'masked_msisdn' - 'msisdn_sealed' = to_jsonb(OLD) - 'masked_msisdn' - 'msisdn_sealed' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% keeps its rows, and paid ones as they are', TG_TABLE_NAME;
END $$;
"""


def let_polls_change(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        polls = "'next_poll_at', 'last_polled_at', 'poll_count'"
        schema_editor.execute(KEEP_PAYOUTS.format(polls=polls), params=None)


def keep_polls(apps, schema_editor):
    """The older code does not poll paid payouts: it would claim those that are due again and again."""
    database = schema_editor.connection.alias
    paid = apps.get_model("feexpay", "Payout").objects.using(database).filter(state="successful")
    paid.update(next_poll_at=None)
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(KEEP_PAYOUTS.format(polls=""), params=None)


class Migration(migrations.Migration):
    dependencies = [("feexpay", "0030_monitoring")]

    operations = [
        migrations.AddField(
            model_name="incident",
            name="payout",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="incidents",
                to="feexpay.payout",
                verbose_name="payout",
            ),
        ),
        migrations.AlterField(
            model_name="incident",
            name="kind",
            field=models.CharField(
                choices=[
                    ("duplicate_charge", "charged twice: refund one"),
                    ("reversed_after_credit", "FeexPay took a credited payment back"),
                    ("payout_undone", "FeexPay undid a payout: the payer lacks the refund"),
                ],
                max_length=32,
                verbose_name="kind",
            ),
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
                    ("payout_undone", "payout undone"),
                ],
                max_length=32,
                verbose_name="signal",
            ),
        ),
        migrations.RunPython(let_polls_change, keep_polls),
    ]
