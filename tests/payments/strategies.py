"""Hypothesis strategies: requests to pay, and FeexPay's answers (true, late, lost, final, malformed)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from django_feexpay.gateway.errors import OutcomeUnknownError
from django_feexpay.gateway.transport import WireReply, WireRequest
from tests.payments.fake_gateway import (
    FAILED,
    PENDING,
    Charge,
    ModelGateway,
    accept,
    answer_429,
    cannot_reach,
    charge_and_answer,
    lose_the_answer,
    lose_the_page,
    refuse,
    refuse_the_page,
    refuse_without_charge,
    reply,
    show_page,
)

Answer = Callable[[Charge], WireReply]


class FaultyGateway(ModelGateway):
    """A gateway with faulty answers: each read takes one answer from `next_reads` first."""

    def __init__(self) -> None:
        super().__init__()
        self.next_reads: list[WireReply] = []

    def exchange(self, request: WireRequest) -> WireReply:
        asks = request.method == "GET" or request.url.endswith("/history")
        if asks and self.next_reads:
            return self.next_reads.pop(0)
        return super().exchange(request)


@dataclass(frozen=True)
class RequestCase:
    """A request to pay. `order`: its fields. `steps`: the code comes in a second request. `hosted`: paid on a page."""

    order: Mapping[str, Any]
    hosted: bool = False
    steps: bool = False
    another_phone: str = "0161000051"


REQUEST_CASES: Mapping[str, RequestCase] = {
    "push": RequestCase({"provider": "mtn_bj", "phone": "0161000050"}),
    "synchronous": RequestCase({"provider": "moov_bj", "phone": "0161000050"}),
    "code at once": RequestCase(
        {"provider": "orange_bf", "phone": "07000050", "otp": "314159"}, another_phone="07000051"
    ),
    "code later": RequestCase({"provider": "coris_bj", "phone": "0161000050"}, steps=True),
    "redirect": RequestCase({"provider": "wave_ci", "phone": "0700000050"}, another_phone="0700000051"),
    "card": RequestCase({"provider": "visa"}, hosted=True, another_phone=""),
    "euros": RequestCase({"provider": "mtn_bj", "phone": "0161000050", "amount": 1000, "currency": "EUR"}),
    "dollars": RequestCase({"provider": "mtn_bj", "phone": "0161000050", "amount": 1000, "currency": "USD"}),
}

RATES = {"USD": "605.25"}


# --- answers to a request that moves money ------------------------------------------------------------


def settle_at_once(charge: Charge) -> WireReply:
    """A final status in the answer: a quick payer, or a synchronous provider."""
    charge.approve()
    return reply(200, {"reference": charge.reference, "status": charge.status})


def fail_at_once(charge: Charge) -> WireReply:
    charge.decline()
    return reply(202, {"reference": charge.reference, "status": FAILED, "reason": {"code": ["92"]}})


def show_a_page(charge: Charge) -> WireReply:
    url = f"https://wave.example/{charge.reference}"
    return reply(202, {"reference": charge.reference, "status": PENDING, "payment_url": url})


def answer_with(answer: WireReply) -> Answer:
    """The payer is prompted, and this is the whole answer."""
    return lambda charge: answer


MALFORMED = [
    WireReply(200, {}, b""),
    WireReply(200, {"content-type": "text/html"}, b"<html>Bad gateway</html>"),
    WireReply(502, {"content-type": "text/html"}, b"<html>Bad gateway</html>"),
    WireReply(200, {}, b'{"reference": "ref-0001", "status": "SUCC'),
    WireReply(200, {}, b'[{"status": "SUCCESSFUL"}]'),
    WireReply(200, {}, b'{"status": NaN}'),
    WireReply(200, {}, b'{"status": "PENDING", "status": "SUCCESSFUL"}'),
    WireReply(429, {}, b'{"statusCode": 429, "code": "RATE_LIMIT_EXCEEDED"}'),
    WireReply(200, {}, b"\xff\xfe\x00"),
    WireReply(500, {}, b'{"statusCode": 500, "message": "Internal server error"}'),
    reply(200, {"status": "success", "message": "ok"}),
    reply(200, {"status": ["SUCCESSFUL"], "reference": {"id": 1}, "amount": "five thousand"}),
    reply(200, {"success": True, "total": "many", "data": [None, 7, {"status": {}}, "?"]}),
]

ANSWERS: Mapping[str, Answer] = {
    "accepted": accept,
    "page": show_a_page,
    "final": settle_at_once,
    "final failure": fail_at_once,
    "lost": lose_the_answer,
    "not sent": cannot_reach,
    "refused": refuse(),
    "429": answer_429(30),
    "429, charged": charge_and_answer(429, {"code": "RATE_LIMIT_EXCEEDED"}, names_it=False),
    "429, named": charge_and_answer(429, {"code": "RATE_LIMIT_EXCEEDED"}, names_it=True),
    "maintenance": refuse_without_charge(
        503, {"statusCode": 503, "code": "NETWORK_UNAVAILABLE", "message": "maintenance"}
    ),
    "maintenance, charged": charge_and_answer(503, {"code": "NETWORK_UNAVAILABLE"}, names_it=False),
    "bad request": refuse_without_charge(400, {"statusCode": 400, "message": "Bad Request"}),
    "bad request, charged": charge_and_answer(400, {"message": "Bad Request"}, names_it=False),
    "refused, named": charge_and_answer(400, {"message": "PAYER_NOT_FOUND"}, names_it=True),
    "keys twice": answer_with(WireReply(202, {}, b'{"reference": "a", "reference": "b", "status": "PENDING"}')),
    "garbled": answer_with(MALFORMED[1]),
    "bad gateway": answer_with(MALFORMED[2]),
    "truncated": answer_with(MALFORMED[3]),
}

PAGES: Mapping[str, Callable[[str], WireReply]] = {
    "shown": show_page,
    "lost": lose_the_page,
    "refused": refuse_the_page("ERR_INVALID_AMOUNT"),
    "garbled": lambda url: MALFORMED[1],
}

_words = st.sampled_from(["PENDING", "ON HOLD", "", None, 7, "success", {"a": 1}])
_values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.lists(st.integers(), max_size=2))
_bodies = st.fixed_dictionaries(
    {"status": _words}, optional=dict.fromkeys(("reference", "amount", "callback_info", "data", "total"), _values)
)

#: Answers that prove neither a success nor a failure.
malformed_answers = st.one_of(
    st.sampled_from(MALFORMED),
    st.binary(max_size=40).map(lambda raw: WireReply(200, {}, raw)),
    _bodies.map(lambda body: reply(200, body)),
)


# --- answers to a code --------------------------------------------------------------------------------


@dataclass
class Codes:
    """Answers to a code for the payment that waits for it; one of the two requests can be paid."""

    gateway: ModelGateway
    first: Charge
    names: tuple[str, ...] = field(
        default=(
            "completes the first",
            "another",
            "wrong",
            "fatal",
            "lost",
            "completes the first, lost",
            "not sent",
            "garbled",
        ),
        init=False,
    )

    def answer(self, name: str) -> Answer:
        return {
            "completes the first": self._complete_first,
            "another": accept,
            "wrong": refuse("INVALID_OTP"),
            "fatal": self._fail,
            "lost": lose_the_answer,
            "completes the first, lost": self._complete_first_and_lose_answer,
            "not sent": cannot_reach,
            "garbled": answer_with(MALFORMED[1]),
        }[name]

    def _complete_first(self, charge: Charge) -> WireReply:
        """The code completes the payment that waits for it."""
        self.first.code = charge.code
        self.gateway.charges.remove(charge)
        return reply(200, {"reference": self.first.reference, "status": self.first.status})

    def _complete_first_and_lose_answer(self, charge: Charge) -> WireReply:
        self._complete_first(charge)
        raise OutcomeUnknownError("the connection was cut")

    def _fail(self, charge: Charge) -> WireReply:
        """A wrong code ends the payment."""
        self.gateway.charges.remove(charge)
        self.first.status, self.first.reason = FAILED, "INVALID_OTP"
        return reply(200, {"reference": self.first.reference, "status": FAILED, "reason": "INVALID_OTP"})
