"""A lying FeexPay: its answers to requests, its statuses and its history may differ from what it took.

Each payment has its own amount, which identifies it, and its own plan of lies. `charges` is the truth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django_feexpay.gateway.errors import OutcomeUnknownError
from django_feexpay.gateway.transport import WireReply, WireRequest
from tests.payments.fake_gateway import reply
from tests.payments.fake_history import is_wanted
from tests.payments.fakes import Clock


@dataclass(frozen=True)
class Plan:
    """How FeexPay lies about one payment. `paid_after_seconds`: when its payer approves; None: never.

    `charged_twice`: FeexPay takes the money twice for one request. `reversed_later`: it returns the money later.
    """

    request: str = "accepted"
    status: str = "true"
    history: str = "true"
    paid_after_seconds: int | None = 2
    charged_twice: bool = False
    reversed_later: bool = False


@dataclass(frozen=True)
class TrueCharge:
    """The true state of one request at FeexPay."""

    reference: str
    echo: str
    msisdn: str
    amount: int
    made_at: datetime
    plan: Plan

    def status_at(self, now: datetime) -> str:
        after = self.plan.paid_after_seconds
        if after is None:
            return "FAILED"
        if now < self.made_at + timedelta(seconds=after):
            return "PENDING"
        is_back = self.plan.reversed_later and now >= self.made_at + timedelta(hours=6)
        return "FAILED" if is_back else "SUCCESSFUL"

    def was_taken(self, now: datetime) -> bool:
        """Whether the payer's money was taken, even if it was returned since."""
        after = self.plan.paid_after_seconds
        return after is not None and now >= self.made_at + timedelta(seconds=after)

    def truth(self, now: datetime) -> dict[str, Any]:
        return {
            "reference": self.reference,
            "amount": self.amount,
            "phoneNumber": self.msisdn,
            "status": self.status_at(now),
            "callback_info": self.echo,
        }


Answer = Callable[[TrueCharge], WireReply]
Row = dict[str, Any]


def _lose(taken: TrueCharge) -> WireReply:
    raise OutcomeUnknownError("the connection was cut")


def _error(http_status: int, code: str, **more: Any) -> Answer:
    body = {"statusCode": http_status, "message": code, "code": code}
    return lambda taken: reply(http_status, {**body, **{name: value(taken) for name, value in more.items()}})


def _raw(status: int, text: str) -> Answer:
    return lambda taken: WireReply(status, {}, text.replace("REFERENCE", taken.reference).encode())


def _reference(taken: TrueCharge) -> str:
    return taken.reference


#: FeexPay's answers to a collect request.
REQUESTS: Mapping[str, Answer] = {
    "accepted": lambda taken: reply(202, {"reference": taken.reference, "status": "PENDING"}),
    "upper-case reference": lambda taken: reply(202, {"reference": taken.reference.upper(), "status": "PENDING"}),
    "failed word": lambda taken: reply(202, {"reference": taken.reference, "status": "FAILED"}),
    "successful word": lambda taken: reply(200, {"reference": taken.reference, "status": "SUCCESSFUL"}),
    "cut": _lose,
    "429": _error(429, "RATE_LIMIT_EXCEEDED"),
    "429 with a reference": _error(429, "RATE_LIMIT_EXCEEDED", reference=_reference),
    "429 with a status": _error(429, "RATE_LIMIT_EXCEEDED", status=lambda taken: "SUCCESSFUL"),
    "400": _error(400, "Bad Request"),
    "400 with a reference": _error(400, "Bad Request", reference=_reference),
    "404": _error(404, "Not Found"),
    "409": _error(409, "ERR_DUPLICATE_TRANSACTION"),
    "500": _error(500, "Internal server error"),
    "503 unavailable": _error(503, "NETWORK_UNAVAILABLE"),
    "502 in HTML": _raw(502, "<html>Bad gateway</html>"),
    "cut body": _raw(200, '{"reference": "REFERENCE", "status": "PEND'),
    "empty body": _raw(200, ""),
    "key twice": _raw(202, '{"reference": "other", "reference": "REFERENCE", "status": "PENDING"}'),
}

#: Statuses, derived from the truth.
STATUSES: Mapping[str, Callable[[Row], WireReply]] = {
    "true": lambda row: reply(200, row),
    "one unit less": lambda row: reply(200, row | {"amount": row["amount"] - 1}),
    "no amount": lambda row: reply(200, {name: row[name] for name in row if name != "amount"}),
    "no echo": lambda row: reply(200, row | {"callback_info": None}),
    "another echo": lambda row: reply(200, row | {"callback_info": "another"}),
    "another reference": lambda row: reply(200, row | {"reference": "another"}),
    "another number": lambda row: reply(200, row | {"phoneNumber": "2290161000099"}),
    "unknown word": lambda row: reply(200, row | {"status": "ON HOLD"}),
    "pending for ever": lambda row: reply(200, row | {"status": "PENDING"}),
    "failed": lambda row: reply(200, row | {"status": "FAILED"}),
    "missing": lambda row: reply(404, {"statusCode": 404, "message": "Transaction not found", "code": "NOT_FOUND"}),
    "in HTML": lambda row: WireReply(200, {}, b"<html>Welcome</html>"),
    "server error": lambda row: reply(500, {"statusCode": 500, "message": "Internal server error"}),
}

#: History rows, derived from the truth; None: no row.
HISTORIES: Mapping[str, Callable[[Row], Row | None]] = {
    "true": lambda row: row,
    "no echo": lambda row: row | {"callback_info": None},
    "upper-case echo": lambda row: row | {"callback_info": row["callback_info"].upper()},
    "one unit less": lambda row: row | {"amount": row["amount"] - 1},
    "failed": lambda row: row | {"status": "FAILED"},
    "pending": lambda row: row | {"status": "PENDING"},
    "left out": lambda row: None,
}


class LyingGateway:
    """A transport to this gateway. `honest` ends all lies; `history` is how the whole history lies."""

    def __init__(self, clock: Clock, plans: Mapping[int, Plan]) -> None:
        self.clock = clock
        self.plans = dict(plans)
        self.charges: list[TrueCharge] = []
        self.history = "whole"
        self.honest = False

    def exchange(self, request: WireRequest) -> WireReply:
        if "/requesttopay/" in request.url:
            return self._collect(json.loads(request.body or b""))
        if "/single/status/" in request.url:
            return self._status(request.url.rsplit("/", 1)[1])
        if request.url.endswith("/history"):
            return self._history(json.loads(request.body or b""))
        return reply(200, {"balances": {"MTN": 100}})

    def of(self, attempt_id: object) -> list[TrueCharge]:
        return [taken for taken in self.charges if taken.echo == str(attempt_id)]

    def taken(self) -> list[TrueCharge]:
        return [taken for taken in self.charges if taken.was_taken(self.clock.at)]

    def shows(self, taken: TrueCharge) -> bool:
        """Whether the history says that the payment's money was taken."""
        row = HISTORIES[taken.plan.history](taken.truth(self.clock.at))
        return self.history != "unavailable" and row is not None and row["status"] == "SUCCESSFUL"

    def _collect(self, body: dict[str, Any]) -> WireReply:
        plan = self.plans[body["amount"]]
        number = f"{len(self.charges) + 1:04d}"
        taken = TrueCharge(
            f"ref-{number}", body["callback_info"], body["phoneNumber"], body["amount"], self.clock.at, plan
        )
        self.charges.append(taken)
        if plan.charged_twice:
            self.charges.append(replace(taken, reference=f"ref-{number}-again", made_at=self.clock.at))
        return REQUESTS[plan.request](taken)

    def _status(self, reference: str) -> WireReply:
        for taken in self.charges:
            if taken.reference.casefold() == reference.casefold():
                return STATUSES["true" if self.honest else taken.plan.status](taken.truth(self.clock.at))
        return STATUSES["missing"]({})

    def _history(self, question: dict[str, Any]) -> WireReply:
        if self.history == "unavailable" and not self.honest:
            raise OutcomeUnknownError("unavailable")
        rows = [row for row in self._rows() if is_wanted(row, question)]
        left_out = 1 if rows and self.history == "cut short" and not self.honest else 0
        return reply(200, {"success": True, "total": len(rows) + left_out, "data": rows})

    def _rows(self) -> Iterator[Row]:
        for taken in self.charges:
            date = f"{taken.made_at.date().isoformat()}T{taken.made_at:%H:%M:%S}.000Z"
            truth = taken.truth(self.clock.at)
            row = truth | {"phone_number": truth.pop("phoneNumber"), "reseau": "MTN", "date": date}
            told = row if self.honest else HISTORIES[taken.plan.history](row)
            if told is not None:
                yield told
