"""A process that migrates step by step back to zero and forward again (`test_migration_steps.py` runs it)."""

from __future__ import annotations

import django

if __name__ == "__main__":
    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader

    from django_feexpay.models import Provider

    call_command("migrate", verbosity=0)
    names = sorted(name for app, name in MigrationLoader(connection).disk_migrations if app == "feexpay")
    for name in [*reversed(names[:-1]), "zero", *names]:
        call_command("migrate", "feexpay", name, verbosity=0)
        print(name)
    call_command("makemigrations", "feexpay", check=True, dry_run=True, verbosity=0)
    print(f"{Provider.objects.count()} providers")
