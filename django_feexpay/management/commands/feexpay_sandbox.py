"""`manage.py feexpay_sandbox`: a local imitation of FeexPay, in the foreground until it is stopped."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_feexpay.conf import feexpay
from django_feexpay.sandbox import cli


class Command(BaseCommand):
    help = "Run a local imitation of FeexPay: its API, its webhooks, and the payer's phone as a page."
    # The sandbox uses neither the project's models nor its database.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        cli.add_arguments(parser)

    def handle(self, *args: Any, **values: Any) -> None:
        if not feexpay.sandbox_allowed:
            raise CommandError(
                "The sandbox does not run in production: anyone who reaches it can mark payments as paid."
                ' On a test server set FEEXPAY["ENVIRONMENT"] to "staging".'
            )
        try:
            cli.run(cli.read_options(values))
        except (ValueError, RuntimeError) as error:
            raise CommandError(str(error)) from error
