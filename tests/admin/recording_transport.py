"""A transport that records requests and gives the answers that a test sets."""

from __future__ import annotations

import json
from typing import Any

from django_feexpay.gateway.errors import NotSentError
from django_feexpay.gateway.transport import WireReply, WireRequest


class RecordingGateway:
    """Records the collects and the status requests. Its history has no rows.

    `statuses`: FeexPay's status by reference (default PENDING). `charged_amounts`: the charged amount by reference
    (default: the requested amount). `status_requests`: the references whose status was requested. `name` begins each
    reference: two gateways that share a database need two names.
    """

    def __init__(self, name: str = "REF") -> None:
        self.name = name
        self.collects: dict[str, dict[str, Any]] = {}
        self.statuses: dict[str, str] = {}
        self.charged_amounts: dict[str, int] = {}
        self.status_requests: list[str] = []
        self.unreachable = False
        self.refusal = ""
        self.balances: dict[str, str] = {}
        self.balance_count = 0

    def exchange(self, request: WireRequest) -> WireReply:
        if self.unreachable:
            raise NotSentError("connection refused")
        if "/requesttopay/" in request.url:
            return self._collect(json.loads(request.body or b"{}"))
        if request.url.endswith("/history"):
            return _reply(200, {"success": True, "total": 0, "data": []})
        if "/balance/" in request.url:
            self.balance_count += 1
            return _reply(200, {"balances": self.balances})
        return self._status(request.url.rsplit("/", 1)[1])

    def _collect(self, body: dict[str, Any]) -> WireReply:
        if self.refusal:
            return _reply(400, {"message": self.refusal})
        reference = f"{self.name}-{len(self.collects) + 1:04}"
        self.collects[reference] = body
        return _reply(200, {"reference": reference, "status": "PENDING"})

    def _status(self, reference: str) -> WireReply:
        self.status_requests.append(reference)
        body = self.collects[reference]
        answer = {
            "status": self.statuses.get(reference, "PENDING"),
            "reference": reference,
            "amount": self.charged_amounts.get(reference, body["amount"]),
            "callback_info": body["callback_info"],
        }
        return _reply(200, answer)


def _reply(status: int, body: dict[str, Any]) -> WireReply:
    return WireReply(status, {"content-type": "application/json"}, json.dumps(body).encode())
