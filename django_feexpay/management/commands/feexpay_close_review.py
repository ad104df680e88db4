"""Close a payment under review by a person's decision."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay import log_context
from django_feexpay.catalogue import money
from django_feexpay.management import actors
from django_feexpay.models import Attempt, Credit, Payment, ReviewDecision
from django_feexpay.payments import reviews
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source

REFUSED = 1
#: The admin asks for both.
PERMISSIONS = ("feexpay.view_payment", "feexpay.close_review")


class Command(BaseCommand):
    help = (
        "Close a payment under review: credit the amount that FeexPay took (credit_taken), credit the amount asked "
        "for (credit_price), or record that nothing was taken (not_paid). The command asks FeexPay first; the answer "
        "may forbid the decision or settle the payment. Exit code 0: closed, or proposed where a second person must "
        "approve; 1: refused, with the reason, and nothing changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("payment", metavar="ID", type=UUID, help="the payment's id")
        parser.add_argument("--decision", required=True, choices=ReviewDecision.values)
        parser.add_argument("--reason", required=True, metavar="TEXT", help="kept for ever; no name, no phone number")
        parser.add_argument(
            "--actor",
            required=True,
            metavar="USERNAME",
            help="a user with the permissions view_payment and close_review",
        )
        parser.add_argument("--approve", action="store_true", help="approve what another person proposed")

    @log_context.entry_point(log_context.COMMAND)
    def handle(self, *args: Any, **options: Any) -> None:
        payment_id = options["payment"]
        if not Payment.objects.filter(pk=payment_id).exists():
            raise CommandError(f"there is no payment {payment_id}", returncode=REFUSED)
        actor = actors.primary_key_of(options["actor"], permissions=PERMISSIONS)
        try:
            closing = reviews.close(
                payment_id,
                options["decision"],
                reason=options["reason"],
                actor=actor,
                source=Source.COMMAND,
                approve=options["approve"],
            )
        except NotAllowedError as refusal:
            raise CommandError(str(refusal), returncode=REFUSED) from refusal
        self.stdout.write(_outcome(closing))


def _outcome(closing: reviews.Closing) -> str:
    payment, attempt = closing.payment, closing.attempt
    about = f"payment {payment.pk}, attempt {attempt.ordinal}"
    if closing.proposal is not None:
        return f"{about}: {closing.proposal.decision} is proposed; a second person closes it with --approve"
    return f"{about}: {attempt.status}, {_credited(attempt)}"


def _credited(attempt: Attempt) -> str:
    credit = Credit.objects.filter(payment=attempt.payment_id).first()
    if credit is None:
        return "nothing credited"
    if credit.attempt_id != attempt.pk:
        return "the payment was credited before: see its incidents"
    return f"credited {money.show(credit.amount, credit.currency)}"
