"""Diagnose the settings, the servers and the project."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_feexpay.monitoring.doctor import Mark, examine


class Command(BaseCommand):
    help = (
        "Check settings, key, database, migrations, worker, receivers, clocks, cache, queue, FeexPay and the webhook. "
        "One line each: ✔ good, ✘ with what to do, – not applicable. Exit code 1 when a line is ✘. Shows no secret."
    )
    requires_system_checks = ()  # it prints their messages itself

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--webhook-url", default="", help="the address that FeexPay has, to check that it answers")
        parser.add_argument("--language", choices=("fr", "en"), help="default: LANGUAGE_CODE of the settings")

    def handle(self, *args: Any, **options: Any) -> None:
        with translation.override(options["language"] or settings.LANGUAGE_CODE):
            problems = 0
            for found in examine(options["webhook_url"]):
                problems += found.mark is Mark.BAD
                self.stdout.write(f"{found.mark} {found.subject}: {found.text}")
                if found.advice:
                    self.stdout.write(f"    {found.advice}")
            if problems:
                raise CommandError(ngettext("%d problem.", "%d problems.", problems) % problems)
            self.stdout.write(_("No problems found."))
