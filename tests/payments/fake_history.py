"""FeexPay's history as a list of rows, filtered by days, status and provider, at most 500 rows an answer."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django_feexpay.gateway.errors import OutcomeUnknownError
from django_feexpay.gateway.transport import Transport, WireReply, WireRequest
from tests.payments.fake_gateway import reply

MAX_ROWS = 500


class FakeHistory:
    """A transport that answers history itself and passes all other requests on.

    `requests`: the history requests as (first day, last day, status, provider). `total_counts_all`: if False, `total`
    counts only the returned rows. `fails_after`: it stops answering after that many requests.
    """

    def __init__(self, inner: Transport) -> None:
        self.inner = inner
        self.rows: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, str, str]] = []
        self.total_counts_all = True
        self.fails_after: int | None = None
        self.most_rows = MAX_ROWS

    def exchange(self, request: WireRequest) -> WireReply:
        if not request.url.endswith("/transactions/history"):
            return self.inner.exchange(request)
        question = json.loads(request.body or b"")
        self.requests.append(tuple(question[name] for name in ("start_date", "end_date", "status", "reseau")))  # type: ignore[arg-type]
        if self.fails_after is not None and len(self.requests) > self.fails_after:
            raise OutcomeUnknownError("no answer")
        found = [row for row in self.rows if is_wanted(row, question)]
        shown = found[: self.most_rows]
        return reply(200, {"success": True, "total": len(found if self.total_counts_all else shown), "data": shown})

    def add(self, day: str, count: int = 1, **changes: Any) -> None:
        """Add payments of other payers in the same shop, unless `changes` say otherwise."""
        for number in range(count):
            self.rows.append(row(f"{day}-{len(self.rows)}-{number}", day, **changes))


def row(reference: str, day: str | datetime, **changes: Any) -> dict[str, Any]:
    date = day if isinstance(day, str) else day.date().isoformat()
    return {
        "reference": reference,
        "type": "PAYMENT_API",
        "status": "SUCCESSFUL",
        "amount": 100,
        "reseau": "MTN",
        "phone_number": "2290161000050",
        "callback_info": {},
        "date": f"{date}T10:00:00.000Z",
    } | changes


def is_wanted(row: dict[str, Any], question: dict[str, Any]) -> bool:
    """Whether a row is of the days, the status and the provider of a history request."""
    return (
        question["start_date"] <= row["date"][:10] <= question["end_date"]
        and question["status"] in ("ALL", row.get("status"))
        and question["reseau"] in ("ALL", row["reseau"])
    )
