"""Refusals of the last day that no source names are asked about from now on: those that stand there already, too."""

from datetime import timedelta

from django.db import migrations
from django.utils import timezone

DOUBTFUL = ("unknown_reason", "operator_error", "payer_declined", "expired")


def make_due(apps, schema_editor):
    attempts = apps.get_model("feexpay", "Attempt").objects.using(schema_editor.connection.alias)
    now = timezone.now()
    recent = attempts.filter(status="rejected", reason_code__in=DOUBTFUL, settled_at__gt=now - timedelta(days=1))
    recent.filter(next_poll_at=None).update(next_poll_at=now)


class Migration(migrations.Migration):
    dependencies = [
        ("feexpay", "0007_reviews"),
    ]

    operations = [
        migrations.RunPython(make_due, migrations.RunPython.noop),
    ]
