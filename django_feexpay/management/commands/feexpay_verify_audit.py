"""Check the chains of the history, and the anchor files that name their ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay.payments.audit import anchors, verification
from django_feexpay.payments.audit.verification import ChainBreak


class Command(BaseCommand):
    help = (
        "Check that no event, credit or staff action was changed, deleted, inserted or reordered in the database. "
        "Reads only, in pages; run it while payments go on. Exit code 0: every chain is whole; 1: some are not, with "
        "one line for each break."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--payment", type=UUID, action="append", default=[], metavar="ID", help="only this payment")
        parser.add_argument(
            "--anchors", type=Path, metavar="PATH", help="also compare with this anchor file, or those in a directory"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object per break and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        self._as_json = options["json"]
        checked, only = verification.begin(), options["payment"]
        found = self._run("payments", verification.breaks_of_payments(checked, only), checked)
        if only and checked.payments < len(set(only)):
            raise CommandError("There is no such payment.")
        if not only:
            found += self._run("staff actions", verification.breaks_of_staff_actions(checked), checked)
        if options["anchors"]:
            try:
                files = anchors.files_of(options["anchors"])
                found += self._run(f"{len(files)} anchor files", anchors.breaks_of(files), None)
            except (anchors.AnchorError, OSError) as error:
                raise CommandError(str(error)) from None
        if checked.later and not self._as_json:
            self.stdout.write(
                f"{checked.later} rows were chained after they were written, the last of them at"
                f" {checked.later_at:%Y-%m-%d %H:%M} UTC. Nothing is proved about them before that."
            )
        if found:
            raise CommandError(f"{found} breaks", returncode=1)

    def _run(self, what: str, breaks: Iterable[ChainBreak], checked: verification.Checked | None) -> int:
        started, count = time.monotonic(), 0
        for count, found in enumerate(breaks, start=1):  # noqa: B007 -- counted by the loop
            self._write(found)
        if not self._as_json:
            sizes = {
                "payments": "{0.payments} payments, {0.events} events",
                "staff actions": "{0.actions} staff actions",
            }
            shown = sizes[what].format(checked) if checked else what
            seconds = time.monotonic() - started
            self.stdout.write(f"{'✘' if count else '✔'} {shown}: {count} breaks, {seconds:.1f} s")
        return count

    def _write(self, found: ChainBreak) -> None:
        if self._as_json:
            self.stdout.write(json.dumps({"about": found.about, "row": found.row, "problem": found.problem}))
        else:
            self.stdout.write(str(found))
