"""Is everything set up, and does everything answer?"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation
from django.utils.translation import gettext as _

from django_feexpay.monitoring.doctor import Mark, examine


class Command(BaseCommand):
    help = (
        "Look at settings, key, database, migrations, worker, clocks, cache, queue, FeexPay and the webhook. "
        "A line each: ✔ good, ✘ with what to do, – not applicable. Ends with 1 when a line is ✘. Shows no secret."
    )
    requires_system_checks = ()  # it tells of them itself

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--webhook-url", default="", help="the address FeexPay was given, to see if it is reached")
        parser.add_argument("--language", choices=("fr", "en"), help="default: LANGUAGE_CODE of the settings")

    def handle(self, *args: Any, **options: Any) -> None:
        with translation.override(options["language"] or settings.LANGUAGE_CODE):
            bad = 0
            for found in examine(options["webhook_url"]):
                bad += found.mark is Mark.BAD
                self.stdout.write(f"{found.mark} {found.subject}: {found.text}")
                if found.advice:
                    self.stdout.write(f"    {found.advice}")
            if bad:
                raise CommandError(_("%d to mend.") % bad)
            self.stdout.write(_("All is well."))
