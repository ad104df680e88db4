"""FeexPay in memory. It knows which payers were prompted and charged.

It is fast enough for thousands of steps. It can lose an answer, contradict itself and forget a payment. It uses
FeexPay's bodies, so every test with it also tests how the gateway package reads them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django_feexpay.gateway.errors import NotSentError, OutcomeUnknownError
from django_feexpay.gateway.transport import WireReply, WireRequest

PENDING, SUCCESSFUL, FAILED = "PENDING", "SUCCESSFUL", "FAILED"


@dataclass
class Charge:
    """One request to pay as FeexPay stores it. `lies` replaces fields of its status answer, never of history.

    `was_taken`: the payer's money was taken, even if it was returned since. `made_at`: a date as in history.
    """

    reference: str
    echo: str
    msisdn: str
    amount: int
    status: str = PENDING
    reason: str | None = None
    refused: bool = False
    refused_without_charge: bool = False
    custom_id: str | None = None
    code: str = ""
    lies: dict[str, Any] = field(default_factory=dict)
    was_taken: bool = False
    wire_name: str = "MTN"
    made_at: str = ""

    @property
    def attempt_id(self) -> str:
        """Our attempt's id, from a collect or from the request for a page."""
        return self.echo or self.custom_id or ""

    def truth(self) -> dict[str, Any]:
        return {
            "reference": self.reference,
            "amount": self.amount,
            "phoneNumber": self.msisdn,
            "status": self.status,
            "callback_info": self.echo,
            "reason": self.reason,
        }

    def row(self) -> dict[str, Any]:
        """Its row in history, the only answer that has the `custom_id` of a page."""
        return self.truth() | {"reseau": self.wire_name, "date": self.made_at, "custom_id": self.custom_id}

    def body(self) -> dict[str, Any]:
        return self.truth() | self.lies

    def approve(self) -> None:
        self.status, self.reason, self.was_taken = SUCCESSFUL, None, True

    def decline(self) -> None:
        self.status, self.reason = FAILED, "APPROVAL_REJECTED"

    def reverse(self, word: str = FAILED) -> None:
        """FeexPay returns the money to the payer."""
        self.status = word


class ModelGateway:
    """A transport to this FeexPay. Each collect takes one answer from `next_collects`, then all succeed."""

    def __init__(self) -> None:
        self.charges: list[Charge] = []
        self.next_collects: list[Callable[[Charge], WireReply]] = []
        self.pages: list[dict[str, Any]] = []
        self.next_pages: list[Callable[[str], WireReply]] = []
        self.reads_unanswered = False
        self.history_total: object = None
        self.leaves_out_total = False
        self.questions = 0
        self.lock = threading.RLock()  # an answer may run the worker

    def exchange(self, request: WireRequest) -> WireReply:
        with self.lock:
            if "/requesttopay/" in request.url:
                return self._collect(json.loads(request.body or b""))
            if request.url.endswith("/feexlinks/generate"):
                return self._open_page(json.loads(request.body or b""))
            self.questions += 1
            if self.reads_unanswered:
                raise OutcomeUnknownError("no answer")
            if "/single/status/" in request.url:
                return self._status(request.url.rsplit("/", 1)[1])
            if request.url.endswith("/history"):
                return self._history(json.loads(request.body or b""))
            return reply(200, {"balances": {"MTN": 100}})

    def last(self) -> Charge:
        return self.charges[-1]

    def of(self, echo: object) -> list[Charge]:
        """The charges of one attempt."""
        return [charge for charge in self.charges if charge.echo == str(echo)]

    def paid(self) -> list[Charge]:
        return [charge for charge in self.charges if charge.status == SUCCESSFUL]

    def forget(self, charge: Charge) -> None:
        self.charges.remove(charge)

    def pay_on_page(self, page: int = -1, **facts: Any) -> Charge:
        """A payer enters a card on an opened page; approve or decline it afterwards."""
        asked = self.pages[page]
        reference = f"card-{len(self.charges) + 1:04d}"
        charge = Charge(reference, "", "", asked["amount"], **{"custom_id": asked["custom_id"], **facts})
        self.charges.append(charge)
        return charge

    def charge_again(self, charge: Charge, reference: str, **facts: Any) -> Charge:
        """FeexPay charges the same attempt once more, under another reference."""
        second = replace(charge, reference=reference, status=SUCCESSFUL, was_taken=True, lies={}, **facts)
        self.charges.append(second)
        return second

    def _open_page(self, body: dict[str, Any]) -> WireReply:
        self.pages.append(body)
        answer = self.next_pages.pop(0) if self.next_pages else show_page
        return answer(self.page_url(len(self.pages) - 1))

    def page_url(self, page: int) -> str:
        """The address of the page with this index."""
        return f"https://link.example/page{page + 1:04d}/coins"

    def _collect(self, body: dict[str, Any]) -> WireReply:
        charge = Charge(
            reference=f"ref-{len(self.charges) + 1:04d}",
            echo=body["callback_info"],
            msisdn=body["phoneNumber"],
            amount=body["amount"],
            code=body.get("otp", ""),
        )
        answer = self.next_collects.pop(0) if self.next_collects else accept
        self.charges.append(charge)
        try:
            return answer(charge)
        except NotSentError:
            charge.refused_without_charge = True
            raise
        finally:
            if charge.refused_without_charge:
                self.charges.remove(charge)

    def _status(self, reference: str) -> WireReply:
        for charge in self.charges:
            if charge.reference == reference:
                return reply(200, charge.body())
        return reply(404, {"statusCode": 404, "message": "Transaction not found", "code": "NOT_FOUND"})

    def _history(self, question: dict[str, Any]) -> WireReply:
        """Every row, whatever the question."""
        rows = [charge.row() for charge in self.charges]
        total = len(rows) if self.history_total is None else self.history_total
        counted = {} if self.leaves_out_total else {"total": total}
        return reply(200, {"success": True, "data": rows} | counted)


def show_page(url: str) -> WireReply:
    return reply(201, {"urlPay": url, "paymentMethod": "CARD"})


def lose_the_page(url: str) -> WireReply:
    """The page is opened, and the answer is lost."""
    raise OutcomeUnknownError("the connection was cut")


def refuse_the_page(code: str, status: int = 400, message: str = "") -> Callable[[str], WireReply]:
    return lambda url: reply(status, {"statusCode": status, "message": message or code, "code": code})


# --- answers to a collect -----------------------------------------------------------------------------


def accept(charge: Charge) -> WireReply:
    return reply(202, {"reference": charge.reference, "status": charge.status, "message": "Accepted"})


def accept_as(reference: str, **more: Any) -> Callable[[Charge], WireReply]:
    """Accept with a chosen reference, status or page; the charge gets that reference."""

    def answer(charge: Charge) -> WireReply:
        charge.reference = reference
        return reply(202, {"reference": reference, "status": PENDING} | more)

    return answer


def lose_the_answer(charge: Charge) -> WireReply:
    """The payer is prompted, and the answer is lost."""
    raise OutcomeUnknownError("the connection was cut")


def cannot_reach(charge: Charge) -> WireReply:
    """The request never leaves this machine."""
    raise NotSentError("connection refused")


def refuse(code: str = "PAYER_NOT_FOUND", status: int = 400) -> Callable[[Charge], WireReply]:
    def answer(charge: Charge) -> WireReply:
        charge.status, charge.reason, charge.refused = FAILED, code, True
        return reply(status, {"statusCode": status, "message": code, "code": code})

    return answer


def answer_429(seconds: int) -> Callable[[Charge], WireReply]:
    """Answer 429 without reading the request."""
    body = {"statusCode": 429, "code": "RATE_LIMIT_EXCEEDED", "message": "slow down"}
    return refuse_without_charge(429, body, {"retry-after": str(seconds)})


def refuse_without_charge(
    status: int, body: object, headers: dict[str, str] | None = None
) -> Callable[[Charge], WireReply]:
    """Answer with an error, without prompting the payer."""

    def answer(charge: Charge) -> WireReply:
        charge.refused_without_charge = True
        return reply(status, body, headers)

    return answer


def charge_and_answer(status: int, body: Mapping[str, Any], *, names_it: bool) -> Callable[[Charge], WireReply]:
    """Prompt the payer and answer with an error, with or without the payment's reference and status."""

    def answer(charge: Charge) -> WireReply:
        named = {"reference": charge.reference, "status": charge.status} if names_it else {}
        return reply(status, {"statusCode": status} | body | named)

    return answer


def reply(status: int, body: object, headers: dict[str, str] | None = None) -> WireReply:
    return WireReply(status, {"content-type": "application/json"} | (headers or {}), json.dumps(body).encode())
