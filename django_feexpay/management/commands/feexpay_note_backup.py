"""Note that a backup, or the restore test of one, was made or failed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_feexpay.monitoring import backups


class Command(BaseCommand):
    help = (
        "Note that a backup was made, or that its restore was tested. A script of yours runs this at its end; the "
        "health facts then tell when the next one is late or failed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("work", choices=[str(work) for work in backups.Work])
        parser.add_argument("--failed", action="store_true", help="it did not succeed")

    def handle(self, *args: Any, **options: Any) -> None:
        backups.note(backups.Work(options["work"]), failed=options["failed"])
