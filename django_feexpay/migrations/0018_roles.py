"""Permissions that do nothing go: ledgers are only viewed. New ones read a number, write a note, export the audit list.

The stale rows of the table of permissions are removed. Going back, Django's `create_permissions` makes them again after
the migration; who held them is forgotten, which changes nothing, because no page asked for them.
"""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q

VIEWED = (
    *("attempt", "comparison", "credit", "finding", "heartbeat", "idempotencyrecord", "outboxmessage", "payment"),
    *("paymentevent", "promptlift", "reviewproposal", "staffaction", "webhookdelivery"),
)
VIEWED_AND_CHANGED = ("discrepancy", "incident", "provider")
NOT_SHOWN = ("counter", "outboxreceipt")


class AlterSomeOptions(migrations.AlterModelOptions):
    """Set the named options and keep the others of the model as they are."""

    ALTER_OPTION_KEYS = ()


def stale(permissions):
    """The permissions of this app that no page asks for."""
    dead = Q(content_type__model__in=(*VIEWED, *NOT_SHOWN), codename__regex="^(add|change|delete)_")
    dead |= Q(content_type__model__in=VIEWED_AND_CHANGED, codename__regex="^(add|delete)_")
    dead |= Q(content_type__model__in=NOT_SHOWN, codename__startswith="view_")
    return permissions.filter(dead, content_type__app_label="feexpay")


def remove_stale(apps, schema_editor):
    permission = apps.get_model("auth", "Permission")
    # Where tests create the tables of auth without migrations, its models have no relations here, and nothing is stale.
    if "content_type" in {field.name for field in permission._meta.get_fields()}:
        stale(permission.objects.using(schema_editor.connection.alias)).delete()


class Migration(migrations.Migration):
    dependencies = [
        # A named migration is unknown where tests create these tables without migrations.
        ("auth", "__first__"),
        ("contenttypes", "__first__"),
        ("feexpay", "0017_reports"),
    ]

    operations = [
        *(AlterSomeOptions(name=name, options={"default_permissions": ("view",)}) for name in VIEWED),
        *(AlterSomeOptions(name=name, options={"default_permissions": ("view", "change")}) for name in VIEWED_AND_CHANGED),
        *(AlterSomeOptions(name=name, options={"default_permissions": ()}) for name in NOT_SHOWN),
        AlterSomeOptions(
            name="attempt",
            options={"permissions": (("unmask_number", "Can read the whole phone number of a payment"),)},
        ),
        AlterSomeOptions(
            name="staffaction",
            options={
                "permissions": (
                    ("export_staffaction", "Can export staff actions to a file"),
                    ("note_payment", "Can write a note on a payment"),
                )
            },
        ),
        migrations.AddIndex(
            model_name="staffaction",
            index=models.Index(fields=["actor_name", "-id"], name="feexpay_staff_name"),
        ),
        migrations.AddIndex(
            model_name="staffaction",
            index=models.Index(fields=["created_at"], name="feexpay_staff_time"),
        ),
        migrations.RunPython(remove_stale, migrations.RunPython.noop),
    ]
