"""PostgreSQL itself refuses to change or delete an event. Elsewhere only the model does."""

from __future__ import annotations

from django.db import migrations

GUARD = """
CREATE FUNCTION feexpay_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'feexpay_paymentevent is append-only';
END $$;
CREATE TRIGGER feexpay_paymentevent_append_only
    BEFORE UPDATE OR DELETE ON feexpay_paymentevent
    FOR EACH ROW EXECUTE FUNCTION feexpay_refuse_change();
"""

UNGUARD = """
DROP TRIGGER feexpay_paymentevent_append_only ON feexpay_paymentevent;
DROP FUNCTION feexpay_refuse_change();
"""


def guard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(GUARD)


def unguard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(UNGUARD)


class Migration(migrations.Migration):
    dependencies = [("feexpay", "0001_initial")]
    operations = [migrations.RunPython(guard, unguard)]
