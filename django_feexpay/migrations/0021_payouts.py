"""Payouts of refunds through FeexPay. PostgreSQL itself refuses to change or delete their events.

A refund that waits for its payout may still change.
"""

from __future__ import annotations

import uuid

import django.db.models.deletion
from django.db import migrations, models

import django_feexpay.models.fields

GUARD = """
CREATE OR REPLACE FUNCTION feexpay_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER feexpay_payoutevent_append_only
    BEFORE UPDATE OR DELETE ON feexpay_payoutevent
    FOR EACH ROW EXECUTE FUNCTION feexpay_refuse_change();
CREATE OR REPLACE FUNCTION feexpay_refuse_payout_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state <> 'successful' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% keeps its rows, and paid ones as they are', TG_TABLE_NAME;
END $$;
CREATE TRIGGER feexpay_payout_stays
    BEFORE UPDATE OR DELETE ON feexpay_payout
    FOR EACH ROW EXECUTE FUNCTION feexpay_refuse_payout_delete();
"""
UNGUARD = """
DROP TRIGGER feexpay_payoutevent_append_only ON feexpay_payoutevent;
DROP TRIGGER feexpay_payout_stays ON feexpay_payout;
DROP FUNCTION feexpay_refuse_payout_delete();
"""
REFUNDS = """
CREATE OR REPLACE FUNCTION feexpay_refuse_refund_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state IN ({states}) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% keeps recorded and cancelled refunds as they are', TG_TABLE_NAME;
END $$;
"""


def guard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(GUARD, params=None)
        schema_editor.execute(REFUNDS.format(states="'proposed', 'approved'"), params=None)


def unguard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(REFUNDS.format(states="'proposed'"), params=None)
        schema_editor.execute(UNGUARD, params=None)


class Migration(migrations.Migration):

    dependencies = [
        ('feexpay', '0020_search'),
    ]

    operations = [
        migrations.AlterField(
            model_name='refund',
            name='state',
            field=models.CharField(choices=[('proposed', 'waits for a second person'), ('approved', 'approved, not paid out yet'), ('recorded', 'recorded'), ('cancelled', 'cancelled')], max_length=16, verbose_name='state'),
        ),
        migrations.AlterField(
            model_name='refund',
            name='way',
            field=models.CharField(choices=[('gateway', "FeexPay's dashboard"), ('mobile_money', 'mobile money, sent by hand'), ('cash', 'cash'), ('account_balance', "balance of the payer's account in the shop"), ('payout', 'payout through FeexPay, sent from here'), ('other', 'another way')], max_length=16, verbose_name='paid back by'),
        ),
        migrations.AlterField(
            model_name='staffaction',
            name='action',
            field=models.CharField(choices=[('reconcile', 'asked FeexPay'), ('retry', 'started a new attempt'), ('close_review', 'closed a review'), ('close_incident', 'closed an incident'), ('close_discrepancy', 'closed a difference'), ('refund', 'recorded a refund'), ('approve_refund', 'approved a refund'), ('cancel_refund', 'cancelled a refund'), ('send_payout', 'approved a payout and had it sent'), ('close_payout', 'closed a payout whose outcome was unknown'), ('release_order', 'released an order'), ('redeliver', 'processed a webhook again'), ('resend_signal', 'sent a signal again'), ('lift_prompts', 'lifted the limit of payment requests'), ('switch_provider', 'changed a provider'), ('export', 'exported'), ('look_up_number', 'looked up a phone number'), ('unmask', 'read a phone number'), ('note', 'wrote a note')], max_length=32, verbose_name='action'),
        ),
        migrations.CreateModel(
            name='Payout',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('provider_code', models.CharField(max_length=32, verbose_name='provider')),
                ('route', models.CharField(max_length=32, verbose_name='route at FeexPay')),
                ('amount', models.BigIntegerField(verbose_name='amount')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('masked_msisdn', models.CharField(max_length=32, verbose_name='phone')),
                ('msisdn_sealed', django_feexpay.models.fields.SealedField(blank=True, null=True, verbose_name='encrypted phone')),
                ('state', models.CharField(choices=[('created', 'waits to be sent'), ('sending', 'being sent'), ('pending', 'accepted by FeexPay'), ('unknown', 'unknown: it may have been paid'), ('successful', 'paid'), ('failed', 'not paid')], default='created', max_length=16, verbose_name='state')),
                ('gateway_reference', models.CharField(blank=True, max_length=128, null=True, verbose_name='FeexPay reference')),
                ('reason_code', models.CharField(blank=True, max_length=64, verbose_name='cause')),
                ('reason_text', models.CharField(blank=True, max_length=200, verbose_name="FeexPay's text")),
                ('proposed_by', models.CharField(max_length=255, verbose_name='proposed by')),
                ('approved_by', models.CharField(max_length=255, verbose_name='approved by')),
                ('created_at', models.DateTimeField(verbose_name='approved at')),
                ('sent_at', models.DateTimeField(blank=True, null=True, verbose_name='sent at')),
                ('send_count', models.PositiveSmallIntegerField(default=0, verbose_name='times sent')),
                ('ended_at', models.DateTimeField(blank=True, null=True, verbose_name='ended at')),
                ('next_poll_at', models.DateTimeField(blank=True, null=True, verbose_name='next poll')),
                ('last_polled_at', models.DateTimeField(blank=True, null=True, verbose_name='last polled at')),
                ('poll_count', models.PositiveIntegerField(default=0, verbose_name='polls')),
                ('closed_by', models.CharField(blank=True, max_length=255, verbose_name='closed by')),
                ('evidence', models.CharField(blank=True, max_length=500, verbose_name="what FeexPay's dashboard showed")),
                ('paid_after_failure_at', models.DateTimeField(blank=True, null=True, verbose_name='paid after its failure at')),
                ('payment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payouts', to='feexpay.payment', verbose_name='payment')),
                ('refund', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payouts', to='feexpay.refund', verbose_name='refund')),
            ],
            options={
                'verbose_name': 'payout',
                'verbose_name_plural': 'payouts',
                'ordering': ('-created_at',),
                'permissions': (('send_payout', 'Can send payouts to payers, and close unknown ones'),),
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='PayoutEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_state', models.CharField(blank=True, choices=[('created', 'waits to be sent'), ('sending', 'being sent'), ('pending', 'accepted by FeexPay'), ('unknown', 'unknown: it may have been paid'), ('successful', 'paid'), ('failed', 'not paid')], max_length=16, verbose_name='from')),
                ('to_state', models.CharField(choices=[('created', 'waits to be sent'), ('sending', 'being sent'), ('pending', 'accepted by FeexPay'), ('unknown', 'unknown: it may have been paid'), ('successful', 'paid'), ('failed', 'not paid')], max_length=16, verbose_name='to')),
                ('because', models.CharField(max_length=64, verbose_name='because')),
                ('source', models.CharField(choices=[('api', 'API'), ('worker', 'Worker'), ('admin', 'Admin'), ('host', 'Host project'), ('command', 'Command')], max_length=16, verbose_name='source')),
                ('actor', models.CharField(blank=True, max_length=255, verbose_name='actor')),
                ('note', models.CharField(blank=True, max_length=500, verbose_name='note')),
                ('facts', models.JSONField(blank=True, default=dict, verbose_name='facts')),
                ('created_at', models.DateTimeField(verbose_name='created at')),
                ('payout', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='feexpay.payout', verbose_name='payout')),
            ],
            options={
                'verbose_name': 'payout event',
                'verbose_name_plural': 'payout events',
                'ordering': ('id',),
                'default_permissions': ('view',),
            },
        ),
        migrations.AddIndex(
            model_name='payout',
            index=models.Index(condition=models.Q(('next_poll_at__isnull', False)), fields=['next_poll_at'], name='feexpay_payout_due'),
        ),
        migrations.AddIndex(
            model_name='payout',
            index=models.Index(fields=['-created_at'], name='feexpay_payout_newest'),
        ),
        migrations.AddConstraint(
            model_name='payout',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='feexpay_payout_amount'),
        ),
        migrations.AddConstraint(
            model_name='payout',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('proposed_by', ''), _negated=True), models.Q(('approved_by', ''), _negated=True), models.Q(('approved_by', models.F('proposed_by')), _negated=True)), name='feexpay_payout_two_persons'),
        ),
        migrations.AddConstraint(
            model_name='payout',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'failed'), _negated=True), fields=('refund',), name='feexpay_one_payout'),
        ),
        migrations.AddConstraint(
            model_name='payout',
            constraint=models.UniqueConstraint(condition=models.Q(('gateway_reference__isnull', False)), fields=('gateway_reference',), name='feexpay_payout_reference'),
        ),
        migrations.RunPython(guard, unguard),
    ]
