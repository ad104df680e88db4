"""Write the anchor file of yesterday, as the worker does each night."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay.conf import feexpay
from django_feexpay.payments.audit import anchors


class Command(BaseCommand):
    help = (
        "Write the anchor file of the last ended day (UTC): the ends of all chains that grew since the file before. "
        "The worker does it each night; run it by cron where no worker can write the directory. Safe to repeat."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--directory", help='where the files are; default: FEEXPAY["AUDIT_ANCHORS"]')

    def handle(self, *args: Any, **options: Any) -> None:
        directory = options["directory"] or feexpay.audit_anchors
        if not directory:
            raise CommandError('Give --directory, or set FEEXPAY["AUDIT_ANCHORS"].')
        try:
            path = anchors.write_due(Path(directory))
        except anchors.AnchorError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"Wrote {path}. Copy it to a place where this server cannot write." if path else "Up to date."
        )
