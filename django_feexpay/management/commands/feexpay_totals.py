"""Bring the daily totals up to date, or count all of them again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_feexpay.payments import daily_totals


class Command(BaseCommand):
    help = (
        "Bring the daily totals of the dashboard up to date, as the background work does each minute. Safe to repeat, "
        "also while payments go on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rebuild", action="store_true", help="count every day again, from the first payment on")

    def handle(self, *args: Any, **options: Any) -> None:
        days = daily_totals.rebuild() if options["rebuild"] else daily_totals.update()
        self.stdout.write(f"{days} days counted")
