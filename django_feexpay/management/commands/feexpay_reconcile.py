"""Compare a period with FeexPay's history."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay import conf, log_context
from django_feexpay.gateway.errors import MisconfiguredError
from django_feexpay.lifecycle import Status
from django_feexpay.management.stop_signals import stop_by_signal
from django_feexpay.models import Attempt, Comparison, Discrepancy, Payout, PayoutState
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import find_unsent
from django_feexpay.payments.reconciliation.run import begin, compare

OPEN, USAGE, INCOMPLETE, REFUSED, STOPPED = 1, 2, 3, 4, 130

_COUNTS = (
    *("row_count", "compared_count", "foreign_count", "unproven_count", "gap_count"),
    *("found_count", "settled_count", "open_count", "at_stake_count", "question_count"),
)


class Command(BaseCommand):
    help = (
        "Compare the attempts of a period with FeexPay's history, ask FeexPay about each difference, and store the "
        "result for the admin. Days are UTC. Exit code 0: all agrees; 1: differences are left open; 2: wrong "
        "arguments; 3: nothing open, but the history has gaps; 4: FeexPay refuses the key; 130: stopped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="first", metavar="YYYY-MM-DD", help="first day (default: two days ago)")
        parser.add_argument("--to", dest="last", metavar="YYYY-MM-DD", help="last day, included (default: yesterday)")
        parser.add_argument(
            "--unsent",
            action="store_true",
            help="instead: search for the attempts that wait to be sent; after a restore, before the workers start",
        )
        parser.add_argument("--report-only", action="store_true", help="do not ask FeexPay and change no payment")
        parser.add_argument(
            "--json", action="store_true", help="one JSON object per difference, then one for the comparison"
        )

    @log_context.entry_point(log_context.COMMAND)
    def handle(self, *args: Any, **options: Any) -> None:
        if options["unsent"]:
            self._find_unsent()
            return
        comparison = self._begin(options["first"], options["last"])
        write = self._write_json if options["json"] else self._write
        try:
            with stop_by_signal() as stop:
                compare(
                    comparison,
                    source=Source.COMMAND,
                    repair=not options["report_only"],
                    stop=stop.is_set,
                    watch=write,
                )
        except MisconfiguredError as error:
            raise CommandError(f"FeexPay refuses to answer us: {error.code}", returncode=REFUSED) from error
        self._write_summary(comparison, as_json=options["json"])
        self._set_exit_code(comparison)

    def _find_unsent(self) -> None:
        """Adopt the attempts that FeexPay has already, though the rows of a restored database say that they wait."""
        waiting = list(
            Attempt.objects.filter(status=Status.CREATED).order_by("created_at").values_list("pk", flat=True)
        )
        answers = [find_unsent(pk, source=Source.COMMAND) for pk in waiting]
        sent, unsent, unanswered = (answers.count(answer) for answer in (True, False, None))
        self.stdout.write(
            f"{len(waiting)} attempts wait to be sent: FeexPay has {sent} of them already, {unsent} it does not have, "
            f"{unanswered} are not known"
        )
        for payout in Payout.objects.filter(state=PayoutState.CREATED).order_by("created_at"):
            self.stdout.write(f"payout {payout.pk} waits to be sent: look for it in FeexPay's dashboard first")
        if unanswered:
            raise CommandError("the history has gaps, or FeexPay did not answer", returncode=INCOMPLETE)

    def _begin(self, first: str | None, last: str | None) -> Comparison:
        yesterday = conf.now().date() - timedelta(days=1)
        last_day = _day("--to", last) or yesterday
        first_day = _day("--from", first) or min(last_day, yesterday - timedelta(days=1))
        try:
            return begin(first_day, last_day)
        except ValueError as error:
            raise CommandError(f"{first_day} to {last_day}: {error}", returncode=USAGE) from error

    def _write(self, row: Discrepancy) -> None:
        ours = f"{row.our_status} {row.our_amount}" if row.attempt_id else "nothing"
        theirs = f"{row.their_word} {row.their_amount}" if row.their_word else "nothing"
        about = f"attempt {row.attempt_id}" if row.attempt_id else f"id {row.echo}"
        stake = " MONEY AT STAKE" if row.money_at_stake and row.state == Discrepancy.State.OPEN else ""
        asked = f", {row.outcome}" if row.outcome else ""
        self.stdout.write(
            f"{row.kind} {about}, reference {row.gateway_reference or 'none'}: here {ours}, at FeexPay {theirs}"
            f" → {row.state}{asked}{stake}"
        )

    def _write_json(self, row: Discrepancy) -> None:
        facts = {
            "kind": row.kind,
            "payment": row.payment_id and str(row.payment_id),
            "attempt": row.attempt_id and str(row.attempt_id),
            "reference": row.gateway_reference,
            "echo": row.echo,
            "our_status": row.our_status,
            "our_amount": row.our_amount,
            "their_status": row.their_word,
            "their_amount": row.their_amount,
            "currency": row.currency,
            "money_at_stake": row.money_at_stake,
            "state": row.state,
            "asking": row.outcome,
        }
        self.stdout.write(json.dumps(facts))

    def _write_summary(self, row: Comparison, *, as_json: bool) -> None:
        if as_json:
            counts = {name.removesuffix("_count"): getattr(row, name) for name in _COUNTS}
            days = {"from": row.first_day.isoformat(), "to": row.last_day.isoformat()}
            self.stdout.write(
                json.dumps({"comparison": row.pk, "state": row.state, **days, **counts, "gaps": row.gaps})
            )
            return
        self.stdout.write(f"comparison {row.pk}, {row.first_day} to {row.last_day} (UTC): {row.state}")
        self.stdout.write(
            f"{row.row_count} rows of FeexPay's history: {row.compared_count} attempts of ours, "
            f"{row.foreign_count} of other systems of this shop; questions to FeexPay: {row.question_count}"
        )
        self.stdout.write(
            f"{row.found_count} differences: {row.settled_count} settled by FeexPay's answer, {row.open_count} open, "
            f"{row.at_stake_count} of them with money at stake"
        )
        if row.gap_count:
            self.stdout.write(
                f"incomplete: {row.gap_count} gaps in the history; {row.unproven_count} attempts may be inside them"
            )
            for gap in row.gaps:
                self.stdout.write("  gap " + ", ".join(f"{name} {value}" for name, value in gap.items()))

    def _set_exit_code(self, row: Comparison) -> None:
        if row.state == Comparison.State.STOPPED:
            raise CommandError("stopped; settled payments stay settled. Run it again.", returncode=STOPPED)
        if row.open_count:
            raise CommandError(f"{row.open_count} differences are open: see the admin", returncode=OPEN)
        if row.gap_count:
            raise CommandError("the history has gaps", returncode=INCOMPLETE)


def _day(option: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{option}: {text!r} is not a day: write YYYY-MM-DD", returncode=USAGE) from error
