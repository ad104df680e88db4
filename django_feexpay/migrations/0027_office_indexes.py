"""Indexes for the filters of the back office's lists, each without the value that most rows have.

At a million payments a list that is filtered by a rare value read the whole table, most of all to count its rows.

- `feexpay_attempt_unpaid`: attempts by status, without the successful ones.
- `feexpay_pay_currency`: payments by the currency of their price, without those in CFA francs of West Africa.
- `feexpay_outbox_signal`: signals by kind, without those of a success.
"""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("feexpay", "0026_office_gaps")]

    operations = [
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(fields=["status"], name="feexpay_attempt_unpaid", condition=~Q(status="successful")),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                fields=["currency", "-created_at"], name="feexpay_pay_currency", condition=~Q(currency="XOF")
            ),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(
                fields=["signal", "-id"], name="feexpay_outbox_signal", condition=~Q(signal="payment_succeeded")
            ),
        ),
    ]
