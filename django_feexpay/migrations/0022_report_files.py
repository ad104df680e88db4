"""Large exports and statements, made in the background."""

from __future__ import annotations

import django.db.models.deletion
import django_feexpay.models.fields
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('feexpay', '0021_payouts'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ReportFile',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False, verbose_name='id')),
                ('list_name', models.CharField(max_length=32, verbose_name='list')),
                ('file_name', models.CharField(max_length=128, verbose_name='file name')),
                ('file_format', models.CharField(max_length=8, verbose_name='format')),
                ('language', models.CharField(max_length=16, verbose_name='language')),
                ('filter', django_feexpay.models.fields.SealedField(verbose_name='filter')),
                ('state', models.CharField(choices=[('waiting', 'waiting'), ('working', 'being made'), ('ready', 'ready'), ('failed', 'failed')], default='waiting', max_length=8, verbose_name='state')),
                ('reason', models.CharField(blank=True, choices=[('not_allowed', 'You no longer have the permission to export this list.'), ('not_possible', 'The list cannot be exported in this format. Choose fewer rows, or CSV.'), ('gave_up', "The file could not be made, even after several attempts. The worker's log says why.")], max_length=16, verbose_name='reason')),
                ('rows_done', models.PositiveIntegerField(default=0, verbose_name='rows done')),
                ('rows_total', models.PositiveIntegerField(verbose_name='rows')),
                ('cursor', models.JSONField(blank=True, default=list, verbose_name='last row read')),
                ('parts', models.JSONField(blank=True, default=list, verbose_name='pieces')),
                ('claim_number', models.PositiveIntegerField(default=0, verbose_name='claims')),
                ('failure_count', models.PositiveSmallIntegerField(default=0, verbose_name='failures')),
                ('leased_until', models.DateTimeField(blank=True, null=True, verbose_name='leased until')),
                ('created_at', models.DateTimeField(verbose_name='asked for at')),
                ('finished_at', models.DateTimeField(blank=True, null=True, verbose_name='finished at')),
                ('expires_at', models.DateTimeField(verbose_name='kept until')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'report file',
                'verbose_name_plural': 'report files',
                'ordering': ('-created_at',),
                'default_permissions': (),
                'indexes': [models.Index(fields=['user', '-created_at'], name='feexpay_report_user'), models.Index(condition=models.Q(('state__in', ('waiting', 'working'))), fields=['claim_number', 'created_at'], name='feexpay_report_unfinished'), models.Index(fields=['expires_at'], name='feexpay_report_expires')],
            },
        ),
    ]
