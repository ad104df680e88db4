"""The index of the events that did not come from the worker or the API."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("feexpay", "0020_search"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="paymentevent",
            index=models.Index(
                condition=models.Q(("source__in", ["admin", "command", "host"])),
                fields=["source", "-id"],
                name="feexpay_event_rare_source",
            ),
        ),
    ]
