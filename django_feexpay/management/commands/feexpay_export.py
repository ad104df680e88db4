"""Export payments to a file: the same table as the API's and the admin's, numbers masked."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from django_feexpay import exports
from django_feexpay.catalogue.money import CURRENCIES
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.lifecycle import PublicStatus, statuses_of
from django_feexpay.models import Payment
from django_feexpay.models.payment import PaymentQuerySet


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
        except exports.ExportError as error:
            raise CommandError(str(error)) from None
        with closing(chunks):
            if options["output"]:
                _replace(Path(options["output"]), chunks)
            else:
                _write(_binary(self.stdout), chunks)


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


def _binary(stdout: Any) -> IO[bytes]:
    stream = getattr(stdout, "_out", stdout)
    binary: IO[bytes] = getattr(stream, "buffer", sys.stdout.buffer)
    return binary


def _write(target: IO[bytes], chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        target.write(chunk)
    target.flush()


def _replace(path: Path, chunks: Iterable[bytes]) -> None:
    """Replace the file only by a complete export, which its owner alone can read."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            _write(file, chunks)
        part.replace(path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
