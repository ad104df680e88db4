"""The five promises of the machine, under random events in random orders."""

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

from tests.core import server
from tests.core.world import OUTCOMES, World, draft

DETAILS = ("queued", "waiting_for_payer", "otp_required", "redirect", "checking", "under_review", "a_new_word")


class Payer(RuleBasedStateMachine):
    """A payer, an app that dies, a network that loses, clocks that jump. `World` checks each step."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.world.send(ev.Opened(None))

    # --- what the payer does ---

    @rule(amount=st.sampled_from((0, 100, 5000)), otp=st.sampled_from(("", "123456")))
    def edits(self, amount: int, otp: str) -> None:
        self.world.send(ev.Edited(draft(amount, otp)))

    @rule(taps=st.integers(1, 3))
    def pays(self, taps: int) -> None:
        before = len(self.world.writes)
        for _ in range(taps):
            self.world.press_pay()
        assert len(self.world.writes) <= before + 1, "two taps are one"

    @precondition(lambda self: self.world.state.phase in FORM and self.world.state.signed_in)
    @rule(otp=st.sampled_from(("", "", "123456")), outcomes=st.lists(st.sampled_from(OUTCOMES), max_size=4))
    def fills_in_and_pays(self, otp: str, outcomes: list[str]) -> None:
        """The usual way with an unusual network, so that most runs get somewhere."""
        world = self.world
        world.disk_works = True
        world.send(ev.Edited(draft(otp=otp)))
        for _ in range(3):
            if world.state.phase is Phase.QUOTING:
                world.answer("answered") if world.request is not None else world.ring()
        self.pays(1)
        for outcome in outcomes:
            self.goes_on(outcome)

    @precondition(lambda self: self.world.state.phase is Phase.FAILED)
    @rule(outcomes=st.lists(st.sampled_from(OUTCOMES), max_size=4))
    def tries_again(self, outcomes: list[str]) -> None:
        self.world.press_retry()
        for outcome in outcomes:
            self.goes_on(outcome)

    @rule(outcome=st.sampled_from(OUTCOMES))
    def goes_on(self, outcome: str) -> None:
        """What is due happens: the disk writes, the request ends, or the alarm rings."""
        while self.world.writes:
            self.world.write()
        if self.world.request is not None:
            self.world.answer(outcome)
        else:
            self.world.ring()

    @rule()
    def presses_retry(self) -> None:
        self.world.press_retry()

    @precondition(lambda self: self.world.charges)
    @rule(oldest=st.booleans())
    def presses_retry_of_one_of_them(self, oldest: bool) -> None:
        """A screen that is out of date: only the payment that the state holds may be tried again."""
        self.world.press_retry(list(self.world.charges)[0 if oldest else -1])

    @rule(code=st.sampled_from(("123456", "000000")))
    def enters_code(self, code: str) -> None:
        self.world.pressed += 1
        self.world.send(ev.OtpEntered(f"key-{self.world.pressed}", code))

    @rule(event=st.sampled_from((ev.CheckPressed(), ev.PagePressed(), ev.CancelPressed(), ev.SignedIn())))
    def presses(self, event: ev.Event) -> None:
        self.world.send(event)

    @rule()
    def starts_over(self) -> None:
        self.world.press_new()

    @precondition(lambda self: self.world.charges)
    @rule(newest=st.booleans(), told=st.sampled_from(("now", "pending")))
    def chooses_one_of_the_history(self, newest: bool, told: str) -> None:
        """What the history shows may be older than the truth: still pending there, settled since."""
        self.world.choose(newest=newest, stale=told == "pending")

    # --- what happens to the app ---

    @precondition(lambda self: self.world.writes)
    @rule()
    def disk_writes(self) -> None:
        self.world.write()

    @rule(works=st.booleans())
    def disk_changes(self, works: bool) -> None:
        self.world.disk_works = works

    @rule()
    def is_killed(self) -> None:
        self.world.crash()

    @rule()
    def is_killed_and_the_journal_damaged(self) -> None:
        # Without its journal the app knows only what the server shows as pending by then.
        if not self.world.on_the_way and not isinstance(self.world.request, do.Post):
            self.world.crash(damaged=True)

    @rule()
    def starts_beside_another_window(self) -> None:
        """This one dies, another window takes the journal, and this one starts again beside it."""
        self.world.held_by_other_window = True
        self.world.crash()
        assert self.world.state.other_window

    @precondition(lambda self: self.world.held_by_other_window)
    @rule()
    def the_other_window_is_killed(self) -> None:
        self.world.held_by_other_window = False

    @precondition(lambda self: self.world.opening)
    @rule()
    def journal_is_tried(self) -> None:
        self.world.open_journal()

    @rule(seconds=st.sampled_from((0.5, 3.0, 30.0, 130.0, 1000.0, 100_000.0)))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(jump=st.sampled_from((-1_000_000.0, -100.0, 2000.0, 1_000_000.0)))
    def clock_jumps(self, jump: float) -> None:
        self.world.pass_time(1.0, wall=jump)

    @precondition(lambda self: self.world.alarm is not None)
    @rule()
    def alarm_rings(self) -> None:
        self.world.ring()

    # --- what the network and the server do ---

    @precondition(lambda self: self.world.request is not None)
    @rule(outcome=st.sampled_from(OUTCOMES))
    def request_ends(self, outcome: str) -> None:
        self.world.answer(outcome)

    @precondition(lambda self: self.world.request is not None)
    @rule()
    def request_is_answered(self) -> None:
        self.world.answer("answered")

    @precondition(lambda self: self.world.on_the_way)
    @rule()
    def straggler_arrives(self) -> None:
        self.world.arrive(*self.world.on_the_way[0])

    @rule(word=st.sampled_from((("successful", "credited"), ("failed", "declined"), ("failed", "expired"))))
    def gateway_settles(self, word: tuple[str, str]) -> None:
        self.world.settle(*word)

    @rule(detail=st.sampled_from(DETAILS))
    def gateway_goes_on(self, detail: str) -> None:
        self.world.change(detail)

    @rule(late=st.integers(-3, 0), status=st.sampled_from(("successful", "failed")))
    def a_late_answer_comes(self, late: int, status: str) -> None:
        """To a question that is asked no more: nothing may come of it."""
        world, before = self.world, self.world.state
        number = before.counter + late
        if number != before.request:
            world.send(ev.Answered(number, Payment.from_json(server.payment(status, "credited"))))
            world.send(ev.Failed(number, errors.Timeout()))
            world.send(ev.NothingFound(number))
            assert world.state == before

    # --- the end: with or without a restart, it comes to the same ---

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.disk_works, world.held_by_other_window = True, False
        while world.opening or world.writes:
            world.write() if world.writes else world.open_journal()  # the journal is tried again behind what waits
        if isinstance(world.request, do.Post):  # decide it for both: it arrives
            world.answer("answered")
            while world.writes:
                world.write()
        comparable = all_is_on_disk(world)
        other = copy.deepcopy(world)
        other.crash()
        come_to_rest(world)
        come_to_rest(other)
        if world.jumped or not comparable:
            return  # how old a wish is differs by then; that nothing is paid twice was checked all the same
        if world.state.phase in FORM:
            assert other.state.phase in FORM
        else:
            assert other.state.phase is world.state.phase
            assert other.state.payment == world.state.payment


def all_is_on_disk(world: World) -> bool:
    """What the app knows survives a restart. Where it cannot, the end may differ, and no charge is made twice."""
    state, disk = world.state, world.disk
    if state.refusal is not None:
        return False  # a refusal that is still being checked: who starts again sends the same key again
    if disk is not None and disk.intent.otp_removed and disk.intent.key not in world.keys:
        return False  # a code is never written, so what had not arrived cannot be sent again
    chosen = state.intent is not None and state.intent.kind == FOLLOW
    # Chosen while the disk refused: nothing was sent from here, and the history shows it.
    return not chosen or (disk is not None and disk.intent == state.intent)


def come_to_rest(world: World) -> None:
    """Everything works from here on: go on until there is nothing to do, or only waiting for the payer."""
    for _ in range(60):
        world.send(ev.SignedIn())
        while world.writes:
            world.write()
        if world.request is not None:
            world.answer("answered")
        elif world.alarm is not None:
            world.ring()
        else:
            return


Payer.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=settings.get_current_profile_name() != "nightly",
    phases=(Phases.generate,),  # shrinking takes minutes; take it in by hand where it is wanted
)
TestPayer = Payer.TestCase
