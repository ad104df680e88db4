"""The state of the sandbox, in one SQLite file that survives `kill -9`.

It holds payments and payouts, their planned steps, hosted links, history exports, webhook deliveries, changed settings
and counts of calls. Times are seconds since 1970, so that steps and deliveries that came due while the process was down
run at its start. Only the event loop's thread uses it; every change is one transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from django_feexpay.sandbox.networks import Network, network_of
from django_feexpay.sandbox.scenarios import PENDING, SUCCESSFUL, Step

PAYOUT = "PAYOUT_API"

# Raise it with every change of the tables; the store refuses a file of another version.
_SCHEMA_VERSION = 3

START_ANEW = "Delete the file to start with an empty state."

_SCHEMA = """
CREATE TABLE IF NOT EXISTS payments (
    number INTEGER PRIMARY KEY AUTOINCREMENT, reference TEXT NOT NULL UNIQUE, suffix TEXT NOT NULL,
    msisdn TEXT NOT NULL, amount INTEGER NOT NULL, paid_amount INTEGER NOT NULL, status TEXT NOT NULL,
    reason TEXT, prompts INTEGER NOT NULL, odd_status_body INTEGER NOT NULL, echo TEXT,
    details TEXT NOT NULL, created_at REAL NOT NULL, settled_at REAL, kind TEXT NOT NULL,
    waits_for TEXT NOT NULL, custom_id TEXT, link TEXT, echo_is_json INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS payments_by_echo ON payments (echo);
CREATE INDEX IF NOT EXISTS payments_by_custom_id ON payments (custom_id) WHERE custom_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS payments_by_link ON payments (link) WHERE link IS NOT NULL;
CREATE INDEX IF NOT EXISTS payments_by_prompt ON payments (number) WHERE status = 'PENDING' AND prompts > 0;
CREATE TABLE IF NOT EXISTS links (
    code TEXT PRIMARY KEY, amount INTEGER NOT NULL, description TEXT NOT NULL, methods TEXT NOT NULL,
    uses INTEGER NOT NULL, expires_at REAL NOT NULL, active INTEGER NOT NULL, custom_id TEXT,
    success_url TEXT NOT NULL, error_url TEXT NOT NULL, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS exports (
    request_id TEXT PRIMARY KEY, created_at REAL NOT NULL, ready_at REAL NOT NULL, failed INTEGER NOT NULL,
    result TEXT NOT NULL, row_count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS named_values (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS steps (
    id INTEGER PRIMARY KEY, reference TEXT NOT NULL, due_at REAL NOT NULL, status TEXT, reason TEXT,
    webhooks TEXT NOT NULL, short_by INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS steps_by_due ON steps (due_at);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, reference TEXT NOT NULL, status TEXT NOT NULL, body BLOB NOT NULL,
    due_at REAL, attempts INTEGER NOT NULL DEFAULT 0, outcome TEXT NOT NULL DEFAULT '',
    delivered INTEGER NOT NULL DEFAULT 0, signed INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS deliveries_by_due ON deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS deliveries_by_reference ON deliveries (reference);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment or payout.

    `kind`: FeexPay's type. `echo`: its `callback_info`. `prompts`: how often the payer was asked. `details`: names,
    mail, description and return addresses, which the sandbox only sends back. `waits_for`: where the payer decides,
    "phone" or "page"; "otp" until the caller has sent the code; "nothing" for a payout. `link`: the code of its hosted
    link.
    """

    reference: str
    suffix: str
    msisdn: str = field(repr=False)
    amount: int
    paid_amount: int = 0
    status: str = PENDING
    reason: str | None = None
    prompts: int = 0
    odd_status_body: bool = False
    echo: str | None = None
    details: dict[str, str] = field(repr=False)
    created_at: float
    kind: str = "PAYMENT_API"
    waits_for: str = "phone"
    custom_id: str | None = None
    link: str | None = None
    echo_is_json: bool = False
    settled_at: float | None = None
    number: int = 0

    @property
    def network(self) -> Network:
        return network_of(self.suffix)

    @property
    def is_payout(self) -> bool:
        return self.kind == PAYOUT

    @property
    def charged(self) -> bool:
        """Whether a payer paid. A payout charges no payer."""
        return self.status == SUCCESSFUL and not self.is_payout


@dataclass(frozen=True, slots=True)
class Link:
    """A hosted page. `methods`: FeexPay's `paymentMethod`. `uses`: how often it may be paid, 0 for no limit."""

    code: str
    amount: int
    description: str
    methods: str
    uses: int
    expires_at: float
    active: bool
    custom_id: str | None
    success_url: str = field(repr=False)
    error_url: str = field(repr=False)
    created_at: float


@dataclass(frozen=True, slots=True)
class Export:
    """One asynchronous history; `result` is the JSON of its rows."""

    request_id: str
    created_at: float
    ready_at: float
    failed: bool
    result: str = field(repr=False)
    row_count: int


@dataclass(frozen=True, slots=True)
class DueStep:
    id: int
    reference: str
    step: Step


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook. `due_at`: None once delivered, given up or lost. `outcome`: of the last attempt."""

    id: int
    reference: str
    status: str
    body: bytes = field(repr=False)
    due_at: float | None
    attempts: int
    outcome: str
    delivered: bool
    signed: bool


class Store:
    """The state file at `path`, created if missing; "" is a temporary one.

    Raises sqlite3.DatabaseError when the file cannot be used.
    """

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = _read_row
        # A killed process loses nothing. A power cut may lose the last transactions, which is acceptable in a sandbox.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        if self._value("SELECT COUNT(*) FROM sqlite_master") and self._value("PRAGMA user_version") != _SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"another version of the sandbox wrote it. {START_ANEW}")
        self._connection.executescript(_SCHEMA)
        self._connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def reset(self) -> None:
        with self.transaction():
            for table in ("payments", "steps", "deliveries", "links", "exports", "counts"):
                self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 -- names from the line above

    def _value(self, query: str, *values: object) -> Any:
        """The first column of the first row, or None."""
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else next(iter(row.values()))

    def _insert(self, table: str, values: dict[str, object]) -> None:
        names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
        self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", values)  # noqa: S608 -- names of our own fields

    # payments

    def add_payment(self, payment: Payment) -> None:
        values = asdict(payment) | {"details": json.dumps(payment.details)}
        del values["number"]
        self._insert("payments", values)

    def payment(self, reference: str) -> Payment | None:
        return next(iter(self._payments("WHERE reference = ?", reference)), None)

    def payments(self, echo: str | None = None) -> list[Payment]:
        """Newest first; with `echo`, those with exactly this `callback_info` or, on a hosted link, `custom_id`."""
        if echo is None:
            return self._payments("")
        return self._payments("WHERE echo = ? OR custom_id = ?", echo, echo)

    def newest_payments(self, count: int) -> list[Payment]:
        return self._payments("", limit=count)

    def payments_before(self, number: int, count: int) -> list[Payment]:
        """At most `count` payments older than this number, newest first."""
        return self._payments("WHERE number < ?", number, limit=count)

    def payments_after(self, number: int, count: int) -> list[Payment]:
        """The `count` payments or fewer that follow this number, newest first."""
        return self._payments("WHERE number > ?", number, limit=count, oldest=True)[::-1]

    def payment_count(self, after: int = 0) -> int:
        """How many payments are newer than this number."""
        return int(self._value("SELECT COUNT(*) FROM payments WHERE number > ?", after))

    def prompts(self, count: int, after: int = 0) -> list[Payment]:
        """At most `count` pending payments that wait for the payer's decision and follow this number, oldest first."""
        return self._payments(
            "WHERE status = 'PENDING' AND prompts > 0 AND number > ?", after, limit=count, oldest=True
        )

    def prompt_count(self, after: int = 0) -> int:
        """How many prompts follow this number."""
        waiting = "SELECT COUNT(*) FROM payments WHERE status = 'PENDING' AND prompts > 0 AND number > ?"
        return int(self._value(waiting, after))

    def write_status(self, reference: str, status: str, reason: str | None, paid_amount: int, now: float) -> None:
        self._connection.execute(
            "UPDATE payments SET status = ?, reason = ?, paid_amount = ?, settled_at = ? WHERE reference = ?",
            (status, reason, paid_amount, None if status == PENDING else now, reference),
        )

    def waiting_for_otp(self, suffix: str, msisdn: str, amount: int, echo: str | None) -> Payment | None:
        """The newest payment that waits for the code of this second request."""
        found = self._payments(
            "WHERE waits_for = 'otp' AND status = 'PENDING' AND suffix = ? AND msisdn = ? AND amount = ? AND echo IS ?",
            *(suffix, msisdn, amount, echo),
        )
        return next(iter(found), None)

    def accept_otp(self, reference: str) -> None:
        self._connection.execute("UPDATE payments SET waits_for = 'phone' WHERE reference = ?", (reference,))

    def created_between(self, start: float, end: float) -> list[Payment]:
        return self._payments("WHERE created_at BETWEEN ? AND ?", start, end)

    def balances(self) -> dict[str, int]:
        """Payments minus payouts of each network, by suffix. A payout counts unless it failed."""
        rows = self._connection.execute(
            "SELECT suffix, SUM(CASE WHEN kind = 'PAYOUT_API' THEN -amount ELSE paid_amount END) AS total"
            " FROM payments WHERE status = 'SUCCESSFUL' OR (kind = 'PAYOUT_API' AND status = 'PENDING')"
            " GROUP BY suffix"
        )
        return {row["suffix"]: row["total"] for row in rows}

    def is_duplicate(self, suffix: str, msisdn: str, amount: int, since: float) -> bool:
        """Whether the same number was asked for the same amount since then."""
        found = self._payments(
            "WHERE suffix = ? AND msisdn = ? AND amount = ? AND created_at >= ? AND kind != 'PAYOUT_API'",
            *(suffix, msisdn, amount, since),
        )
        return bool(found)

    def _payments(self, where: str, *values: object, limit: int = -1, oldest: bool = False) -> list[Payment]:
        """Newest first, or oldest first; `limit` -1 for all."""
        order = f"ORDER BY number {'ASC' if oldest else 'DESC'} LIMIT {limit:d}"
        rows = self._connection.execute(f"SELECT * FROM payments {where} {order}", values)  # noqa: S608 -- `where` is a literal of this file
        return [Payment(**row) for row in rows]

    # links

    def add_link(self, link: Link) -> None:
        self._insert("links", asdict(link))

    def link(self, code: str) -> Link | None:
        row = self._connection.execute("SELECT * FROM links WHERE code = ?", (code,)).fetchone()
        return None if row is None else Link(**row)

    def links(self) -> list[Link]:
        """Newest first."""
        return [Link(**row) for row in self._connection.execute("SELECT * FROM links ORDER BY created_at DESC, code")]

    def end_link(self, code: str, now: float) -> None:
        self._connection.execute("UPDATE links SET expires_at = ? WHERE code = ?", (now, code))

    def switch_link(self, code: str, *, active: bool) -> None:
        self._connection.execute("UPDATE links SET active = ? WHERE code = ?", (active, code))

    def uses_of(self, code: str) -> int:
        """How many payments on a link are successful or pending."""
        counted = "SELECT COUNT(*) FROM payments WHERE link = ? AND status IN ('PENDING', 'SUCCESSFUL')"
        return int(self._value(counted, code))

    # exports of the history

    def add_export(self, export: Export) -> None:
        self._insert("exports", asdict(export))

    def export(self, request_id: str) -> Export | None:
        row = self._connection.execute("SELECT * FROM exports WHERE request_id = ?", (request_id,)).fetchone()
        return None if row is None else Export(**row)

    # values and counts by name

    def write_value(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO named_values VALUES (?, ?)", (name, value))

    def read_value(self, name: str) -> str:
        return self._value("SELECT value FROM named_values WHERE name = ?", name) or ""

    def count(self, name: str) -> int:
        """Count one more call of this name; the new count."""
        add_one = "INSERT INTO counts VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count"
        return int(self._value(add_one, name))

    # steps

    def add_step(self, reference: str, due_at: float, step: Step) -> None:
        values = asdict(step) | {"webhooks": json.dumps(step.webhooks), "reference": reference, "due_at": due_at}
        del values["after_seconds"]
        self._insert("steps", values)

    def due_steps(self, now: float) -> list[DueStep]:
        rows = self._connection.execute("SELECT * FROM steps WHERE due_at <= ? ORDER BY due_at, id", (now,))
        names = ("status", "reason", "webhooks", "short_by")
        return [DueStep(row["id"], row["reference"], Step(0.0, *(row[name] for name in names))) for row in rows]

    def drop_step(self, step_id: int) -> None:
        self._connection.execute("DELETE FROM steps WHERE id = ?", (step_id,))

    def drop_steps_of(self, reference: str) -> None:
        self._connection.execute("DELETE FROM steps WHERE reference = ?", (reference,))

    # deliveries

    def add_delivery(
        self, reference: str, status: str, body: bytes, due_at: float | None, *, outcome: str = "", signed: bool = True
    ) -> None:
        """`reference`: its payment, even if the body names another. Without `due_at` it is never sent."""
        values: dict[str, object] = {"reference": reference, "status": status, "body": body, "due_at": due_at}
        self._insert("deliveries", values | {"outcome": outcome, "signed": signed})

    def due_deliveries(self, now: float) -> list[Delivery]:
        return self._deliveries("WHERE due_at <= ? ORDER BY due_at, id", now)

    def deliveries_of(self, reference: str) -> list[Delivery]:
        return self._deliveries("WHERE reference = ? ORDER BY id", reference)

    def deliveries_by_payment(self, references: list[str]) -> dict[str, list[Delivery]]:
        """The webhooks of each of these payments, oldest first; a payment without any is left out."""
        found: dict[str, list[Delivery]] = {}
        where = "WHERE reference IN (SELECT value FROM json_each(?)) ORDER BY id"
        for delivery in self._deliveries(where, json.dumps(references)):
            found.setdefault(delivery.reference, []).append(delivery)
        return found

    def begin_attempt(self, delivery_id: int) -> None:
        """Count the attempt. The row stays due until the attempt ends, so a killed process delivers it again."""
        self._connection.execute("UPDATE deliveries SET attempts = attempts + 1 WHERE id = ?", (delivery_id,))

    def end_attempt(self, delivery_id: int, outcome: str, delivered: bool, due_again_at: float | None) -> None:
        self._connection.execute(
            "UPDATE deliveries SET outcome = ?, delivered = ?, due_at = ? WHERE id = ?",
            (outcome, delivered, due_again_at, delivery_id),
        )

    def _deliveries(self, where: str, *values: object) -> list[Delivery]:
        rows = self._connection.execute(f"SELECT * FROM deliveries {where}", values)  # noqa: S608 -- `where` is a literal of this file
        return [Delivery(**row) for row in rows]

    def next_due_at(self, under_way: Collection[int]) -> float | None:
        """When the next step or delivery is due, without the deliveries `under_way`; None when there is none."""
        due_at: float | None = self._value(
            "SELECT MIN(due_at) FROM (SELECT due_at FROM steps UNION ALL SELECT due_at FROM deliveries"
            " WHERE due_at IS NOT NULL AND id NOT IN (SELECT value FROM json_each(?)))",
            json.dumps(list(under_way)),
        )
        return due_at


_READERS: dict[str, Callable[[Any], object]] = {
    **dict.fromkeys(("odd_status_body", "echo_is_json", "active", "failed", "delivered", "signed"), bool),
    "details": json.loads,
    "webhooks": lambda text: tuple(json.loads(text)),
}


def _read_row(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    """A row by column name. SQLite keeps a boolean as 0 or 1; details and webhooks are JSON."""
    names = [column[0] for column in cursor.description]
    return {name: _READERS[name](value) if name in _READERS else value for name, value in zip(names, row, strict=True)}
