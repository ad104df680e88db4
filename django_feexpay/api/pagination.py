"""Keyset pages of the history: no row is skipped or repeated, even among rows created at the same instant."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from django_feexpay.models import Payment
from django_feexpay.models.payment import PaymentQuerySet

PAGE_SIZE, LARGEST_PAGE = 20, 100


@dataclass(frozen=True, slots=True)
class Cursor:
    """The row after which a page starts; `backwards` reads towards newer rows."""

    created_at: datetime
    id: UUID
    backwards: bool

    @classmethod
    def parse(cls, text: str) -> Cursor:
        try:
            direction, instant, key = base64.urlsafe_b64decode(text.encode()).decode().split("|")
            # Always UTC: another offset in a forged cursor could overflow `datetime`.
            return cls(datetime.fromisoformat(instant).replace(tzinfo=UTC), UUID(key), direction == "p")
        except ValueError:  # binascii.Error is a ValueError
            raise ValidationError(
                {"cursor": [_("This cursor is not valid. Use `next` or `previous` of an earlier page.")]},
                code="invalid",
            ) from None

    def __str__(self) -> str:
        direction = "p" if self.backwards else "n"
        return base64.urlsafe_b64encode(f"{direction}|{self.created_at.isoformat()}|{self.id}".encode()).decode()


def page(payments: PaymentQuerySet, request: Request) -> tuple[list[Payment], dict[str, Any]]:
    """One page of payments, newest first, and the addresses `next` and `previous`. One statement, no count."""
    size = _size(request)
    text = request.query_params.get("cursor", "")
    cursor = Cursor.parse(text) if text else None
    backwards = cursor is not None and cursor.backwards
    order = ("created_at", "id") if backwards else ("-created_at", "-id")
    if cursor is not None:
        beyond = payments.newer_than if backwards else payments.older_than
        payments = beyond(cursor.created_at, cursor.id)
    rows = list(payments.order_by(*order)[: size + 1])
    more, rows = len(rows) > size, rows[:size]
    if backwards:
        rows.reverse()
    older = more or backwards
    newer = more if backwards else cursor is not None
    return rows, {
        "next": _address(request, rows[-1], backwards=False) if rows and older else None,
        "previous": _address(request, rows[0], backwards=True) if rows and newer else None,
    }


def _address(request: Request, row: Payment, *, backwards: bool) -> str:
    cursor = str(Cursor(row.created_at, row.pk, backwards))
    return replace_query_param(request.build_absolute_uri(), "cursor", cursor)


def _size(request: Request) -> int:
    text = request.query_params.get("page_size", str(PAGE_SIZE))
    if not (re.fullmatch("[0-9]{1,4}", text) and 1 <= int(text) <= LARGEST_PAGE):
        message = _("From 1 to %d.") % LARGEST_PAGE
        raise ValidationError({"page_size": [message]}, code="invalid")
    return int(text)
