"""Erase and delete what is older than its retention."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay import log_context
from django_feexpay.management.stop_signals import stop_by_signal
from django_feexpay.models import Purge
from django_feexpay.payments.ledger import Source
from django_feexpay.privacy import purge


class Command(BaseCommand):
    help = (
        'Erase and delete what is older than FEEXPAY["RETENTION"] says: numbers of payments that ended, webhooks, '
        "idempotency keys, delivered signals, comparisons and more. feexpay_worker or a cluster does it each night. "
        "Run it while payments go on; Ctrl-C stops it after the batch, and the next run continues. Safe to repeat."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count what would be purged")

    @log_context.entry_point(log_context.COMMAND)
    def handle(self, *args: Any, **options: Any) -> None:
        started = time.monotonic()
        if options["dry_run"]:
            self._print(purge.due())
            self.stdout.write("Nothing was changed: this was a dry run.")
            return
        with stop_by_signal() as stop:
            row = purge.run(source=Source.COMMAND, stop=stop.is_set)
        self._print(row.counts)
        if row.state == Purge.State.STOPPED:
            raise CommandError("stopped; run it again, and it continues.", returncode=3)
        self.stdout.write(f"purge {row.pk}: {row.total} rows in {time.monotonic() - started:.1f} s")

    def _print(self, counts: Mapping[str, int]) -> None:
        for name in purge.NAMES:
            self.stdout.write(f"{name:<16} {counts.get(name, 0):>9}")
