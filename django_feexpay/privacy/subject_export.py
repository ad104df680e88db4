"""Everything that the tables hold about a person, as JSON.

Every column of every row is written, encrypted ones decrypted, so a new column is exported without a change here. Only
the members of staff who acted are left out, because they are other persons. The export is written payment by payment,
so a person with many payments needs no more memory.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import QuerySet

from django_feexpay import conf, crypto
from django_feexpay.models import (
    Attempt,
    Checkout,
    Credit,
    Discrepancy,
    Erasure,
    IdempotencyRecord,
    Incident,
    NotificationOptOut,
    OutboxMessage,
    Payment,
    PaymentEvent,
    Payout,
    PayoutEvent,
    Refund,
    ReportFile,
    ReviewProposal,
    StaffAction,
    WebhookDelivery,
)
from django_feexpay.models.fields import Sealed
from django_feexpay.payments import staff_actions
from django_feexpay.privacy.subjects import Subject

Row = dict[str, Any]
Pieces = Generator[bytes, None, None]

#: The tables of a payment, each with the lookup from a row to its payment.
OF_A_PAYMENT: Mapping[type[models.Model], str] = {
    Attempt: "payment",
    PaymentEvent: "payment",
    Credit: "payment",
    Incident: "payment",
    Refund: "payment",
    Payout: "payment",
    PayoutEvent: "payout__payment",
    ReviewProposal: "attempt__payment",
    WebhookDelivery: "attempt__payment",
    OutboxMessage: "payment",
    IdempotencyRecord: "payment",
    Checkout: "payment",
    Discrepancy: "payment",
    StaffAction: "payment",
}
#: Who acted: members of staff, not the person.
_STAFF = frozenset({"actor", "actor_name", "proposed_by", "approved_by", "cancelled_by", "closed_by", "ended_by"})
_AT_ONCE = 200


def pieces(subject: Subject, *, actor: str, source: PaymentEvent.Source, reason: str = "") -> Pieces:
    """One JSON object about a person, in UTF-8, piece by piece. The export is recorded before the first piece.

    `actor`: the primary key of a user, or the name of a command. Changes: StaffAction. Safe to repeat: yes.
    """
    ids = list(subject.payments().order_by("created_at", "pk").values_list("pk", flat=True))
    by: Row = {"by": "user", "user": subject.user_key} if subject.user_key else {"by": "number"}
    action = staff_actions.Action.EXPORT_SUBJECT
    detail = {**by, "payments": len(ids)}
    staff_actions.record(action, actor=actor, source=source, reason=reason, detail=detail)
    yield f'{{"exported_at": {_json(conf.now())}, "person": {_json(_person(subject))}, "payments": ['.encode()
    for number, payment in enumerate(_payments(subject, ids)):
        yield f"{',' if number else ''}\n{_json(payment)}".encode()
    others = {name: [_columns(row) for row in rows] for name, rows in _other_rows(subject).items()}
    yield f"],\n{_json(others)[1:]}\n".encode()


def _person(subject: Subject) -> Row:
    if subject.msisdn is not None:
        return {"number": f"+{subject.msisdn.digits}"}
    users = get_user_model()
    user = users._default_manager.get(pk=subject.user_key)
    return {"user": user.get_username(), "user_id": subject.user_key}


def _payments(subject: Subject, ids: list[UUID]) -> Iterator[Row]:
    """The payments with the rows of the other tables."""
    for start in range(0, len(ids), _AT_ONCE):
        chosen = Payment.objects.in_bulk(ids[start : start + _AT_ONCE])
        belonging = {model: _rows_by_payment(model, way, chosen, subject) for model, way in OF_A_PAYMENT.items()}
        for pk in ids[start : start + _AT_ONCE]:
            rows = {str(model._meta.model_name): by_payment[pk] for model, by_payment in belonging.items()}
            yield _columns(chosen[pk], without_user=subject.msisdn is not None) | rows


def _rows_by_payment(
    model: type[models.Model], way: str, payments: Iterable[Any], subject: Subject
) -> defaultdict[Any, list[Row]]:
    rows: QuerySet[Any] = model._base_manager.filter(**{f"{way}__in": list(payments)}).order_by("pk")
    if model is Attempt and subject.hashes is not None:  # another number may be another person's
        rows = rows.filter(msisdn_hash__in=subject.hashes)
    found = defaultdict(list)
    for row in rows.annotate(of_payment=models.F(way)):
        found[row.of_payment].append(_columns(row, without_user=subject.msisdn is not None))
    return found


def _other_rows(subject: Subject) -> Mapping[str, Iterable[models.Model]]:
    """The rows of the person that belong to no payment."""
    if subject.msisdn is not None:
        return {"prompt_lifts": subject.prompt_lifts()}
    return {
        "notification_opt_outs": NotificationOptOut.objects.filter(user=subject.user_key),
        "report_files": ReportFile.objects.filter(user=subject.user_key),
        "own_actions": StaffAction.objects.filter(actor=subject.user_key).iterator(),
        "erasures": Erasure.objects.filter(user_key=subject.user_key),
    }


def _columns(row: models.Model, *, without_user: bool = False) -> Row:
    """The columns of a row. `without_user`: the owner of a number may not be the owner of the account."""
    left_out = _STAFF | ({"user"} if without_user else frozenset())
    return {
        field.name: _plain(getattr(row, field.attname))
        for field in row._meta.concrete_fields
        if field.name not in left_out
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Sealed):
        try:
            return value.open()
        except crypto.UnreadableError:
            return "its key is no longer in FIELD_KEYS"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | str | dict | list):
        return value
    return str(value)  # ids, decimals


def _json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, indent=1)
