"""Create the four packs of a new shop. Existing packs are not changed."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

FIRST_PACKS = (
    {"code": "mini", "name": "Mini", "coins": 50, "price": 500, "position": 1},
    {"code": "standard", "name": "Standard", "coins": 220, "price": 2_000, "position": 2},
    {"code": "champion", "name": "Champion", "coins": 650, "price": 5_000, "position": 3},
    {"code": "maxi", "name": "Maxi", "coins": 1_200, "price": 10_000, "position": 4},
)


def create_packs(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    packs = apps.get_model("shop", "CoinPack")
    for pack in FIRST_PACKS:
        packs.objects.get_or_create(code=pack["code"], defaults=pack)


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    # The reverse migration deletes no pack, because a player may own its coins.
    operations = [migrations.RunPython(create_packs, migrations.RunPython.noop)]
