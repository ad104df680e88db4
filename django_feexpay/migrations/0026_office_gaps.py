"""A webhook delivery may be about a payout."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('feexpay', '0025_audit_chain'),
    ]

    operations = [
        migrations.AddField(
            model_name='webhookdelivery',
            name='payout',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='deliveries', to='feexpay.payout', verbose_name='payout'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(condition=models.Q(('payout__isnull', False)), fields=['payout', '-id'], name='feexpay_delivery_payout'),
        ),
    ]
