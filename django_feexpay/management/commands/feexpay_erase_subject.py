"""Erase one person from the payments: the money rows stay."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay import log_context
from django_feexpay.management import subject_arguments
from django_feexpay.payments.ledger import Source
from django_feexpay.privacy import erasure
from django_feexpay.privacy.subjects import Subject


class Command(BaseCommand):
    help = (
        "Erase one person, by user or by phone number, from the tables of django_feexpay. Amounts, FeexPay's "
        "references, order numbers and events stay, as the books need them. Payments that have not ended wait; "
        "the nightly purge completes the erasure. It cannot be undone. Safe to repeat."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        subject_arguments.add(parser)
        parser.add_argument("--dry-run", action="store_true", help="only say what would be erased")
        parser.add_argument("--no-input", action="store_true", help="do not ask before erasing")

    @log_context.entry_point(log_context.COMMAND)
    def handle(self, *args: Any, **options: Any) -> None:
        subject = subject_arguments.subject_of(options)
        actor = subject_arguments.actor_of(options, "feexpay_erase_subject")
        if options["dry_run"]:
            self._preview(subject)
            return
        if sys.stdin.isatty() and not options["no_input"]:
            self._preview(subject)
            if input("This cannot be undone. Type ERASE to go on: ") != "ERASE":
                raise CommandError("nothing was erased.")
        row = erasure.erase(subject, actor=actor, source=Source.COMMAND, reason=options["reason"])
        self.stdout.write(f"erasure {row.pk}: {row.payment_count} payments erased, {row.waiting_count} wait")
        if row.waiting_count:
            self.stdout.write(
                "Those have not ended, or their money is on the way. The nightly purge erases each as soon as it can."
            )
        if subject.user_key and not row.waiting_count:
            self.stdout.write("The tables of django_feexpay no longer keep you from deleting the user.")

    def _preview(self, subject: Subject) -> None:
        found = erasure.preview(subject)
        self.stdout.write(f"{found.ready} payments can be erased now, {found.waiting} have to wait")
