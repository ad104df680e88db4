"""Copies of a year of made-up payments by SQL: a million payments in minutes, where one by one takes twenty.

Each copy has its own players, phone numbers, references, orders and ids, and lies a minute before the copy before it.
So no rule of `feexpay_verify` is broken. The rows of all copies are written in the order of their time, as a real
database has them. PostgreSQL only, on a database that holds nothing but `feexpay_demo_data`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, models, transaction
from shop.demo_data import making
from shop.models import CoinEntry

from django_feexpay.models import (
    Attempt,
    Comparison,
    Credit,
    Discrepancy,
    Finding,
    IdempotencyRecord,
    Incident,
    OutboxMessage,
    Payment,
    PaymentEvent,
    Refund,
    StaffAction,
    WebhookDelivery,
)
from django_feexpay.payments import daily_totals

_PREPARE = """
SET LOCAL session_replication_role = replica; -- no check of foreign keys row by row
SET LOCAL work_mem = '256MB';
CREATE FUNCTION pg_temp.copied(text, bigint) RETURNS text IMMUTABLE LANGUAGE sql
    AS $$ SELECT CASE WHEN $1 = '' THEN '' ELSE md5($1 || $2)::uuid::text END $$;
CREATE FUNCTION pg_temp.copied_hash(text, bigint) RETURNS text IMMUTABLE LANGUAGE sql
    AS $$ SELECT CASE WHEN $1 = '' THEN '' ELSE encode(sha256(($1 || $2)::bytea), 'hex') END $$;
"""
#: Events get their ids in the order of their time; a credit names its event.
_NUMBER_EVENTS = """
CREATE TEMPORARY TABLE copied_event ON COMMIT DROP AS
    SELECT copy AS of_copy, old, nextval(pg_get_serial_sequence('feexpay_paymentevent', 'id')) AS new
    FROM (SELECT copy, t.id AS old FROM feexpay_paymentevent t, generate_series(1, %(copies)s) AS copy
          ORDER BY {created_at}, t.id) AS events;
CREATE INDEX ON copied_event (old, of_copy);
ANALYZE copied_event
"""
_EVERY_COUNT = ("question_count", "row_count", "compared_count", "found_count", "settled_count", "open_count")

_EARLIER = "interval '67 seconds' * copy"
#: The times of what the worker does next are not moved back: it would be overdue.
_NOT_MOVED = ("next_poll_at", "next_delivery_at")
#: Text columns that hold an id or a reference.
_REFERENCES = ("gateway_reference", "credited_reference", "idempotency_key", "key", "echo")
_HASHES = ("msisdn_hash", "dedupe_key")


def multiply(copies: int) -> None:
    """Write `copies` copies of the made-up payments, count the daily totals again and gather statistics.

    Changes: all ledgers, User, CoinEntry, DailyTotal. Safe to repeat: no.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_PREPARE)
        copied = _Copied(copies)
        cursor.execute(_NUMBER_EVENTS.format(created_at=f"t.created_at - {_EARLIER}"), {"copies": copies})
        for statement in copied.statements():
            cursor.execute(statement, {"copies": copies})
    daily_totals.rebuild()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


class _Copied:
    """The statements that copy each table. `t` is the row to copy, `copy` the number of the copy."""

    def __init__(self, copies: int) -> None:
        self._copies = copies
        self._players = making.made_by_us().order_by().values_list("user", flat=True).distinct()
        self._payments = Payment.objects.count()
        #: The offset of the ids of a copy. The ids of other models come from their sequence.
        self._offsets: Mapping[Any, int] = {
            model: _highest_id(model) for model in (User, Incident, Refund, Discrepancy, StaffAction)
        }

    def statements(self) -> Iterable[str]:
        players = f"t.id IN ({', '.join(str(pk) for pk in self._players)})"
        yield self._copy(User, "t.id", where=players)
        yield self._copy(Payment, "t.created_at")
        yield self._copy(Attempt, "t.created_at")
        yield self._copy(PaymentEvent, "event.new", events="t.id")
        yield self._copy(Credit, "t.created_at", events="t.event_id")
        yield self._copy(IdempotencyRecord, "t.created_at")
        yield self._copy(WebhookDelivery, "t.received_at")
        yield self._copy(OutboxMessage, "t.created_at")
        yield self._copy(CoinEntry, "t.created_at")
        yield self._copy(Incident, "t.id")
        yield self._copy(Refund, "t.id")
        yield self._copy(Discrepancy, "t.id")
        yield self._copy(Finding, "t.id")
        yield self._copy(StaffAction, "t.id", where="t.payment_id IS NOT NULL")
        counts = ", ".join(f"{name} = {name} * {self._copies + 1}" for name in (*_EVERY_COUNT, "at_stake_count"))
        yield f"UPDATE {Comparison._meta.db_table} SET {counts}"  # noqa: S608 -- our own names
        for model in self._offsets:
            table = model._meta.db_table
            yield f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"  # noqa: S608 -- our own names

    def _copy(self, model: type[models.Model], order: str, *, where: str = "true", events: str = "") -> str:
        values = {field.column: value for field in model._meta.concrete_fields if (value := self._value(model, field))}
        join = f"JOIN copied_event event ON event.old = {events} AND event.of_copy = copy" if events else ""
        earlier = f" - {_EARLIER}" if order.endswith("_at") else ""
        return (
            f"INSERT INTO {model._meta.db_table} ({', '.join(values)}) SELECT "  # noqa: S608 -- our own columns
            f"{', '.join(values.values())}"
            f" FROM {model._meta.db_table} t CROSS JOIN generate_series(1, %(copies)s) AS copy {join}"
            f" WHERE {where} ORDER BY {order}{earlier}"
        )

    def _value(self, model: type[models.Model], field: Any) -> str:
        """The SQL of a column of the copy; "" for an id that the sequence gives."""
        column, target = f"t.{field.column}", field.related_model or model
        if special := self._special(model, field.name):
            return special
        if target is PaymentEvent and (field.primary_key or field.is_relation):
            return "event.new"
        if target in self._offsets and (field.primary_key or field.is_relation):
            return f"{column} + copy * {self._offsets[target]}"
        if isinstance(field.target_field if field.is_relation else field, models.UUIDField):
            return f"pg_temp.copied({column}::text, copy)::uuid"
        if field.primary_key:
            return ""
        if isinstance(field, models.DateTimeField) and field.name not in _NOT_MOVED:
            return f"{column} - {_EARLIER}"
        if field.name in _REFERENCES:
            return f"pg_temp.copied({column}, copy)"
        return f"pg_temp.copied_hash({column}, copy)" if field.name in _HASHES else column

    def _special(self, model: type[models.Model], name: str) -> str:
        incident, refund = (
            f"(split_part(t.target, ':', 2)::bigint + copy * {self._offsets[each]})" for each in (Incident, Refund)
        )
        return {
            (User, "username"): "t.username || '.' || copy",
            (User, "email"): "'copy-' || copy || '.' || t.email",
            (Payment, "merchant_reference"): (
                f"'CMD-' || lpad((substr(t.merchant_reference, 5)::int + copy * {self._payments})::text, 7, '0')"
            ),
            (PaymentEvent, "actor"): (
                "CASE WHEN t.source = 'api' AND t.actor <> ''"
                f" THEN (t.actor::bigint + copy * {self._offsets[User]})::text ELSE t.actor END"
            ),
            (PaymentEvent, "evidence"): _with_copied("t.evidence", "reference"),
            (WebhookDelivery, "body"): _with_copied("t.body", "reference"),
            (IdempotencyRecord, "answer_body"): _with_copied("t.answer_body", "id"),
            (Discrepancy, "identity"): "t.kind || ':' || pg_temp.copied(split_part(t.identity, ':', 2), copy)",
            (StaffAction, "position"): "NULL",  # the copies are in no chain, and NULL says so
            (StaffAction, "key_id"): "''",
            (StaffAction, "hash"): "''",
            (StaffAction, "target"): (
                "split_part(t.target, ':', 1) || ':' || CASE split_part(t.target, ':', 1)"
                " WHEN 'payment' THEN pg_temp.copied(split_part(t.target, ':', 2), copy)"
                f" WHEN 'incident' THEN {incident}::text WHEN 'refund' THEN {refund}::text"
                " ELSE split_part(t.target, ':', 2) END"
            ),
        }.get((model, name), "")


def _with_copied(column: str, key: str) -> str:
    """The JSON of a column, with the copied reference under `key`."""
    copied = f"to_jsonb(pg_temp.copied({column}->>'{key}', copy))"
    return f"CASE WHEN {column}->>'{key}' IS NULL THEN {column} ELSE jsonb_set({column}, '{{{key}}}', {copied}) END"


def _highest_id(model: type[models.Model]) -> int:
    highest: int = model._default_manager.aggregate(highest=models.Max("pk", default=0))["highest"]
    return highest
