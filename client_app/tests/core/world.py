"""A world around the machine: a server that creates one payment a key, a disk, two clocks, a network that loses.

Requests that left may arrive later, at most LATEST_ARRIVAL seconds after: that is what a server and everything in
front of it promise. Each effect is checked as it comes out.
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

from tests.core import server

LATEST_ARRIVAL = 90.0

#: What a request can come to.
OUTCOMES = (
    "answered",
    "offline",
    "lost_on_the_way",
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
    "in_the_way",
)


@dataclass
class Charge:
    """One payment at the server: `attempts` were sent to the gateway, one a key."""

    id: str
    status: str = "pending"
    detail: str = "waiting_for_payer"
    attempts: int = 1
    ours: bool = True

    def read(self) -> Payment:
        raw = server.payment(self.status, self.detail, id=self.id, attempt_count=self.attempts)
        return Payment.from_json(raw | {"redirect_url": "https://pay.test/x" if self.detail == "redirect" else None})


@dataclass
class World:
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
    alarm: do.Wake | None = None
    charges: dict[str, Charge] = field(default_factory=dict)
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)  # key → (payment id, body)
    on_the_way: list[tuple[float, Intent]] = field(default_factory=list)
    bodies: dict[str, str] = field(default_factory=dict)
    set_aside: set[str] = field(default_factory=set)
    pressed: int = 0
    told_failed: set[str] = field(default_factory=set)
    told_successful: set[str] = field(default_factory=set)

    # --- the app ---

    def send(self, event: ev.Event) -> None:
        before = self.state
        self.state, effects = reduce(before, event, Moment(self.monotonic, self.wall))
        self._check_step(before, event)
        if not self.state.timer:
            self.alarm = None
        for effect in effects:
            self._do(effect)

    def press_pay(self) -> None:
        self.pressed += 1
        self.send(ev.PayPressed(f"key-{self.pressed}"))

    def press_retry(self, payment_id: str | None = None) -> None:
        """Of the payment that is shown, or of another one, which must come to nothing."""
        self.pressed += 1
        before, shown = self.state, self.state.payment.id if self.state.payment else ""
        asked = shown if payment_id is None else payment_id
        self.send(ev.RetryPressed(f"key-{self.pressed}", asked, phone="0197000001"))
        if asked != shown:
            assert self.state == before, "a retry of another payment than the one shown"

    def press_new(self) -> None:
        if self.state.open and self.state.can_set_aside and self.state.intent is not None:
            self.set_aside.add(self.state.intent.payment_id or "")
        self.send(ev.NewPressed())

    def choose(self, *, newest: bool, stale: bool) -> None:
        """A payment of the history is pressed: as the server has it, or as it was while it was pending."""
        charge = list(self.charges.values())[-1 if newest else 0]
        before, seen = self.state, charge if not stale else replace(charge, status="pending", detail="checking")
        if before.open and before.can_set_aside and before.intent is not None:
            self.set_aside.add(before.intent.payment_id or "")
        if seen.status != "pending":
            (self.told_failed if seen.status == "failed" else self.told_successful).add(seen.id)
        self.send(ev.Chosen(seen.read()))
        if before.open and not before.can_set_aside:
            assert self.state == before, "one is open: no other may take its place"
        else:
            assert self.state.payment is not None
            assert self.state.payment.id == charge.id

    def write(self) -> None:
        """The disk does the oldest write asked for, or fails."""
        effect = self.writes.pop(0)
        if self.held_by_other_window:
            if isinstance(effect, do.Save):
                self.send(ev.SaveFailed(effect.record.intent, "busy"))
            return
        if isinstance(effect, do.Forget):
            # Removing needs no room: a full disk does not fail it.
            if self.disk is not None and self.disk.intent.key == effect.key:
                self.disk = None
            self.damaged = self.damaged and bool(effect.key)
            return
        if not self.disk_works:
            self.send(ev.SaveFailed(effect.record.intent, "disk"))
            return
        self.disk, self.damaged = _as_kept(effect.record), False
        self.send(ev.Saved(effect.record.intent))

    def crash(self, *, damaged: bool = False) -> None:
        """SIGKILL: what was not on disk is gone. A request under way may have left."""
        if isinstance(self.request, do.Post):
            self.on_the_way.append((self.monotonic + LATEST_ARRIVAL, self.request.intent))
        self.request, self.alarm, self.writes, self.opening = None, None, [], False
        self.state = State(counter=0)
        if damaged:
            self.disk, self.damaged = None, True
        self.open_journal()

    def open_journal(self) -> None:
        """The journal is read, unless another window holds it."""
        self.opening = False
        if self.held_by_other_window:
            self.send(ev.Opened(None, other_window=True))
        else:
            self.send(ev.Opened(self.disk, damaged=self.damaged))
            assert not self.state.other_window, "the other window is gone, and this one does not take over"

    def pass_time(self, seconds: float, *, wall: float | None = None) -> None:
        """Both clocks go on; `wall` sets that one apart. What is on its way arrives in time."""
        self.monotonic += seconds
        self.jumped = self.jumped or wall is not None
        self.wall += seconds if wall is None else wall
        for due, intent in list(self.on_the_way):
            if due <= self.monotonic:
                self.arrive(due, intent)

    def arrive(self, due: float, intent: Intent) -> None:
        self.on_the_way.remove((due, intent))
        self._receive(intent)

    def ring(self) -> None:
        """The alarm's time has come."""
        alarm, self.alarm = self.alarm, None
        if alarm is not None:
            self.pass_time(alarm.after)
            self.send(ev.Woke(alarm.number))

    # --- the server ---

    def answer(self, outcome: str) -> None:
        """The request under way comes to this."""
        request, self.request = self.request, None
        event = self._outcome(request, outcome)
        if event is not None:
            self.send(event)
        else:
            self.request = request

    def settle(self, status: str, detail: str) -> None:
        """The gateway's word about the newest payment that is pending."""
        for charge in reversed(self.charges.values()):
            if charge.status == "pending":
                charge.status, charge.detail = status, detail
                return

    def change(self, detail: str) -> None:
        self.settle("pending", detail)

    def _outcome(self, request: Any, outcome: str) -> ev.Event | None:
        fail: Mapping[str, errors.ApiError] = {
            "offline": errors.Offline(),
            "lost_on_the_way": errors.Timeout(),
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
        if outcome == "in_the_way":
            return self._stand_in_the_way(request)
        posted = isinstance(request, do.Post)
        if outcome == "answered":
            return self._honest(request)
        if posted and outcome in ("answer_lost", "500_after", "garbage_after", "unavailable_after"):
            self._receive(request.intent)
        if posted and outcome == "arrives_later":
            self.on_the_way.append((self.monotonic + LATEST_ARRIVAL, request.intent))
        if posted and outcome in ("invalid", "unavailable", "not_found") and request.intent.key in self.keys:
            return self._honest(request)  # the server remembers what it has, and answers that
        if outcome == "not_found" and not posted and self._exists(request):
            return self._honest(request)
        return ev.Failed(request.number, fail[outcome])

    def _stand_in_the_way(self, request: Any) -> ev.Event | None:
        """409: a payment that another app started is open."""
        if not isinstance(request, do.Post) or request.intent.key in self.keys:
            return self._honest(request)
        other = Charge(f"other-{len(self.charges)}", ours=False)
        self.charges[other.id] = other
        return ev.Failed(request.number, errors.Conflict("duplicate_payment", payment_id=other.id))

    def _exists(self, request: Any) -> bool:
        return isinstance(request, do.GetStatus | do.PostOtp) and request.payment_id in self.charges

    def _honest(self, request: Any) -> ev.Event:
        match request:
            case do.GetQuote(number, draft):
                quote = server.quote(draft.amount)
                return ev.Quoted(number, Quote.from_json(quote))
            case do.Post(number, intent):
                refused = self._receive(intent)
                return ev.Failed(number, refused) if refused else self._tell(number, self.keys[intent.key][0])
            case do.GetStatus(number, payment_id) | do.PostOtp(number, payment_id):
                if payment_id not in self.charges:
                    return ev.Failed(number, errors.NotFound("not_found"))
                return self._tell(number, payment_id)
            case do.FindByKey(number, key):
                return self._tell(number, self.keys[key][0]) if key in self.keys else ev.NothingFound(number)
            case do.FindPending(number):
                pending = [charge.id for charge in self.charges.values() if charge.status == "pending"]
                return self._tell(number, pending[-1]) if pending else ev.NothingFound(number)
        raise AssertionError(request)

    def _tell(self, number: int, payment_id: str) -> ev.Event:
        charge = self.charges[payment_id]
        (self.told_failed if charge.status == "failed" else self.told_successful).add(payment_id)
        return ev.Answered(number, charge.read())

    def _receive(self, intent: Intent) -> errors.ApiError | None:
        """A POST arrives: the first of its key begins an attempt. This is where money could be taken twice."""
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

    # --- what must hold ---

    def _do(self, effect: do.Effect) -> None:
        match effect:
            case do.Save() | do.Forget():
                self.writes.append(effect)
            case do.OpenJournal():
                self.opening = True
            case do.Wake():
                self.alarm = effect
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
        assert self.disk.intent.may_have_left, "the disk says it never left, and it leaves"
        body = repr(dict(intent.body))
        assert self.bodies.setdefault(intent.key, body) == body, "one key, two bodies"
        assert not isinstance(self.request, do.Post), "two posts at a time"

    def _check_one_open(self) -> None:
        pending = [one.id for one in self.charges.values() if one.ours and one.status == "pending"]
        assert len(set(pending) - self.set_aside) <= 1, f"two open payments: {pending}"

    def _check_step(self, before: State, event: ev.Event) -> None:
        state = self.state
        if state.phase is Phase.SUCCEEDED:
            assert state.payment is not None
            assert state.payment.id in self.told_successful
            assert self.charges[state.payment.id].status == "successful"
        if state.phase is Phase.FAILED:
            assert state.payment is not None
            assert state.payment.id in self.told_failed
        if before.phase is Phase.SUCCEEDED and state.phase is not Phase.SUCCEEDED:
            assert isinstance(event, ev.NewPressed | ev.Opened | ev.Chosen)
        if before.phase in OPEN and state.phase in FORM:
            self._check_nothing_open(before)

    def _check_nothing_open(self, before: State) -> None:
        """Back at the form: the server has nothing open of that key, and nothing of it is on its way."""
        if before.intent is None or before.intent.payment_id in self.set_aside:
            return
        key = before.intent.key
        if before.intent.payment_id is None:
            assert key not in self.keys, "given up, and the server has it"
            assert key not in [intent.key for _, intent in self.on_the_way], "given up while it is on its way"


def _as_kept(record: Record) -> Record:
    body = {name: value for name, value in record.intent.body.items() if name != "otp"}
    otp_removed = record.intent.otp_removed or body != dict(record.intent.body)
    return replace(record, intent=replace(record.intent, body=body, otp_removed=otp_removed))


def draft(amount: int = 5000, otp: str = "") -> Draft:
    return Draft("mtn_bj", amount, "XOF", "0197000050", otp=otp)
