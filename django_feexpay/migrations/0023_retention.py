"""What is erased, when and for whom: purges, erasures of persons, and a pseudonym in place of an erased payer.

On PostgreSQL a trigger keeps paid payouts as they are. It now lets the number be erased from one, and nothing else.
"""

from __future__ import annotations

from django.conf import settings
from django.db import migrations, models

import django_feexpay.models.fields

PAYOUTS = """
CREATE OR REPLACE FUNCTION feexpay_refuse_payout_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state <> 'successful' THEN
        RETURN NEW;
    END IF;
{erasing}    RAISE EXCEPTION '% keeps its rows, and paid ones as they are', TG_TABLE_NAME;
END $$;
"""
ERASING = """
    IF TG_OP = 'UPDATE' AND NEW.masked_msisdn = '' AND NEW.msisdn_sealed IS NULL
        AND to_jsonb(NEW) - 'masked_msisdn' - 'msisdn_sealed' = to_jsonb(OLD) - 'masked_msisdn' - 'msisdn_sealed' THEN
        RETURN NEW;
    END IF;
"""


def guard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(PAYOUTS.format(erasing=ERASING), params=None)


def unguard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(PAYOUTS.format(erasing=""), params=None)


class Migration(migrations.Migration):

    dependencies = [
        ('feexpay', '0022_report_files'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Erasure',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('user_key', models.CharField(blank=True, max_length=255, verbose_name='user')),
                ('number_sealed', django_feexpay.models.fields.SealedField(blank=True, null=True, verbose_name='encrypted phone')),
                ('state', models.CharField(choices=[('waiting', 'waits for payments'), ('done', 'done')], default='waiting', max_length=8, verbose_name='state')),
                ('payment_count', models.PositiveIntegerField(default=0, verbose_name='payments erased')),
                ('waiting_count', models.PositiveIntegerField(default=0, verbose_name='payments that wait')),
                ('actor', models.CharField(max_length=255, verbose_name='asked by')),
                ('reason', models.CharField(blank=True, max_length=500, verbose_name='reason')),
                ('asked_at', models.DateTimeField(verbose_name='asked at')),
                ('done_at', models.DateTimeField(blank=True, null=True, verbose_name='done at')),
            ],
            options={
                'verbose_name': 'erasure of a person',
                'verbose_name_plural': 'erasures of persons',
                'ordering': ('-id',),
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Purge',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('night', models.DateField(blank=True, null=True, unique=True, verbose_name='night')),
                ('state', models.CharField(choices=[('running', 'running'), ('complete', 'complete'), ('stopped', 'stopped: it will be continued')], default='running', max_length=16, verbose_name='state')),
                ('source', models.CharField(choices=[('api', 'API'), ('worker', 'Worker'), ('admin', 'Admin'), ('host', 'Host project'), ('command', 'Command')], max_length=16, verbose_name='source')),
                ('counts', models.JSONField(blank=True, default=dict, verbose_name='erased or deleted')),
                ('outbox_before', models.DateTimeField(blank=True, null=True, verbose_name='outbox deleted before')),
                ('started_at', models.DateTimeField(verbose_name='started at')),
                ('beat_at', models.DateTimeField(verbose_name='last heartbeat')),
                ('finished_at', models.DateTimeField(blank=True, null=True, verbose_name='finished at')),
            ],
            options={
                'verbose_name': 'purge',
                'verbose_name_plural': 'purges',
                'ordering': ('-id',),
                'default_permissions': ('view',),
            },
        ),
        migrations.AddField(
            model_name='payment',
            name='pseudonym',
            field=models.CharField(blank=True, db_default='', default='', max_length=80, verbose_name='pseudonym of the erased payer'),
        ),
        migrations.AlterField(
            model_name='staffaction',
            name='action',
            field=models.CharField(choices=[('reconcile', 'asked FeexPay'), ('retry', 'started a new attempt'), ('close_review', 'closed a review'), ('close_incident', 'closed an incident'), ('close_discrepancy', 'closed a difference'), ('refund', 'recorded a refund'), ('approve_refund', 'approved a refund'), ('cancel_refund', 'cancelled a refund'), ('send_payout', 'approved a payout and had it sent'), ('close_payout', 'closed a payout whose outcome was unknown'), ('release_order', 'released an order'), ('redeliver', 'processed a webhook again'), ('resend_signal', 'sent a signal again'), ('lift_prompts', 'lifted the limit of payment requests'), ('switch_provider', 'changed a provider'), ('export', 'exported'), ('look_up_number', 'looked up a phone number'), ('unmask', 'read a phone number'), ('note', 'wrote a note'), ('export_subject', 'exported the data of a person'), ('erase_subject', 'erased the data of a person')], max_length=32, verbose_name='action'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(condition=models.Q(('msisdn_sealed__isnull', False)), fields=['settled_at'], name='feexpay_attempt_number'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(condition=models.Q(('payer_sealed__isnull', False)), fields=['id'], name='feexpay_attempt_payer'),
        ),
        migrations.RunPython(guard, unguard),
    ]
