"""`manage.py feexpay_trigger EVENT`: a webhook as FeexPay would send it, without a FeexPay or a sandbox running."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_feexpay import sample_webhooks
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.models import Attempt

_MEANINGS = {
    200: "stored: FeexPay is asked next; only its answer settles the payment",
    400: "refused: not a whole JSON object",
    401: "refused: it proves nothing of its sender",
    413: "refused: too large",
}


class Command(BaseCommand):
    help = (
        "Send a webhook as FeexPay would, about a payment of yours, to your own webhook. It moves no money: what a "
        "webhook says is never believed. Exit code 0 when your project answered as it should. --list shows the events."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "event", nargs="?", choices=sorted(sample_webhooks.EVENTS), metavar="EVENT", help="see --list"
        )
        parser.add_argument("--list", action="store_true", dest="listed", help="the events, with what each is for")
        parser.add_argument("--payment", help="id of the payment (default: the newest one FeexPay has a reference for)")
        parser.add_argument("--reference", help="or FeexPay's reference of it")
        parser.add_argument(
            "--url", default="", help="send over HTTP to this address (default: in this process, without a server)"
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
            wrong = [
                one for one in sample_webhooks.deliveries(attempt, options["event"]) if not self._sent(one, options)
            ]
        except sample_webhooks.CannotRehearseError as error:
            raise CommandError(str(error)) from error
        except GatewayError as error:
            raise CommandError(f"Nobody answered at {options['url']}: {error}") from error
        if wrong:
            raise CommandError(f"Your project should have answered {wrong[0].expected[0]}.")

    def _sent(self, delivery: sample_webhooks.Delivery, options: dict[str, Any]) -> bool:
        """Whether the answer was one that a sound project gives."""
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
            raise CommandError(f"{payment!r} is no id of a payment.") from error
    if reference:
        known = known.filter(gateway_reference__iexact=reference)
    found = known.order_by("-created_at", "-ordinal").first()
    if found is None:
        raise CommandError("No such payment with a reference of FeexPay's. Start one first, or see it in the admin.")
    return found
