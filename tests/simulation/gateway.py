"""FeexPay in a simulation: the true charges, and what it answers, which may differ from them for a while.

It builds on the gateway in memory of the payment tests. The seed decides each answer, each lie and each webhook.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django_feexpay.gateway.errors import OutcomeUnknownError
from django_feexpay.gateway.transport import WireReply, WireRequest
from django_feexpay.models import Attempt
from tests.payments.fake_gateway import PENDING, SUCCESSFUL, Charge, reply
from tests.payments.fake_history import is_wanted
from tests.payments.lying_gateway import HISTORIES, STATUSES
from tests.payments.strategies import ANSWERS, MALFORMED, PAGES, Answer, Codes, FaultyGateway
from tests.simulation.determinism import VirtualClock
from tests.simulation.faults import LONGEST_LIE_SECONDS, Faults

#: An exchange pauses here, where other tasks may run.
Pause = Callable[[str], None]


@dataclass
class Lie:
    """How FeexPay contradicts itself about one charge, until a time."""

    status: str
    history: str
    until: datetime


@dataclass(frozen=True)
class Webhook:
    """One delivery that FeexPay owes, and the earliest time of its arrival."""

    body: dict[str, Any]
    not_before: datetime


@dataclass
class Requests:
    """What FeexPay received for one attempt. `kept`: requests that prompted, or may have prompted, the payer."""

    kept: list[Charge] = field(default_factory=list)
    without_charge: int = 0


class SimulatedGateway(FaultyGateway):
    """A transport to this FeexPay.

    `before_request`: called with an attempt's id when its request to pay arrives. `asked_twice`: attempts that were
    requested again although an earlier request may have reached their payer. `denied`: references that an answer called
    failed, or hid.
    """

    def __init__(
        self,
        source: random.Random,
        faults: Faults,
        clock: VirtualClock,
        pause: Pause,
        without_pause: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__()
        self._random, self._faults, self._clock = source, faults, clock
        self._pause, self._without_pause = pause, without_pause
        self.honest = False
        self.outage_until = clock.at
        self.history_is_cut = False
        self.before_request: Callable[[str], None] = lambda attempt_id: None
        self.requests: dict[str, Requests] = defaultdict(Requests)
        self.asked_twice: list[str] = []
        self.lies: dict[str, Lie] = {}
        self.denied: set[str] = set()
        self.webhooks: list[Webhook] = []
        self.open_page_numbers: list[int] = []

    # --- the wire -----------------------------------------------------------------------------------------

    def exchange(self, request: WireRequest) -> WireReply:
        """Answer a request. If the answer takes longer than the request's deadline, its outcome is unknown."""
        give_up_at = self._clock.monotonic + request.timeouts.total
        what = request.url.rsplit("/api/", 1)[-1]
        self._pause(f"calls {what}")
        with self._without_pause():  # one request is handled at once, and under the lock of the model
            answer = super().exchange(request)
        self._pause(f"has the answer of {what}")
        if self._clock.monotonic > give_up_at:
            raise OutcomeUnknownError("the deadline passed")
        return answer

    def paid(self) -> list[Charge]:
        """The charges whose money was taken, even if it was returned since."""
        return [charge for charge in self.charges if charge.was_taken]

    def find(self, reference: str) -> Charge | None:
        same = (charge for charge in self.charges if charge.reference.casefold() == reference.casefold())
        return next(same, None)

    def _collect(self, body: dict[str, Any]) -> WireReply:
        attempt_id, before = str(body["callback_info"]), list(self.charges)
        self.before_request(attempt_id)
        seen = self.requests[attempt_id]
        first = seen.kept[0] if seen.kept else None
        if self._is_away():
            raise OutcomeUnknownError("no answer")
        self.next_collects = [self._code_answer(first) if first and body.get("otp") else self._collect_answer()]
        try:
            return super()._collect(body)
        finally:
            made = [charge for charge in self.charges if charge not in before]
            is_code = bool(first and body.get("otp"))
            if made and seen.kept and not is_code:
                self.asked_twice.append(attempt_id)
            seen.kept += made
            seen.without_charge += not made
            for charge in made:
                self._date(charge)
                self._maybe_lie(charge)

    def _collect_answer(self) -> Answer:
        faulty = not self.honest and self._random.random() < self._faults.answer_fault_rate
        return ANSWERS[self._random.choice(self._faults.answers) if faulty else "accepted"]

    def _code_answer(self, first: Charge) -> Answer:
        codes = Codes(self, first)
        return codes.answer("completes the first" if self.honest else self._random.choice(codes.names))

    def _open_page(self, body: dict[str, Any]) -> WireReply:
        self.before_request(str(body["custom_id"]))
        if self._is_away():
            raise OutcomeUnknownError("no answer")
        faulty = not self.honest and self._random.random() < self._faults.answer_fault_rate
        name = self._random.choice(self._faults.pages) if faulty else "shown"
        self.next_pages = [PAGES[name]]
        if name == "shown":
            self.open_page_numbers.append(len(self.pages))
        return super()._open_page(body)

    def _status(self, reference: str) -> WireReply:
        self._maybe_fail_to_answer()
        charge = self.find(reference)
        if charge is None:
            return STATUSES["missing"]({})
        lie = self._lie_about(charge)
        if lie is not None or charge.status not in (PENDING, SUCCESSFUL):
            self.denied.add(charge.reference)
        return STATUSES["true" if lie is None else lie.status](charge.truth())

    def _history(self, question: dict[str, Any]) -> WireReply:
        self._maybe_fail_to_answer()
        rows = []
        for charge in self.charges:
            lie = self._lie_about(charge)
            row = HISTORIES["true" if lie is None else lie.history](charge.row())
            if lie is not None:
                self.denied.add(charge.reference)
            if row is not None and is_wanted(row, question):
                rows.append(row)
        left_out = 1 if rows and self.history_is_cut and not self.honest else 0
        return reply(200, {"success": True, "total": len(rows) + left_out, "data": rows})

    def _maybe_fail_to_answer(self) -> None:
        if self._is_away() or (not self.honest and self._random.random() < self._faults.read_fault_rate / 2):
            raise OutcomeUnknownError("no answer")

    def _is_away(self) -> bool:
        return not self.honest and self._clock.at < self.outage_until

    def may_be_paid(self, charge: Charge) -> bool:
        """Whether its payer can still approve it: not refused, and not one that waits for a code."""
        return charge.status == PENDING and not charge.refused and bool(charge.code or charge.wire_name != "CORIS")

    # --- the truth ----------------------------------------------------------------------------------------

    def pay_page(self, number: int) -> Charge:
        """A payer enters a card on a page, perhaps for the second time."""
        charge = self.pay_on_page(number)
        self._date(charge)
        self._maybe_lie(charge)
        return charge

    def approve(self, charge: Charge) -> str:
        """The payer approves. Sometimes FeexPay takes the money twice."""
        charge.approve()
        self._owe_webhooks(charge)
        if not charge.echo or self._random.random() >= self._faults.second_charge_rate:
            return ""
        second = self.charge_again(charge, f"{charge.reference}-again")
        self._owe_webhooks(second)
        return f", and is charged again as {second.reference}"

    def decline(self, charge: Charge) -> None:
        charge.decline()
        self._owe_webhooks(charge)

    def take_back(self, charge: Charge) -> None:
        """FeexPay returns the money, and says so by webhook and when it is asked."""
        charge.reverse(self._random.choice(["FAILED", "REVERSED", "REFUNDED"]))
        self._owe_webhooks(charge)

    def become_honest(self) -> None:
        """Repair everything: from now on each answer is true."""
        self.honest = True
        self.next_collects, self.next_pages, self.next_reads = [], [], []
        self.lies.clear()

    def malformed_reads(self) -> None:
        self.next_reads = [self._random.choice(MALFORMED) for _ in range(self._random.randint(1, 3))]

    def _date(self, charge: Charge) -> None:
        charge.made_at = f"{self._clock.at:%Y-%m-%dT%H:%M:%S}.000Z"
        attempt = Attempt.objects.select_related("payment__provider").filter(pk=charge.attempt_id).first()
        charge.wire_name = attempt.payment.provider.spec.wire_name if attempt else "MTN"

    def _maybe_lie(self, charge: Charge) -> None:
        if self._random.random() < self._faults.lie_rate:
            until = self._clock.at + timedelta(seconds=self._random.uniform(1, LONGEST_LIE_SECONDS))
            status = self._random.choice([*self._faults.status_lies, "true"])
            history = self._random.choice([*self._faults.history_lies, "true"])
            if not charge.echo and history == "upper-case echo":
                history = "left out"  # a page is echoed as `custom_id`
            self.lies[charge.reference] = Lie(status, history, until)

    def _lie_about(self, charge: Charge) -> Lie | None:
        lie = self.lies.get(charge.reference)
        return lie if lie is not None and not self.honest and self._clock.at < lie.until else None

    def _owe_webhooks(self, charge: Charge) -> None:
        """Webhooks about a change: lost, late, or several times."""
        if self._random.random() < self._faults.webhook_loss_rate:
            return
        for _ in range(self._random.choice([1, 1, 2, 3])):
            late = timedelta(seconds=self._random.choice([0, 0, 1, 5, 60, 3600, 86_400]))
            self.webhooks.append(Webhook(charge.truth() | {"type": "payment"}, self._clock.at + late))
