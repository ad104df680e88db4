"""Simulate server, disk, clocks and a faulty network around the reducer, and check each step.

The server creates one payment per key. A delayed request arrives at most LATEST_ARRIVAL seconds later, because servers
and proxies time out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from feexpay_client.core import effects as do
from feexpay_client.core import errors
from feexpay_client.core import events as ev
from feexpay_client.core.machine import reduce
from feexpay_client.core.models import Payment, Quote
from feexpay_client.core.states import FORM, OPEN, RETRY, Draft, Intent, Moment, Phase, Record, State

from tests.core import fake_server

LATEST_ARRIVAL = 90.0

#: Possible outcomes of a request.
OUTCOMES = (
    "answered",
    "offline",
    "request_lost",
    "arrives_later",
    "answer_lost",
    "500_after",
    "garbage_after",
    "throttled",
    "unauthorized",
    "invalid",
    "unavailable",
    "unavailable_after",
    "not_found",
    "conflict",
)


@dataclass
class Charge:
    """A payment at the server. Each key starts one attempt at the gateway."""

    id: str
    status: str = "pending"
    detail: str = "waiting_for_payer"
    attempts: int = 1
    ours: bool = True

    def read(self) -> Payment:
        raw = fake_server.payment(self.status, self.detail, id=self.id, attempt_count=self.attempts)
        return Payment.from_json(raw | {"redirect_url": "https://pay.test/x" if self.detail == "redirect" else None})


@dataclass
class Simulation:
    state: State = field(default_factory=State)
    monotonic: float = 1000.0
    wall: float = 1_800_000_000.0
    disk: Record | None = None
    disk_works: bool = True
    damaged: bool = False
    held_by_other_window: bool = False
    opening: bool = False
    jumped: bool = False
    writes: list[do.Save | do.Forget] = field(default_factory=list)
    request: Any = None
    timer: do.Wake | None = None
    charges: dict[str, Charge] = field(default_factory=dict)
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)  # key → (payment id, body)
    delayed: list[tuple[float, Intent]] = field(default_factory=list)
    bodies: dict[str, str] = field(default_factory=dict)
    set_aside: set[str] = field(default_factory=set)
    pressed: int = 0
    reported_failed: set[str] = field(default_factory=set)
    reported_successful: set[str] = field(default_factory=set)

    # --- the app ---

    def send(self, event: ev.Event) -> None:
        before = self.state
        self.state, effects = reduce(before, event, Moment(self.monotonic, self.wall))
        self._check_step(before, event)
        if not self.state.timer:
            self.timer = None
        for effect in effects:
            self._execute(effect)

    def press_pay(self) -> None:
        self.pressed += 1
        self.send(ev.PayPressed(f"key-{self.pressed}"))

    def press_retry(self, payment_id: str | None = None) -> None:
        """Retry the payment shown, or another one, which must change nothing."""
        self.pressed += 1
        before, shown = self.state, self.state.payment.id if self.state.payment else ""
        asked = shown if payment_id is None else payment_id
        self.send(ev.RetryPressed(f"key-{self.pressed}", asked, phone="0197000001"))
        if asked != shown:
            assert self.state == before, "retried another payment than the one shown"

    def press_new(self) -> None:
        if self.state.open and self.state.can_set_aside and self.state.intent is not None:
            self.set_aside.add(self.state.intent.payment_id or "")
        self.send(ev.NewPressed())

    def choose(self, *, newest: bool, stale: bool) -> None:
        """Open a payment of the history. `stale`: the history still shows it as pending."""
        charge = list(self.charges.values())[-1 if newest else 0]
        before, seen = self.state, charge if not stale else replace(charge, status="pending", detail="checking")
        if before.open and before.can_set_aside and before.intent is not None:
            self.set_aside.add(before.intent.payment_id or "")
        if seen.status != "pending":
            (self.reported_failed if seen.status == "failed" else self.reported_successful).add(seen.id)
        self.send(ev.Chosen(seen.read()))
        if before.open and not before.can_set_aside:
            assert self.state == before, "another payment replaced the open one"
        else:
            assert self.state.payment is not None
            assert self.state.payment.id == charge.id

    def write(self) -> None:
        """Execute the oldest requested write, or fail it."""
        effect = self.writes.pop(0)
        if self.held_by_other_window:
            if isinstance(effect, do.Save):
                self.send(ev.SaveFailed(effect.record.intent, "busy"))
            return
        if isinstance(effect, do.Forget):
            # Deleting works on a full disk.
            if self.disk is not None and self.disk.intent.key == effect.key:
                self.disk = None
            self.damaged = self.damaged and bool(effect.key)
            return
        if not self.disk_works:
            self.send(ev.SaveFailed(effect.record.intent, "disk"))
            return
        self.disk, self.damaged = _as_stored(effect.record), False
        self.send(ev.Saved(effect.record.intent))

    def crash(self, *, damaged: bool = False) -> None:
        """Kill and restart the app. A running request may still arrive."""
        if isinstance(self.request, do.Post):
            self.delayed.append((self.monotonic + LATEST_ARRIVAL, self.request.intent))
        self.request, self.timer, self.writes, self.opening = None, None, [], False
        self.state = State(counter=0)
        if damaged:
            self.disk, self.damaged = None, True
        self.open_journal()

    def open_journal(self) -> None:
        """Read the journal, unless another window holds its lock."""
        self.opening = False
        if self.held_by_other_window:
            self.send(ev.Opened(None, other_window=True))
        else:
            self.send(ev.Opened(self.disk, damaged=self.damaged))
            assert not self.state.other_window, "does not take over although the other window is gone"

    def pass_time(self, seconds: float, *, wall: float | None = None) -> None:
        """Advance both clocks, the wall clock by `wall` if given. Delayed requests arrive when due."""
        self.monotonic += seconds
        self.jumped = self.jumped or wall is not None
        self.wall += seconds if wall is None else wall
        for due, intent in list(self.delayed):
            if due <= self.monotonic:
                self.arrive(due, intent)

    def arrive(self, due: float, intent: Intent) -> None:
        self.delayed.remove((due, intent))
        self._receive(intent)

    def fire_timer(self) -> None:
        """Advance the clock to the timer and fire it."""
        timer, self.timer = self.timer, None
        if timer is not None:
            self.pass_time(timer.after)
            self.send(ev.Woke(timer.number))

    # --- the server ---

    def answer(self, outcome: str) -> None:
        """End the running request with this outcome."""
        request, self.request = self.request, None
        event = self._outcome(request, outcome)
        if event is not None:
            self.send(event)
        else:
            self.request = request

    def settle(self, status: str, detail: str) -> None:
        """Change the newest pending payment."""
        for charge in reversed(self.charges.values()):
            if charge.status == "pending":
                charge.status, charge.detail = status, detail
                return

    def push(self, payment_id: str) -> None:
        """The event stream of a payment sends its present version; that of another payment must change nothing."""
        before = self.state
        if payment_id == before.followed_id:
            charge = self.charges[payment_id]
            (self.reported_failed if charge.status == "failed" else self.reported_successful).add(payment_id)
        self.send(ev.Pushed(self.charges[payment_id].read()))
        if payment_id != before.followed_id:
            assert self.state == before, "an event of another payment changed the state"

    def change(self, detail: str) -> None:
        self.settle("pending", detail)

    def _outcome(self, request: Any, outcome: str) -> ev.Event | None:
        fail: Mapping[str, errors.ApiError] = {
            "offline": errors.Offline(),
            "request_lost": errors.Timeout(),
            "arrives_later": errors.Timeout(),
            "answer_lost": errors.Timeout(),
            "500_after": errors.ServerError(500),
            "garbage_after": errors.MalformedAnswer("html"),
            "throttled": errors.Throttled(7),
            "unauthorized": errors.Unauthorized("not_authenticated"),
            "invalid": errors.Invalid("validation_error", fields=(errors.FieldProblem("phone", "invalid", "?"),)),
            "unavailable": errors.Unavailable("gateway_unavailable", 5),
            "unavailable_after": errors.Unavailable("gateway_unavailable", 5),
            "not_found": errors.NotFound("not_found"),
        }
        if outcome == "conflict":
            return self._conflict(request)
        posted = isinstance(request, do.Post)
        if outcome == "answered":
            return self._answer_truthfully(request)
        if posted and outcome in ("answer_lost", "500_after", "garbage_after", "unavailable_after"):
            self._receive(request.intent)
        if posted and outcome == "arrives_later":
            self.delayed.append((self.monotonic + LATEST_ARRIVAL, request.intent))
        if posted and outcome in ("invalid", "unavailable", "not_found") and request.intent.key in self.keys:
            return self._answer_truthfully(request)  # the server replays its first answer
        if outcome == "not_found" and not posted and self._exists(request):
            return self._answer_truthfully(request)
        return ev.Failed(request.number, fail[outcome])

    def _conflict(self, request: Any) -> ev.Event | None:
        """409: another app's payment is open."""
        if not isinstance(request, do.Post) or request.intent.key in self.keys:
            return self._answer_truthfully(request)
        other = Charge(f"other-{len(self.charges)}", ours=False)
        self.charges[other.id] = other
        return ev.Failed(request.number, errors.Conflict("duplicate_payment", payment_id=other.id))

    def _exists(self, request: Any) -> bool:
        return isinstance(request, do.GetStatus | do.PostOtp) and request.payment_id in self.charges

    def _answer_truthfully(self, request: Any) -> ev.Event:
        match request:
            case do.GetQuote(number, draft):
                quote = fake_server.quote(draft.amount)
                return ev.Quoted(number, Quote.from_json(quote))
            case do.Post(number, intent):
                refused = self._receive(intent)
                return ev.Failed(number, refused) if refused else self._answered(number, self.keys[intent.key][0])
            case do.GetStatus(number, payment_id) | do.PostOtp(number, payment_id):
                if payment_id not in self.charges:
                    return ev.Failed(number, errors.NotFound("not_found"))
                return self._answered(number, payment_id)
            case do.FindByKey(number, key):
                return self._answered(number, self.keys[key][0]) if key in self.keys else ev.NothingFound(number)
            case do.FindPending(number):
                pending = [charge.id for charge in self.charges.values() if charge.status == "pending"]
                return self._answered(number, pending[-1]) if pending else ev.NothingFound(number)
        raise AssertionError(request)

    def _answered(self, number: int, payment_id: str) -> ev.Event:
        charge = self.charges[payment_id]
        (self.reported_failed if charge.status == "failed" else self.reported_successful).add(payment_id)
        return ev.Answered(number, charge.read())

    def _receive(self, intent: Intent) -> errors.ApiError | None:
        """Process a POST: the first with its key starts an attempt. A second one would be a double charge."""
        if intent.key in self.keys:
            assert self.keys[intent.key][1] == repr(dict(intent.body)), "one key, two bodies"
            return None
        if intent.kind == RETRY:
            charge = self.charges[intent.payment_id or ""]
            if charge.status != "failed":
                return errors.Conflict("not_retryable")
            charge.status, charge.detail, charge.attempts = "pending", "waiting_for_payer", charge.attempts + 1
        else:
            charge = Charge(f"payment-{intent.key}")
            self.charges[charge.id] = charge
        self.keys[intent.key] = (charge.id, repr(dict(intent.body)))
        self._check_one_open()
        return None

    # --- invariants ---

    def _execute(self, effect: do.Effect) -> None:
        match effect:
            case do.Save() | do.Forget():
                self.writes.append(effect)
            case do.OpenJournal():
                self.opening = True
            case do.Wake():
                self.timer = effect
            case do.OpenPage() | do.AskSignIn():
                pass
            case do.Post():
                self._check_post(effect.intent)
                self.request = effect
            case _:
                self.request = effect

    def _check_post(self, intent: Intent) -> None:
        assert not self.held_by_other_window, "posted while another window holds the journal"
        assert self.disk is not None, "posted before anything was on disk"
        assert self.disk.intent.key == intent.key, "posted with a key that is not on disk"
        assert self.disk.intent.may_have_left, "posted while the disk says it was never sent"
        body = repr(dict(intent.body))
        assert self.bodies.setdefault(intent.key, body) == body, "one key, two bodies"
        assert not isinstance(self.request, do.Post), "two posts at the same time"

    def _check_one_open(self) -> None:
        pending = [one.id for one in self.charges.values() if one.ours and one.status == "pending"]
        assert len(set(pending) - self.set_aside) <= 1, f"two open payments: {pending}"

    def _check_step(self, before: State, event: ev.Event) -> None:
        state = self.state
        if state.phase is Phase.SUCCEEDED:
            assert state.payment is not None
            assert state.payment.id in self.reported_successful
            assert self.charges[state.payment.id].status == "successful"
        if state.phase is Phase.FAILED:
            assert state.payment is not None
            assert state.payment.id in self.reported_failed
        if before.phase is Phase.SUCCEEDED and state.phase is not Phase.SUCCEEDED:
            assert isinstance(event, ev.NewPressed | ev.Opened | ev.Chosen)
        if before.phase in OPEN and state.phase in FORM:
            self._check_nothing_open(before)

    def _check_nothing_open(self, before: State) -> None:
        """Back at the form, no request with that key has arrived or can still arrive."""
        if before.intent is None or before.intent.payment_id in self.set_aside:
            return
        key = before.intent.key
        if before.intent.payment_id is None:
            assert key not in self.keys, "gave up a key that the server has"
            assert key not in [intent.key for _, intent in self.delayed], "gave up a key that may still arrive"


def _as_stored(record: Record) -> Record:
    body = {name: value for name, value in record.intent.body.items() if name != "otp"}
    otp_removed = record.intent.otp_removed or body != dict(record.intent.body)
    return replace(record, intent=replace(record.intent, body=body, otp_removed=otp_removed))


def draft(amount: int = 5000, otp: str = "") -> Draft:
    return Draft("mtn_bj", amount, "XOF", "0197000050", otp=otp)
