"""Chains of keyed hashes over the history of payments, and triggers that keep it append-only."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

from django_feexpay.models import triggers


#: These had a trigger of an earlier migration, on PostgreSQL.
GUARDED_BEFORE = ("feexpay_paymentevent", "feexpay_staffaction", "feexpay_payoutevent")


def guard(apps, schema_editor):
    triggers.install(schema_editor.connection, triggers.expected(schema_editor.connection))


def unguard(apps, schema_editor):
    triggers.remove(schema_editor.connection)
    if schema_editor.connection.vendor == "postgresql":
        for table in GUARDED_BEFORE:
            schema_editor.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION feexpay_refuse_change()"
            )


class Migration(migrations.Migration):

    dependencies = [
        ('feexpay', '0024_key_ids'),
    ]

    operations = [
        migrations.CreateModel(
            name='StaffChain',
            fields=[
                ('actor', models.CharField(max_length=255, primary_key=True, serialize=False, verbose_name='by')),
                ('action_count', models.PositiveIntegerField(default=0, verbose_name='actions in the chain')),
                ('chain_hash', models.CharField(blank=True, max_length=64, verbose_name='hash of the last action')),
            ],
            options={
                'verbose_name': 'chain of staff actions',
                'verbose_name_plural': 'chains of staff actions',
                'default_permissions': (),
            },
        ),
        migrations.AddField(
            model_name='credit',
            name='hash',
            field=models.CharField(blank=True, db_default='', default='', max_length=64, verbose_name='hash'),
        ),
        migrations.AddField(
            model_name='payment',
            name='chain_hash',
            field=models.CharField(blank=True, db_default='', default='', max_length=64, verbose_name='hash of its last event'),
        ),
        migrations.AddField(
            model_name='payment',
            name='event_count',
            field=models.PositiveIntegerField(db_default=0, default=0, verbose_name='events in its chain'),
        ),
        migrations.AddField(
            model_name='paymentevent',
            name='chained_later_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='chained later at'),
        ),
        migrations.AddField(
            model_name='paymentevent',
            name='hash',
            field=models.CharField(blank=True, db_default='', default='', max_length=64, verbose_name='hash'),
        ),
        migrations.AddField(
            model_name='paymentevent',
            name='key_id',
            field=models.CharField(blank=True, db_default='', default='', max_length=16, verbose_name='key of its hash'),
        ),
        migrations.AddField(
            model_name='paymentevent',
            name='position',
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name='place in its chain'),
        ),
        migrations.AddField(
            model_name='paymentevent',
            name='request_id',
            field=models.CharField(blank=True, db_default='', default='', max_length=64, verbose_name='request id'),
        ),
        migrations.AddField(
            model_name='staffaction',
            name='chained_later_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='chained later at'),
        ),
        migrations.AddField(
            model_name='staffaction',
            name='hash',
            field=models.CharField(blank=True, db_default='', default='', max_length=64, verbose_name='hash'),
        ),
        migrations.AddField(
            model_name='staffaction',
            name='key_id',
            field=models.CharField(blank=True, db_default='', default='', max_length=16, verbose_name='key of its hash'),
        ),
        migrations.AddField(
            model_name='staffaction',
            name='position',
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name='place in its chain'),
        ),
        migrations.AddField(
            model_name='staffaction',
            name='request_id',
            field=models.CharField(blank=True, db_default='', default='', max_length=64, verbose_name='request id'),
        ),
        migrations.AlterField(
            model_name='staffaction',
            name='action',
            field=models.CharField(choices=[('reconcile', 'asked FeexPay'), ('retry', 'started a new attempt'), ('close_review', 'closed a review'), ('close_incident', 'closed an incident'), ('close_discrepancy', 'closed a difference'), ('refund', 'recorded a refund'), ('approve_refund', 'approved a refund'), ('cancel_refund', 'cancelled a refund'), ('send_payout', 'approved a payout and had it sent'), ('close_payout', 'closed a payout whose outcome was unknown'), ('release_order', 'released an order'), ('redeliver', 'processed a webhook again'), ('resend_signal', 'sent a signal again'), ('lift_prompts', 'lifted the limit of payment requests'), ('switch_provider', 'changed a provider'), ('export', 'exported'), ('look_up_number', 'looked up a phone number'), ('unmask', 'read a phone number'), ('note', 'wrote a note'), ('rotate_keys', 'rotated the keys'), ('chain_history', 'chained older rows'), ('export_subject', 'exported the data of a person'), ('erase_subject', 'erased the data of a person')], max_length=32, verbose_name='action'),
        ),
        migrations.AddConstraint(
            model_name='paymentevent',
            constraint=models.UniqueConstraint(fields=('payment', 'position'), name='feexpay_event_position'),
        ),
        migrations.AlterField(
            model_name='paymentevent',
            name='payment',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='events', to='feexpay.payment', verbose_name='payment'),
        ),
        migrations.AddConstraint(
            model_name='staffaction',
            constraint=models.UniqueConstraint(condition=models.Q(('chained_later_at', None)), fields=('actor', 'position'), name='feexpay_staff_position'),
        ),
        migrations.RunPython(guard, unguard),
    ]
