from __future__ import annotations

from django.db import migrations

_BATCH = 1_000


def redact(apps, schema_editor):
    """Redact the texts of FeexPay and the webhooks that earlier versions stored, by today's rule. Safe to repeat."""
    from django_feexpay.gateway.redaction import safe_echo, safe_words
    from django_feexpay.gateway.reports import redacted

    using = schema_editor.connection.alias
    rules = (
        ("Attempt", {"reason_text": safe_words}),
        ("WebhookDelivery", {"body": redacted, "reported_status": safe_words, "event_type": safe_words}),
        ("Break", {"echo": lambda text: safe_echo(text) or ""}),
    )
    for name, columns in rules:
        rows = apps.get_model("feexpay", name)._base_manager.using(using).order_by("pk")
        for change in _changes(rows, columns):
            rows.filter(pk=change.pop("pk")).update(**change)


def _changes(rows, columns):
    """The rows to update. Reads in slices by primary key, so that no whole table is in memory."""
    last = None
    while True:
        part = list((rows if last is None else rows.filter(pk__gt=last)).values("pk", *columns)[:_BATCH])
        if not part:
            return
        last = part[-1]["pk"]
        for row in part:
            kept = {column: rule(row[column]) for column, rule in columns.items()}
            if any(kept[column] != row[column] for column in columns):
                yield {"pk": row["pk"], **kept}


class Migration(migrations.Migration):
    # Not one transaction, because the tables may be long. If it is stopped, run it again.
    atomic = False

    dependencies = [("feexpay", "0011_limits")]

    operations = [migrations.RunPython(redact, migrations.RunPython.noop, elidable=True)]
