"""Export payments to a file: the same table as the API's and the admin's, numbers masked."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from django_feexpay import exports
from django_feexpay.catalogue.money import CURRENCIES
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.lifecycle import PublicStatus, statuses_of
from django_feexpay.management import file_output
from django_feexpay.models import Payment
from django_feexpay.models.payment import PaymentQuerySet
from django_feexpay.table_files import ExportError


class Command(BaseCommand):
    help = "Export payments, newest first, as CSV or XLSX. Phone numbers are masked; no cell can be a formula."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=list(exports.FORMATS), default="csv")
        parser.add_argument("--output", help="a file, replaced when the export is complete; default: standard output")
        parser.add_argument("--from", dest="since", type=_instant, help="created at or after: 2026-11-01[T08:00+01:00]")
        parser.add_argument("--to", dest="until", type=_instant, help="created before: 2026-12-01")
        parser.add_argument("--status", choices=[status.value for status in PublicStatus])
        parser.add_argument("--provider", choices=list(CATALOGUE), metavar="CODE")
        parser.add_argument("--currency", choices=list(CURRENCIES), help="of the price")
        parser.add_argument("--user", help="by user name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            chunks = exports.FORMATS[options["format"]].chunks(_chosen(options))
        except ExportError as error:
            raise CommandError(str(error)) from None
        file_output.write(chunks, options["output"], self.stdout)


def _instant(text: str) -> datetime:
    """Read ISO 8601; a time without an offset is in the project's time zone."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if timezone.is_aware(at) else timezone.make_aware(at)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not a date: write 2026-11-01 or 2026-11-01T08:00+01:00") from None


def _chosen(options: dict[str, Any]) -> PaymentQuerySet:
    wanted = {
        "created_at__gte": options["since"],
        "created_at__lt": options["until"],
        "provider": options["provider"],
        "currency": options["currency"],
        "status__in": statuses_of(PublicStatus(options["status"])) if options["status"] else None,
        "user": _user(options["user"]) if options["user"] else None,
    }
    return Payment.objects.filter(**{lookup: value for lookup, value in wanted.items() if value is not None})


def _user(name: str) -> Any:
    users = get_user_model()
    user = users._default_manager.filter(**{users.USERNAME_FIELD: name}).first()
    if user is None:
        raise CommandError(f"There is no user {name!r}.")
    return user
