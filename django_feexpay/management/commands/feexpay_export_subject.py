"""Write everything that the tables hold on one person, as JSON."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_feexpay.management import file_output, subject_arguments
from django_feexpay.payments.ledger import Source
from django_feexpay.privacy import subject_export


class Command(BaseCommand):
    help = (
        "Export everything that the tables of django_feexpay hold on one person, by user or by phone number, as JSON. "
        "The file holds whole phone numbers: give it to that person only. Each export is in the audit list."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        subject_arguments.add(parser)
        parser.add_argument("--output", help="a file that only you can read; default: standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        subject = subject_arguments.subject_of(options)
        actor = subject_arguments.actor_of(options, "feexpay_export_subject")
        pieces = subject_export.pieces(subject, actor=actor, source=Source.COMMAND, reason=options["reason"])
        file_output.write(pieces, options["output"], self.stdout)
