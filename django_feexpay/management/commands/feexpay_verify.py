"""Check the invariants of payments on the rows of the database."""

from __future__ import annotations

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay.payments.invariants import INVARIANTS, Violation, name_of, reading_every_row, violations


class Command(BaseCommand):
    help = (
        "Check every rule that stored rows can prove, such as: each payment is credited exactly once. Reads only; "
        "run it while payments go on. Exit code 0: all hold; 1: some do not, with one line for each violation."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--only", nargs="+", metavar="RULE", choices=list(INVARIANTS), default=[], help="only these rules: I1 … I24"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object per violation and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        with reading_every_row():
            found = sum(self._check(rule, options["json"]) for rule in options["only"] or INVARIANTS)
        if found:
            raise CommandError(f"{found} violations", returncode=1)

    def _check(self, rule: str, as_json: bool) -> int:
        """Print the violations of a rule, and return how many there are."""
        started = time.monotonic()
        broken = 0
        for broken, violation in enumerate(violations([rule]), start=1):  # noqa: B007 -- counted by the loop
            self._write(violation, as_json)
        if not as_json:
            sign = "✘" if broken else "✔"
            seconds = time.monotonic() - started
            self.stdout.write(f"{sign} {rule} {name_of(rule)}: {broken} broken, {seconds:.1f} s")
        return broken

    def _write(self, violation: Violation, as_json: bool) -> None:
        if as_json:
            words = {"rule": violation.rule, "about": violation.about, "problem": violation.problem}
            self.stdout.write(json.dumps(words))
        else:
            self.stdout.write(str(violation))
