"""Everything the sandbox remembers, in one SQLite file: it survives `kill -9` and its own restart.

Three tables: payments, the steps still to come for them, and the webhook deliveries. Times are wall-clock
seconds since 1970, so that what was due while the process was down is due at once when it is back.
Used from one thread (the event loop's); every change is one transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django_feexpay.sandbox import rules
from django_feexpay.sandbox.networks import BY_SUFFIX, Network

_SCHEMA = """
CREATE TABLE IF NOT EXISTS payments (
    number INTEGER PRIMARY KEY AUTOINCREMENT, reference TEXT NOT NULL UNIQUE, suffix TEXT NOT NULL,
    msisdn TEXT NOT NULL, amount INTEGER NOT NULL, paid_amount INTEGER NOT NULL, status TEXT NOT NULL,
    reason TEXT, prompts INTEGER NOT NULL, odd_status_body INTEGER NOT NULL, echo TEXT,
    details TEXT NOT NULL, created_at REAL NOT NULL, settled_at REAL);
CREATE INDEX IF NOT EXISTS payments_by_echo ON payments (echo);
CREATE TABLE IF NOT EXISTS steps (
    id INTEGER PRIMARY KEY, reference TEXT NOT NULL, due_at REAL NOT NULL, status TEXT, reason TEXT,
    webhooks TEXT NOT NULL, short_by INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS steps_by_due ON steps (due_at);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, reference TEXT NOT NULL, status TEXT NOT NULL, body BLOB NOT NULL,
    due_at REAL, attempts INTEGER NOT NULL DEFAULT 0, outcome TEXT NOT NULL DEFAULT '',
    delivered INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS deliveries_by_due ON deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS deliveries_by_reference ON deliveries (reference);
"""


@dataclass(frozen=True, slots=True)
class Payment:
    """One accepted request to collect. `echo` is its `callback_info`; `prompts` counts how often the phone
    was asked; `details` are the caller's names, mail and description, only ever echoed."""

    reference: str
    suffix: str
    msisdn: str = field(repr=False)
    amount: int
    paid_amount: int
    status: str
    reason: str | None
    prompts: int
    odd_status_body: bool
    echo: str | None
    details: dict[str, str] = field(repr=False)
    created_at: float
    settled_at: float | None = None
    number: int = 0

    @property
    def network(self) -> Network:
        return BY_SUFFIX[self.suffix]

    @property
    def charged(self) -> bool:
        return self.status == rules.SUCCESSFUL


@dataclass(frozen=True, slots=True)
class DueStep:
    id: int
    reference: str
    step: rules.Step


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook: `due_at` is None once delivered or given up; `outcome` is how the last attempt went."""

    id: int
    reference: str
    status: str
    body: bytes = field(repr=False)
    due_at: float | None
    attempts: int
    outcome: str
    delivered: bool


class Store:
    """The state file at `path`, made when it is missing."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        # A killed process loses nothing; only a power cut may lose the last moment, which a sandbox bears.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)

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
            for table in ("payments", "steps", "deliveries"):
                self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 -- names from the line above

    # payments

    def add_payment(self, payment: Payment) -> None:
        self._connection.execute(
            "INSERT INTO payments (reference, suffix, msisdn, amount, paid_amount, status, reason, prompts,"
            " odd_status_body, echo, details, created_at, settled_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                payment.reference,
                payment.suffix,
                payment.msisdn,
                payment.amount,
                payment.paid_amount,
                payment.status,
                payment.reason,
                payment.prompts,
                payment.odd_status_body,
                payment.echo,
                json.dumps(payment.details),
                payment.created_at,
                payment.settled_at,
            ),
        )

    def payment(self, reference: str) -> Payment | None:
        return next(iter(self._payments("WHERE reference = ?", reference)), None)

    def payments(self, echo: str | None = None) -> list[Payment]:
        """Newest first; with `echo`, those that carry exactly this `callback_info`."""
        if echo is None:
            return self._payments("")
        return self._payments("WHERE echo = ?", echo)

    def prompts(self) -> list[Payment]:
        """What the phone is asking right now, oldest first."""
        return self._payments("WHERE status = 'PENDING' AND prompts > 0")[::-1]

    def created_between(self, start: float, end: float) -> list[Payment]:
        return self._payments("WHERE created_at BETWEEN ? AND ?", start, end)

    def balances(self) -> dict[str, int]:
        """What was paid on each network that was ever paid on, by suffix."""
        rows = self._connection.execute(
            "SELECT suffix, SUM(paid_amount) AS total FROM payments WHERE status = 'SUCCESSFUL' GROUP BY suffix"
        )
        return {row["suffix"]: row["total"] for row in rows}

    def settle(self, payment: Payment, step: rules.Step, now: float) -> None:
        paid_amount = payment.amount - step.short_by if step.status == rules.SUCCESSFUL else 0
        self._connection.execute(
            "UPDATE payments SET status = ?, reason = ?, paid_amount = ?, settled_at = ? WHERE reference = ?",
            (step.status, step.reason, paid_amount, now, payment.reference),
        )

    def _payments(self, where: str, *values: object) -> list[Payment]:
        rows = self._connection.execute(f"SELECT * FROM payments {where} ORDER BY number DESC", values)  # noqa: S608 -- `where` is a literal of this file
        return [_payment(row) for row in rows]

    # steps

    def add_step(self, reference: str, due_at: float, step: rules.Step) -> None:
        self._connection.execute(
            "INSERT INTO steps (reference, due_at, status, reason, webhooks, short_by) VALUES (?, ?, ?, ?, ?, ?)",
            (reference, due_at, step.status, step.reason, json.dumps(step.webhooks), step.short_by),
        )

    def due_steps(self, now: float) -> list[DueStep]:
        rows = self._connection.execute("SELECT * FROM steps WHERE due_at <= ? ORDER BY due_at, id", (now,))
        return [
            DueStep(
                row["id"],
                row["reference"],
                rules.Step(0.0, row["status"], row["reason"], tuple(json.loads(row["webhooks"])), row["short_by"]),
            )
            for row in rows
        ]

    def drop_step(self, step_id: int) -> None:
        self._connection.execute("DELETE FROM steps WHERE id = ?", (step_id,))

    def drop_steps_of(self, reference: str) -> None:
        self._connection.execute("DELETE FROM steps WHERE reference = ?", (reference,))

    # deliveries

    def add_delivery(self, reference: str, status: str, body: bytes, due_at: float) -> None:
        self._connection.execute(
            "INSERT INTO deliveries (reference, status, body, due_at) VALUES (?, ?, ?, ?)",
            (reference, status, body, due_at),
        )

    def due_deliveries(self, now: float) -> list[Delivery]:
        return self._deliveries("WHERE due_at <= ? ORDER BY due_at, id", now)

    def deliveries_of(self, reference: str) -> list[Delivery]:
        return self._deliveries("WHERE reference = ? ORDER BY id", reference)

    def begin_attempt(self, delivery_id: int) -> None:
        """It stays due until the attempt ended: a process killed on the way delivers once more after it."""
        self._connection.execute("UPDATE deliveries SET attempts = attempts + 1 WHERE id = ?", (delivery_id,))

    def end_attempt(self, delivery_id: int, outcome: str, delivered: bool, due_again_at: float | None) -> None:
        self._connection.execute(
            "UPDATE deliveries SET outcome = ?, delivered = ?, due_at = ? WHERE id = ?",
            (outcome, delivered, due_again_at, delivery_id),
        )

    def _deliveries(self, where: str, *values: object) -> list[Delivery]:
        rows = self._connection.execute(f"SELECT * FROM deliveries {where}", values)  # noqa: S608 -- `where` is a literal of this file
        return [Delivery(**{**dict(row), "delivered": bool(row["delivered"])}) for row in rows]

    def next_due_at(self, under_way: Collection[int]) -> float | None:
        """When the next step, or delivery that is not `under_way`, is due; None when nothing is to come."""
        row = self._connection.execute(
            "SELECT MIN(due_at) FROM (SELECT due_at FROM steps UNION ALL SELECT due_at FROM deliveries"
            " WHERE due_at IS NOT NULL AND id NOT IN (SELECT value FROM json_each(?)))",
            (json.dumps(list(under_way)),),
        ).fetchone()
        due_at: float | None = row[0]
        return due_at


def _payment(row: sqlite3.Row) -> Payment:
    values = dict(row)
    values["details"] = json.loads(values["details"])
    values["odd_status_body"] = bool(values["odd_status_body"])
    return Payment(**values)
