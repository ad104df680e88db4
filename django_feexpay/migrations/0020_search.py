"""Indexes for the lists of the back office.

- `feexpay_event_newest`: events by date. The table has several rows for each payment.
- `feexpay_event_by_person`: the few events that staff, a command or the host's code made, by date, among millions.
- `feexpay_incident_open`: the payments with an open incident, without reading the closed ones.
- On PostgreSQL, references by their beginning in any letter case: an index in the database's own order cannot serve
  LIKE, and FeexPay writes a reference in either letter case. Other databases cannot use such an index for LIKE at all.
"""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q

BEGINNINGS = """
CREATE INDEX feexpay_pay_merchant_like ON feexpay_payment (UPPER(merchant_reference) text_pattern_ops)
    WHERE merchant_reference <> '';
CREATE INDEX feexpay_attempt_ref_like ON feexpay_attempt (UPPER(gateway_reference) text_pattern_ops)
    WHERE gateway_reference IS NOT NULL;
"""

NO_BEGINNINGS = """
DROP INDEX feexpay_pay_merchant_like;
DROP INDEX feexpay_attempt_ref_like;
"""


def add(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(BEGINNINGS)


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(NO_BEGINNINGS)


class Migration(migrations.Migration):
    dependencies = [("feexpay", "0019_notifications")]

    operations = [
        migrations.AddIndex(
            model_name="paymentevent",
            index=models.Index(fields=["-created_at", "-id"], name="feexpay_event_newest"),
        ),
        migrations.AddIndex(
            model_name="paymentevent",
            index=models.Index(
                fields=["-created_at", "-id"],
                name="feexpay_event_by_person",
                condition=~Q(source__in=("api", "worker")),
            ),
        ),
        migrations.AddIndex(
            model_name="incident",
            index=models.Index(fields=["payment"], name="feexpay_incident_open", condition=Q(closed_at__isnull=True)),
        ),
        migrations.RunPython(add, remove),
    ]
