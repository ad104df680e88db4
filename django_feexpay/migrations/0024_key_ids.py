from django.db import migrations, models

# Keyed hashes and encrypted columns begin with the id of their key from this release on. The releases before it can
# read neither, so the way back cuts the ids off. Values written before stay as they are and are read as well.
HASHES = (
    ("attempt", "msisdn_hash"), ("promptlift", "msisdn_hash"), ("idempotencyrecord", "fingerprint"),
    ("webhookdelivery", "dedupe_key"),
)
SEALED = (
    ("attempt", "msisdn_sealed"), ("attempt", "payer_sealed"), ("payout", "msisdn_sealed"), ("reportfile", "filter"),
)


def cut_key_ids(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        for table, column in HASHES:
            cursor.execute(
                f"UPDATE feexpay_{table} SET {column} = substr({column}, 10) WHERE substr({column}, 9, 1) = ':'"
            )
        colon = b":" if schema_editor.connection.vendor == "sqlite" else memoryview(b":")
        for table, column in SEALED:
            cursor.execute(
                f"UPDATE feexpay_{table} SET {column} = substr({column}, 10) WHERE substr({column}, 9, 1) = %s", [colon]
            )
        if schema_editor.connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # no table with pending checks can be altered


class Migration(migrations.Migration):

    dependencies = [
        ('feexpay', '0023_retention'),
    ]

    operations = [
        migrations.AlterField(
            model_name='attempt',
            name='msisdn_hash',
            field=models.CharField(blank=True, max_length=80, verbose_name='keyed hash of the phone'),
        ),
        migrations.AlterField(
            model_name='idempotencyrecord',
            name='fingerprint',
            field=models.CharField(max_length=80, verbose_name='fingerprint'),
        ),
        migrations.AlterField(
            model_name='promptlift',
            name='msisdn_hash',
            field=models.CharField(max_length=80, verbose_name='keyed hash of the phone'),
        ),
        migrations.AlterField(
            model_name='staffaction',
            name='action',
            field=models.CharField(choices=[('reconcile', 'asked FeexPay'), ('retry', 'started a new attempt'), ('close_review', 'closed a review'), ('close_incident', 'closed an incident'), ('close_discrepancy', 'closed a difference'), ('refund', 'recorded a refund'), ('approve_refund', 'approved a refund'), ('cancel_refund', 'cancelled a refund'), ('send_payout', 'approved a payout and had it sent'), ('close_payout', 'closed a payout whose outcome was unknown'), ('release_order', 'released an order'), ('redeliver', 'processed a webhook again'), ('resend_signal', 'sent a signal again'), ('lift_prompts', 'lifted the limit of payment requests'), ('switch_provider', 'changed a provider'), ('export', 'exported'), ('look_up_number', 'looked up a phone number'), ('unmask', 'read a phone number'), ('note', 'wrote a note'), ('rotate_keys', 'rotated the keys')], max_length=32, verbose_name='action'),
        ),
        migrations.AlterField(
            model_name='webhookdelivery',
            name='dedupe_key',
            field=models.CharField(max_length=80, unique=True, verbose_name='dedupe key'),
        ),
        migrations.RunPython(migrations.RunPython.noop, cut_key_ids, elidable=True),
    ]
