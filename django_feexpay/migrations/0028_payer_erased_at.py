from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("feexpay", "0027_office_indexes"),
    ]

    operations = [
        migrations.AddField(
            model_name="payment",
            name="erased_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="payer erased at"),
        ),
    ]
