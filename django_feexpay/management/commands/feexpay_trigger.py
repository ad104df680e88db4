"""`manage.py feexpay_trigger EVENT`: post a sample webhook to the project, without FeexPay or a sandbox."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay import sample_webhooks
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.models import Attempt

_MEANINGS = {
    200: "stored; the worker asks FeexPay next, and only that answer settles the payment",
    400: "refused: the body is not a JSON object",
    401: "refused: the request has no valid proof of its sender",
    413: "refused: the body is too large",
}


class Command(BaseCommand):
    help = (
        "Post a sample webhook about one of your payments to your own webhook address. It moves no money: your project "
        "trusts no webhook and asks FeexPay. Exit code 0 when your project answered correctly. --list: the events."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "event", nargs="?", choices=sorted(sample_webhooks.EVENTS), metavar="EVENT", help="see --list"
        )
        parser.add_argument("--list", action="store_true", dest="listed", help="print the events with what each sends")
        parser.add_argument("--payment", help="id of the payment (default: the newest with a FeexPay reference)")
        parser.add_argument("--reference", help="FeexPay's reference, instead of the id")
        parser.add_argument(
            "--url", default="", help="post over HTTP to this address (default: in this process, without a server)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["listed"]:
            for name, event in sample_webhooks.EVENTS.items():
                self.stdout.write(f"{name:<18} {event.text}")
            return
        if not options["event"]:
            raise CommandError("Which event? feexpay_trigger --list shows them.")
        attempt = _attempt(options["payment"], options["reference"])
        self.stdout.write(f"payment {attempt.payment_id}, reference {attempt.gateway_reference}")
        try:
            sent = sample_webhooks.deliveries(attempt, options["event"])
            wrong = [delivery for delivery in sent if not self._is_answered(delivery, options)]
        except sample_webhooks.CannotSendError as error:
            raise CommandError(str(error)) from error
        except GatewayError as error:
            raise CommandError(f"No answer from {options['url']}: {error}") from error
        if wrong:
            raise CommandError(f"Your project should have answered {wrong[0].expected[0]}.")

    def _is_answered(self, delivery: sample_webhooks.Delivery, options: dict[str, Any]) -> bool:
        """Send it; whether the answer is a correct one."""
        code = sample_webhooks.post(delivery, options["url"])
        self.stdout.write(f"{options['event']}: {code} {_MEANINGS.get(code, 'unexpected')}")
        return code in delivery.expected


def _attempt(payment: str | None, reference: str | None) -> Attempt:
    known = (
        Attempt.objects.select_related("payment").exclude(gateway_reference=None).order_by("-created_at", "-ordinal")
    )
    if payment:
        try:
            known = known.filter(payment_id=UUID(payment))
        except (ValueError, ValidationError) as error:
            raise CommandError(f"{payment!r} is not the id of a payment.") from error
    if reference:
        known = known.filter(gateway_reference__iexact=reference)
    found = known.order_by("-created_at", "-ordinal").first()
    if found is None:
        raise CommandError(
            "No such payment has a FeexPay reference. Start a payment first, or find its id in the admin."
        )
    return found
