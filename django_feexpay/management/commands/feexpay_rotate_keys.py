"""Encrypt and hash again what an older key made."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay import log_context
from django_feexpay.privacy import key_rotation

#: Seconds between two lines of progress.
_LINE_EVERY = 2.0


class Command(BaseCommand):
    help = (
        "Encrypt and hash again, with the first key of FIELD_KEYS and of HASH_KEY, what an older key made. Run it "
        "while payments go on. The next run continues one that was stopped. Exit code 1: a row cannot be decrypted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count the rows of older keys")
        parser.add_argument(
            "--erase-old-hashes",
            action="store_true",
            help="afterwards erase the hashes of an older HASH_KEY whose number is erased: an old key became known",
        )

    @log_context.entry_point(log_context.COMMAND)
    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            self._show_left(key_rotation.rows_of_old_keys())
            return
        self._next_line = time.monotonic() + _LINE_EVERY
        done = key_rotation.rotate(progress=self._progress)
        if done.changed:
            self.stdout.write(f"{done.encrypted} encrypted again, {done.hashed} hashed again")
        else:
            self.stdout.write("Nothing to rotate.")
        if options["erase_old_hashes"]:
            erased = key_rotation.erase_old_hashes(progress=self._progress)
            self.stdout.write(f"{erased.erased} old hashes erased")
            done.left = erased.left
        self._show_left(done.left)
        if done.unreadable:
            text = f"{done.unreadable} values cannot be decrypted: put the key that was removed back into FIELD_KEYS."
            raise CommandError(text, returncode=1)

    def _progress(self, what: str, count: int) -> None:
        if time.monotonic() >= self._next_line:
            self.stdout.write(f"{what}: {count} done")
            self._next_line = time.monotonic() + _LINE_EVERY

    def _show_left(self, left: dict[str, int]) -> None:
        if not left:
            self.stdout.write("No row carries an older key.")
        for what, count in left.items():
            self.stdout.write(f"{what}: {count} with an older key")
