"""`manage.py feexpay_demo_data [--payments N] [--seed N] [--add]`: write a year of made-up payments."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_feexpay.conf import feexpay
from django_feexpay.models import Payment
from shop.demo_data import making

_FEWEST = 50


class Command(BaseCommand):
    help = (
        "Fill the database with a year of made-up payments: all providers, failures, reviews, double charges, refunds."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--payments", type=int, default=50_000, metavar="N", help="how many (default: 50000)")
        parser.add_argument("--seed", type=int, default=1, help="another seed makes other payments (default: 1)")
        parser.add_argument(
            "--add", action="store_true", help="add them to a database that holds payments of other origin"
        )

    def handle(self, *args: Any, payments: int, seed: int, add: bool, **options: Any) -> None:
        if not feexpay.sandbox_allowed:
            raise CommandError(
                "Made-up payments do not belong into production: they would stand among real money."
                ' On a test server set FEEXPAY["ENVIRONMENT"] to "staging".'
            )
        if payments < _FEWEST:
            raise CommandError(f"At least {_FEWEST} payments, so that each kind comes up.")
        if count := making.made_by_us().count():
            self.stdout.write(
                f"Nothing added: {count} made-up payments are here already."
                " For others, run this on an empty database (make demo: delete the folder .demo first)."
            )
            return
        if not add and Payment.objects.exists():
            raise CommandError(
                "The database holds payments that this command did not make. --add adds the made-up ones beside them;"
                " nothing takes them out again."
            )
        begun = time.monotonic()
        making.make(payments, seed, self._report)
        self.stdout.write(
            f"{payments} payments in {time.monotonic() - begun:.0f} s. Check them: manage.py feexpay_verify"
        )

    def _report(self, written: int) -> None:
        if written % 10_000 == 0:
            self.stdout.write(f"{written} payments written")
