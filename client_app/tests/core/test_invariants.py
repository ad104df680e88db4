"""The five invariants of the reducer under random events."""

from __future__ import annotations

import copy

from feexpay_client.core import effects as do
from feexpay_client.core import errors
from feexpay_client.core import events as ev
from feexpay_client.core.models import Payment
from feexpay_client.core.states import FOLLOW, FORM, Phase
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Phases
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.core import fake_server
from tests.core.simulation import OUTCOMES, Simulation, draft

DETAILS = ("queued", "waiting_for_payer", "otp_required", "redirect", "checking", "under_review", "a_new_detail")


class Payer(RuleBasedStateMachine):
    """Random payer actions, crashes, lost requests and clock jumps. `Simulation` checks each step."""

    @initialize()
    def begin(self) -> None:
        self.sim = Simulation()
        self.sim.send(ev.Opened(None))

    # --- what the payer does ---

    @rule(amount=st.sampled_from((0, 100, 5000)), otp=st.sampled_from(("", "123456")))
    def edits(self, amount: int, otp: str) -> None:
        self.sim.send(ev.Edited(draft(amount, otp)))

    @rule(taps=st.integers(1, 3))
    def pays(self, taps: int) -> None:
        before = len(self.sim.writes)
        for _ in range(taps):
            self.sim.press_pay()
        assert len(self.sim.writes) <= before + 1, "two taps must start one payment"

    @precondition(lambda self: self.sim.state.phase in FORM and self.sim.state.signed_in)
    @rule(otp=st.sampled_from(("", "", "123456")), outcomes=st.lists(st.sampled_from(OUTCOMES), max_size=4))
    def fills_in_and_pays(self, otp: str, outcomes: list[str]) -> None:
        """A complete purchase over a faulty network, so that most runs reach later phases."""
        sim = self.sim
        sim.disk_works = True
        sim.send(ev.Edited(draft(otp=otp)))
        for _ in range(3):
            if sim.state.phase is Phase.QUOTING:
                sim.answer("answered") if sim.request is not None else sim.fire_timer()
        self.pays(1)
        for outcome in outcomes:
            self.continues(outcome)

    @precondition(lambda self: self.sim.state.phase is Phase.FAILED)
    @rule(outcomes=st.lists(st.sampled_from(OUTCOMES), max_size=4))
    def tries_again(self, outcomes: list[str]) -> None:
        self.sim.press_retry()
        for outcome in outcomes:
            self.continues(outcome)

    @rule(outcome=st.sampled_from(OUTCOMES))
    def continues(self, outcome: str) -> None:
        """Write to disk, then end the request or fire the timer."""
        while self.sim.writes:
            self.sim.write()
        if self.sim.request is not None:
            self.sim.answer(outcome)
        else:
            self.sim.fire_timer()

    @rule()
    def presses_retry(self) -> None:
        self.sim.press_retry()

    @precondition(lambda self: self.sim.charges)
    @rule(oldest=st.booleans())
    def presses_retry_of_any_payment(self, oldest: bool) -> None:
        """Retry from an outdated screen: only the state's payment may be retried."""
        self.sim.press_retry(list(self.sim.charges)[0 if oldest else -1])

    @rule(code=st.sampled_from(("123456", "000000")))
    def enters_code(self, code: str) -> None:
        self.sim.pressed += 1
        self.sim.send(ev.OtpEntered(f"key-{self.sim.pressed}", code))

    @rule(event=st.sampled_from((ev.CheckPressed(), ev.PagePressed(), ev.CancelPressed(), ev.SignedIn())))
    def presses(self, event: ev.Event) -> None:
        self.sim.send(event)

    @rule()
    def starts_over(self) -> None:
        self.sim.press_new()

    @precondition(lambda self: self.sim.charges)
    @rule(newest=st.booleans(), shown=st.sampled_from(("now", "pending")))
    def opens_payment_of_history(self, newest: bool, shown: str) -> None:
        """The history may be outdated: it shows a settled payment as pending."""
        self.sim.choose(newest=newest, stale=shown == "pending")

    # --- what happens to the app ---

    @precondition(lambda self: self.sim.writes)
    @rule()
    def disk_writes(self) -> None:
        self.sim.write()

    @rule(works=st.booleans())
    def disk_changes(self, works: bool) -> None:
        self.sim.disk_works = works

    @rule()
    def app_is_killed(self) -> None:
        self.sim.crash()

    @rule()
    def app_is_killed_and_the_journal_damaged(self) -> None:
        # Without its journal the app knows only what the server shows as pending by then.
        if not self.sim.delayed and not isinstance(self.sim.request, do.Post):
            self.sim.crash(damaged=True)

    @rule()
    def starts_beside_another_window(self) -> None:
        """Kill this window, let another one lock the journal, and start this one again."""
        self.sim.held_by_other_window = True
        self.sim.crash()
        assert self.sim.state.other_window

    @precondition(lambda self: self.sim.held_by_other_window)
    @rule()
    def the_other_window_is_killed(self) -> None:
        self.sim.held_by_other_window = False

    @precondition(lambda self: self.sim.opening)
    @rule()
    def journal_lock_is_retried(self) -> None:
        self.sim.open_journal()

    @rule(seconds=st.sampled_from((0.5, 3.0, 30.0, 130.0, 1000.0, 100_000.0)))
    def time_passes(self, seconds: float) -> None:
        self.sim.pass_time(seconds)

    @rule(jump=st.sampled_from((-1_000_000.0, -100.0, 2000.0, 1_000_000.0)))
    def clock_jumps(self, jump: float) -> None:
        self.sim.pass_time(1.0, wall=jump)

    @precondition(lambda self: self.sim.timer is not None)
    @rule()
    def timer_fires(self) -> None:
        self.sim.fire_timer()

    # --- what the network and the server do ---

    @precondition(lambda self: self.sim.request is not None)
    @rule(outcome=st.sampled_from(OUTCOMES))
    def request_ends(self, outcome: str) -> None:
        self.sim.answer(outcome)

    @precondition(lambda self: self.sim.request is not None)
    @rule()
    def request_is_answered(self) -> None:
        self.sim.answer("answered")

    @precondition(lambda self: self.sim.delayed)
    @rule()
    def delayed_request_arrives(self) -> None:
        self.sim.arrive(*self.sim.delayed[0])

    @rule(result=st.sampled_from((("successful", "credited"), ("failed", "declined"), ("failed", "expired"))))
    def gateway_settles(self, result: tuple[str, str]) -> None:
        self.sim.settle(*result)

    @rule(detail=st.sampled_from(DETAILS))
    def gateway_changes_detail(self, detail: str) -> None:
        self.sim.change(detail)

    @precondition(lambda self: self.sim.charges)
    @rule(oldest=st.booleans())
    def stream_pushes(self, oldest: bool) -> None:
        self.sim.push(list(self.sim.charges)[0 if oldest else -1])

    @rule(event=st.sampled_from((ev.StreamOpened(), ev.StreamEnded(broken=True), ev.StreamEnded(broken=False))))
    def stream_opens_or_ends(self, event: ev.Event) -> None:
        """At any time: the answers of a stream may be late, too."""
        self.sim.send(event)

    @rule(late=st.integers(-3, 0), status=st.sampled_from(("successful", "failed")))
    def late_answer_arrives(self, late: int, status: str) -> None:
        """An answer to a cancelled request must change nothing."""
        sim, before = self.sim, self.sim.state
        number = before.counter + late
        if number != before.request:
            sim.send(ev.Answered(number, Payment.from_json(fake_server.payment(status, "credited"))))
            sim.send(ev.Failed(number, errors.Timeout()))
            sim.send(ev.NothingFound(number))
            assert sim.state == before

    # --- at the end: a restart must not change the result ---

    def teardown(self) -> None:
        if not hasattr(self, "sim"):
            return
        sim = self.sim
        sim.disk_works, sim.held_by_other_window = True, False
        while sim.opening or sim.writes:
            sim.write() if sim.writes else sim.open_journal()  # opening the journal comes after the writes
        if isinstance(sim.request, do.Post):  # in both runs the request arrives
            sim.answer("answered")
            while sim.writes:
                sim.write()
        result_must_match = everything_is_on_disk(sim)
        other = copy.deepcopy(sim)
        other.crash()
        run_until_idle(sim)
        run_until_idle(other)
        if sim.jumped or not result_must_match:
            return  # the intents differ in age, so the results may differ
        if sim.state.phase in FORM:
            assert other.state.phase in FORM
        else:
            assert other.state.phase is sim.state.phase
            assert other.state.payment == sim.state.payment


def everything_is_on_disk(sim: Simulation) -> bool:
    """A restart loses nothing. Otherwise the result may differ, but never by a second charge."""
    state, disk = sim.state, sim.disk
    if state.refusal is not None:
        return False  # an unconfirmed refusal: after a restart the same key is sent again
    if disk is not None and disk.intent.otp_removed and disk.intent.key not in sim.keys:
        return False  # the one-time code is not on disk, so the request cannot be sent again
    chosen = state.intent is not None and state.intent.kind == FOLLOW
    # Chosen while the disk was full: nothing was sent, and the history shows the payment.
    return not chosen or (disk is not None and disk.intent == state.intent)


def run_until_idle(sim: Simulation) -> None:
    """Continue without faults until only the payer can act."""
    for _ in range(60):
        sim.send(ev.SignedIn())
        while sim.writes:
            sim.write()
        if sim.request is not None:
            sim.answer("answered")
        elif sim.timer is not None:
            sim.fire_timer()
        else:
            return


Payer.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=settings.get_current_profile_name() != "nightly",
    phases=(Phases.generate,),  # shrinking takes minutes: add it by hand if needed
)
TestPayer = Payer.TestCase
