"""Chain the events, credits and staff actions that an earlier release wrote."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_feexpay import log_context
from django_feexpay.management import actors
from django_feexpay.payments import staff_actions
from django_feexpay.payments.audit import older_rows
from django_feexpay.payments.ledger import Source

_REPORT_EVERY_SECONDS = 10.0


class Command(BaseCommand):
    help = (
        "Chain the history that a release without chains wrote, once after the upgrade, while payments go on. "
        "It makes later changes of these rows visible; it proves nothing about the time before. "
        "If it is stopped, run it again: it goes on where it stopped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--actor", metavar="NAME", help="the member of staff who runs it; default: the command itself"
        )

    @log_context.entry_point(log_context.COMMAND)
    def handle(self, *args: Any, **options: Any) -> None:
        name = options["actor"]
        actor = "feexpay_chain_history" if name is None else actors.primary_key_of(name)
        done, reported_at = older_rows.Chained(), time.monotonic()
        for done in older_rows.chain_older_rows():
            if time.monotonic() - reported_at > _REPORT_EVERY_SECONDS:
                reported_at = time.monotonic()
                self.stdout.write(f"… {done.payments} payments, {done.actions} staff actions")
        if not done:
            self.stdout.write("Nothing to do: every row is in its chain.")
            return
        detail = {"payments": done.payments, "events": done.events, "actions": done.actions}
        staff_actions.record(staff_actions.Action.CHAIN_HISTORY, actor=actor, source=Source.COMMAND, detail=detail)
        self.stdout.write(
            f"Chained {done.events} events of {done.payments} payments, and {done.actions} staff actions."
            " Nothing is proved about them before now."
        )
