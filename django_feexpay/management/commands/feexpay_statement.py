"""Write the statement of a month or another period, as text, CSV or XLSX."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay import statement_table, table_files
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.management import file_output
from django_feexpay.payments import statements
from django_feexpay.payments.statements import Period


class Command(BaseCommand):
    help = (
        "Write what FeexPay took, its fees and what is left, by provider, currency and day of the shop's time zone. "
        "Without a period: last month."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--month", type=_month, help="2026-10")
        parser.add_argument("--from", dest="first_day", type=_day, help="the first day: 2026-10-01")
        parser.add_argument("--to", dest="last_day", type=_day, help="the last day: 2026-10-31")
        parser.add_argument("--provider", choices=list(CATALOGUE), metavar="CODE", default="")
        parser.add_argument("--format", choices=["text", *table_files.FORMATS], default="text")
        parser.add_argument("--output", help="a file, replaced when it is complete; default: standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        statement = statements.make(_period(options), options["provider"])
        if options["format"] == "text":
            chunks: table_files.Chunks = (f"{line}\n".encode() for line in statement_table.text(statement))
        else:
            chunks = _table_chunks(statement, options["format"])
        file_output.write(chunks, options["output"], self.stdout)
        if statement.unreconciled:
            raise CommandError("The statement is not the sum of the credits. Run feexpay_verify.")


def _table_chunks(statement: statements.Statement, name: str) -> table_files.Chunks:
    try:
        return table_files.FORMATS[name].chunks(statement_table.table(statement))
    except table_files.ExportError as error:
        raise CommandError(str(error)) from None


def _period(options: dict[str, Any]) -> Period:
    first_day, last_day = options["first_day"], options["last_day"]
    if options["month"] and (first_day or last_day):
        raise CommandError("Give --month, or --from and --to.")
    if bool(first_day) != bool(last_day):
        raise CommandError("Give both --from and --to.")
    try:
        return options["month"] or (Period(first_day, last_day) if first_day else Period.last_month())
    except ValueError as error:
        raise CommandError(str(error)) from None


def _month(text: str) -> Period:
    try:
        return Period.month_of(date.fromisoformat(f"{text}-01"))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a month: write 2026-10") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a date: write 2026-10-01") from None
