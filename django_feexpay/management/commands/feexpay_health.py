"""The health of the payments for process managers and for people."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from django_feexpay import conf
from django_feexpay.monitoring import facts, health
from django_feexpay.monitoring.measurements import Measurements

_EXIT_CODES = {health.Health.OK: 0, health.Health.DEGRADED: 1, health.Health.DOWN: 2}


class Command(BaseCommand):
    help = (
        "Say whether payments work. `report` (the default) prints each health fact in trouble with what to do and ends "
        "with 0 (ok), 1 (degraded) or 2 (down). `live`: 0 if a background process sent a heartbeat lately. `ready`: 0 "
        "if a web process could serve payers: the database answers and has all migrations."
    )
    requires_system_checks = ()  # it runs every few seconds

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", nargs="?", choices=("report", "live", "ready"), default="report")

    def handle(self, *args: Any, **options: Any) -> None:
        {"report": self._report, "live": self._live, "ready": self._ready}[options["what"]]()

    def _report(self) -> None:
        report = health.check()
        for component, word in report.components.items():
            self.stdout.write(f"{component}: {word}")
        for trouble in report.troubles:
            self.stdout.write(f"✘ {trouble.fact.name}: {trouble.headline}\n    {trouble.fact.advice}")
        self._end(str(report.status), _EXIT_CODES[report.status])

    def _live(self) -> None:
        fact = facts.BY_NAME["worker_silent"]
        try:
            silence = Measurements(conf.now()).worker_silence()[""]
        except DatabaseError:
            # A worker waits for its database by itself: a restart would not help.
            self._end("unknown: the database does not answer", 0)
            return
        is_silent = fact.is_trouble(silence)
        self._end(f"last heartbeat: {facts.shown_value(silence, fact.unit)}", 1 if is_silent else 0)

    def _ready(self) -> None:
        readiness = health.readiness()
        words = ", ".join(f"{name}: {word}" for name, word in readiness.checks.items())
        self._end(words, 0 if readiness.is_ready else 1)

    def _end(self, words: str, code: int) -> None:
        """End with this code. Raises: CommandError if it is not 0."""
        if code:
            raise CommandError(words, returncode=code)
        self.stdout.write(words)
