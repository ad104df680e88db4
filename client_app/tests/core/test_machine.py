"""The rules one by one: what each guards against is in its name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from feexpay_client.core import effects as do
from feexpay_client.core import errors
from feexpay_client.core import events as ev
from feexpay_client.core.models import Payment
from feexpay_client.core.states import INITIATE, RETRY, Intent, Phase, Record
from feexpay_client.core.transitions import IN_FLIGHT_SECONDS, RESEND_SECONDS

from tests.core import server
from tests.core.world import World, draft


def ready() -> World:
    """The form is filled in and has its quote."""
    world = World()
    world.send(ev.Opened(None))
    world.send(ev.Edited(draft()))
    world.ring()
    world.answer("answered")
    assert world.state.phase is Phase.READY
    return world


def posting() -> World:
    """Pressed, on disk, the request is under way."""
    world = ready()
    world.press_pay()
    world.write()
    assert isinstance(world.request, do.Post)
    return world


def waiting(detail: str = "waiting_for_payer") -> World:
    """The payer's phone asks."""
    world = posting()
    world.answer("answered")
    if detail != "waiting_for_payer":
        world.change(detail)
        world.ring()
        world.answer("answered")
    return world


def failed() -> World:
    world = waiting()
    world.settle("failed", "declined")
    world.ring()
    world.answer("answered")
    assert world.state.phase is Phase.FAILED
    return world


def settle_disk(world: World) -> None:
    while world.writes:
        world.write()


# --- the key is on disk before anything leaves -------------------------------------------------------


def test_pressed_and_nothing_leaves_before_the_disk_has_it() -> None:
    world = ready()
    world.press_pay()

    assert world.request is None
    world.send(ev.CheckPressed())
    world.send(ev.SignedIn())
    assert world.request is None
    world.write()
    assert isinstance(world.request, do.Post)


def test_a_full_disk_sends_nothing_and_keeps_the_form() -> None:
    world = ready()
    world.disk_works = False
    world.press_pay()
    world.write()

    assert world.request is None
    assert world.state.phase is Phase.READY
    assert world.state.notice is not None
    assert world.state.notice.code == "journal_disk"
    assert world.state.draft == draft()


def test_a_retry_waits_for_the_disk_like_the_first_attempt() -> None:
    world = failed()
    settle_disk(world)
    world.press_retry()
    world.send(ev.CheckPressed())

    assert world.request is None
    world.write()
    assert isinstance(world.request, do.Post)
    assert world.request.intent.kind == RETRY


def test_what_never_left_is_written_as_leaving_before_it_leaves() -> None:
    world = posting()
    world.answer("offline")
    settle_disk(world)
    assert world.disk is not None
    assert world.disk.intent.may_have_left is False

    world.ring()
    assert world.request is None, "first the disk"
    world.write()
    assert world.disk.intent.may_have_left is True
    assert isinstance(world.request, do.Post)


# --- no second key while the first may be on its way -------------------------------------------------


def test_two_taps_are_one() -> None:
    world = ready()
    world.press_pay()
    world.press_pay()

    assert len(world.writes) == 1
    assert world.writes[0] == do.Save(Record(world.state.intent))  # type: ignore[arg-type]  # it is there


def test_an_answer_that_was_lost_is_looked_for_before_anything_is_sent_again() -> None:
    world = posting()
    world.answer("answer_lost")
    assert world.state.phase is Phase.UNKNOWN

    world.ring()
    assert isinstance(world.request, do.FindByKey)
    world.answer("answered")
    assert world.state.phase is Phase.WAITING


def test_what_the_server_has_not_got_is_sent_again_with_the_same_key() -> None:
    world = posting()
    key = world.request.intent.key
    world.answer("lost_on_the_way")
    world.ring()
    world.answer("answered")

    assert isinstance(world.request, do.Post)
    assert world.request.intent.key == key


def test_a_refusal_is_not_believed_while_an_earlier_request_may_arrive() -> None:
    world = posting()
    world.answer("arrives_later")
    world.ring()
    world.answer("answered")  # nothing there, so it is sent again
    world.answer("invalid")

    assert world.state.phase is Phase.UNKNOWN
    world.answer("answered")
    assert world.state.phase is Phase.UNKNOWN, "the first may still arrive"
    while world.state.phase is Phase.UNKNOWN:
        world.ring()
        if world.request is not None:
            world.answer("answered")
    assert world.state.phase is Phase.WAITING, "it did"


def test_being_offline_does_not_forget_that_an_earlier_request_left() -> None:
    world = posting()
    world.answer("arrives_later")
    world.ring()
    world.answer("answered")
    world.answer("offline")

    assert not world.state.can_cancel
    assert world.state.intent is not None
    assert world.state.intent.may_have_left


def test_silence_is_counted_from_the_last_request() -> None:
    world = posting()
    world.answer("lost_on_the_way")
    world.pass_time(RESEND_SECONDS - 1)
    world.send(ev.CheckPressed())
    world.answer("answered")
    assert isinstance(world.request, do.Post)
    world.answer("lost_on_the_way")  # left just now, and from here on it is too old to be sent again
    world.pass_time(5)
    world.send(ev.CheckPressed())
    world.answer("answered")
    assert world.state.phase is Phase.UNKNOWN

    world.pass_time(IN_FLIGHT_SECONDS)
    world.send(ev.CheckPressed())
    world.answer("answered")
    assert world.state.phase is Phase.READY
    assert world.state.notice is not None
    assert world.state.notice.code == "not_sent"


def test_unavailable_is_made_sure_of_by_a_look() -> None:
    world = posting()
    world.answer("unavailable_after")  # it wrote the payment, then its database went away
    world.ring()
    world.answer("answered")

    assert world.state.phase is Phase.WAITING


def test_unavailable_with_nothing_there_says_so_and_keeps_the_form() -> None:
    world = posting()
    world.answer("unavailable")
    world.ring()
    world.answer("answered")

    assert world.state.phase is Phase.READY
    assert world.state.notice is not None
    assert world.state.notice.code == "gateway_unavailable"


def test_fields_that_are_refused_are_shown_and_nothing_is_kept() -> None:
    world = posting()
    world.answer("invalid")
    settle_disk(world)

    assert world.state.phase is Phase.EDITING
    assert [problem.field for problem in world.state.problems] == ["phone"]
    assert world.disk is None


def test_another_payment_in_the_way_is_followed_and_ours_was_not_begun() -> None:
    world = posting()
    world.answer("in_the_way")
    world.answer("answered")

    assert world.state.phase is Phase.WAITING
    assert world.state.payment is not None
    assert world.state.payment.id.startswith("other")
    assert world.state.notice is not None
    assert world.state.notice.code == "duplicate_payment"


def test_a_key_used_for_another_request_leads_to_the_payment_that_has_it() -> None:
    world = posting()
    number = world.request.number
    world._receive(world.request.intent)
    world.request = None
    world.send(ev.Failed(number, errors.Invalid("idempotency_mismatch")))
    world.answer("answered")

    assert world.state.phase is Phase.WAITING


def test_a_first_request_still_running_is_waited_for() -> None:
    world = posting()
    number, world.request = world.request.number, None
    world.send(ev.Failed(number, errors.Conflict("idempotency_conflict", retry_after=2)))

    assert world.state.phase is Phase.UNKNOWN
    assert world.alarm is not None
    assert world.alarm.after == 2


def test_what_surely_never_left_may_be_taken_back() -> None:
    world = posting()
    world.answer("offline")
    assert world.state.can_cancel
    world.send(ev.CancelPressed())
    settle_disk(world)

    assert world.state.phase is Phase.READY
    assert world.disk is None


def test_what_may_have_left_cannot_be_taken_back() -> None:
    world = posting()
    world.answer("answer_lost")
    world.send(ev.CancelPressed())

    assert world.state.phase is Phase.UNKNOWN


# --- old wishes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "age", [RESEND_SECONDS + 60, 25 * 3600.0, -3600.0], ids=["stale", "yesterday", "clock set back"]
)
def test_a_wish_that_is_not_fresh_is_looked_up_and_never_sent_by_itself(age: float) -> None:
    world = World()
    world.disk = Record(Intent("old", INITIATE, draft().body(), world.wall - age))
    world.crash()

    for _ in range(20):
        assert not isinstance(world.request, do.Post)
        if world.request is not None:
            assert isinstance(world.request, do.FindByKey)
            world.answer("answered")
        else:
            world.monotonic += world.alarm.after if world.alarm else 0  # the wall clock stands still
            world.send(ev.Woke(world.alarm.number)) if world.alarm else None
    assert world.state.phase is Phase.EDITING
    assert world.state.notice is not None
    assert world.state.notice.code == "not_sent"
    assert world.state.draft.amount == 5000, "what was filled in is still there"


def test_after_a_restart_silence_is_counted_anew() -> None:
    world = World()
    world.disk = Record(Intent("old", INITIATE, draft().body(), world.wall - 24 * 3600))
    world.crash()
    world.answer("answered")

    assert world.state.phase is Phase.UNKNOWN
    assert not world.state.can_pay


def test_a_code_is_not_on_disk_so_that_wish_is_only_looked_up() -> None:
    world = World()
    world.disk = Record(Intent("key", INITIATE, draft().body(), world.wall, otp_removed=True))
    world.crash()
    world.answer("answered")

    assert world.request is None
    assert world.state.phase is Phase.UNKNOWN


# --- retry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [ready, posting, waiting])
def test_only_what_failed_can_be_retried(make: object) -> None:
    world: World = make()  # type: ignore[operator]  # each makes a world
    before = world.state
    world.press_retry()

    assert world.state == before


def test_a_retry_whose_answer_is_lost_shows_in_the_count_of_attempts() -> None:
    world = failed()
    world.press_retry()
    settle_disk(world)
    world.answer("answer_lost")
    world.ring()
    assert isinstance(world.request, do.GetStatus)
    world.answer("answered")

    assert world.state.phase is Phase.WAITING
    assert world.state.payment is not None
    assert world.state.payment.attempt_count == 2


def test_a_retry_in_the_journal_is_not_taken_for_the_failure_before_it() -> None:
    world = failed()
    settle_disk(world)
    world.press_retry()
    settle_disk(world)
    world.crash()

    assert world.state.phase is Phase.UNKNOWN
    world.answer("answered")
    assert isinstance(world.request, do.Post), "the server has not got it: sent again, same key"


def test_not_retryable_after_all_asks_what_the_payment_is_now() -> None:
    world = failed()
    world.press_retry()
    settle_disk(world)
    world.settle("pending", "waiting_for_payer")
    for charge in world.charges.values():
        charge.status, charge.detail = "successful", "credited"  # a late success
    world.answer("answered")

    assert world.state.phase is Phase.FAILED
    assert isinstance(world.request, do.GetStatus)
    world.answer("answered")
    assert world.state.phase is Phase.SUCCEEDED


# --- only the server settles -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outcome", ["offline", "lost_on_the_way", "500_after", "garbage_after", "throttled", "not_found"]
)
def test_trouble_while_waiting_settles_nothing_and_asks_again(outcome: str) -> None:
    world = waiting()
    world.ring()
    number, world.request = world.request.number, None
    error = {
        "offline": errors.Offline(),
        "lost_on_the_way": errors.Timeout(),
        "500_after": errors.ServerError(500),
        "garbage_after": errors.MalformedAnswer("html"),
        "throttled": errors.Throttled(9),
        "not_found": errors.NotFound("not_found"),
    }[outcome]
    world.send(ev.Failed(number, error))

    assert world.state.phase is Phase.WAITING
    assert world.alarm is not None
    assert world.state.online is (outcome != "offline")


def test_the_end_of_the_countdown_settles_nothing() -> None:
    world = waiting()
    world.state = replace(world.state, deadline=world.monotonic - 1)

    assert world.state.overdue(world.monotonic)
    assert world.state.seconds_left(world.monotonic) == 0
    world.ring()
    world.answer("answered")
    assert world.state.phase is Phase.WAITING


def test_paid_is_never_asked_about_again() -> None:
    world = waiting()
    world.settle("successful", "credited")
    world.ring()
    world.answer("answered")
    assert world.state.phase is Phase.SUCCEEDED
    for event in (
        ev.CheckPressed(),
        ev.SignedIn(),
        ev.Woke(world.state.counter),
        ev.PayPressed("k"),
        ev.RetryPressed("k", world.state.payment.id if world.state.payment else ""),
    ):
        world.send(event)

    assert world.request is None
    assert world.state.phase is Phase.SUCCEEDED


def test_a_failure_can_be_looked_at_again_and_a_late_success_shows() -> None:
    world = failed()
    for charge in world.charges.values():
        charge.status, charge.detail = "successful", "credited"
    world.send(ev.CheckPressed())
    world.answer("answered")

    assert world.state.phase is Phase.SUCCEEDED


# --- session, codes, pages ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [posting, waiting])
def test_a_session_that_ends_waits_in_place_and_goes_on(make: object) -> None:
    world: World = make()  # type: ignore[operator]  # each makes a world
    if world.request is None:
        world.ring()
    phase = world.state.phase
    world.answer("unauthorized")
    assert (world.state.phase, world.state.signed_in) == (phase, False)
    world.send(ev.CheckPressed())
    assert world.request is None

    world.send(ev.SignedIn())
    assert world.request is not None
    world.answer("answered")
    assert world.state.phase is Phase.WAITING


def test_the_same_code_again_is_the_same_request_again() -> None:
    world = waiting("otp_required")
    world.send(ev.OtpEntered("a", "123456"))
    first = world.request
    world.send(ev.OtpEntered("b", "123456"))
    assert world.request is first, "one at a time"
    number, world.request = first.number, None
    world.send(ev.Failed(number, errors.Timeout()))
    world.send(ev.OtpEntered("c", "123456"))

    assert world.request.key == first.key
    number, world.request = world.request.number, None
    world.send(ev.Failed(number, errors.Invalid("otp_rejected", "Wrong.")))
    assert [problem.message for problem in world.state.problems] == ["Wrong."]
    world.send(ev.OtpEntered("d", "123456"))
    assert world.request.key == "d", "after its refusal it is a new request"


def test_the_page_opens_by_itself_once_and_only_if_it_is_one() -> None:
    world = posting()
    payment = Payment.from_json(server.payment(detail="redirect", redirect_url="https://pay.test/1"))
    number, world.request = world.request.number, None
    from feexpay_client.core.machine import reduce
    from feexpay_client.core.states import Moment

    now = Moment(world.monotonic, world.wall)
    state, effects = reduce(world.state, ev.Answered(number, payment), now)
    assert do.OpenPage("https://pay.test/1") in effects
    assert reduce(state, ev.PagePressed(), now)[1] == [do.OpenPage("https://pay.test/1")]

    odd = Payment.from_json(server.payment(detail="redirect", redirect_url="file:///etc/passwd"))
    _, effects = reduce(world.state, ev.Answered(number, odd), now)
    assert not any(isinstance(effect, do.OpenPage) for effect in effects)


def test_under_review_may_be_set_aside_and_the_form_is_free() -> None:
    world = waiting("under_review")
    assert world.state.can_set_aside
    world.press_new()

    assert world.state.phase is Phase.EDITING


def test_an_open_payment_is_not_left_for_another() -> None:
    world = waiting()
    world.press_new()
    world.send(ev.Edited(draft(100)))
    world.press_pay()

    assert world.state.phase is Phase.WAITING


# --- the quote ---------------------------------------------------------------------------------------


def test_typing_asks_for_one_quote_and_a_number_for_none() -> None:
    world = World()
    world.send(ev.Opened(None))
    for amount in (1, 10, 100):
        world.send(ev.Edited(draft(amount)))
        assert world.request is None
    world.ring()
    assert isinstance(world.request, do.GetQuote)
    assert world.request.draft.amount == 100
    world.answer("answered")

    world.send(ev.Edited(replace(draft(100), phone="0197")))
    assert world.state.phase is Phase.READY
    assert world.request is None


def test_a_quote_for_another_amount_never_counts() -> None:
    world = ready()
    world.send(ev.Edited(draft(100)))

    assert world.state.quote is None
    assert not world.state.can_pay
    world.press_pay()
    assert world.writes == []


def test_a_quote_is_asked_for_again_when_the_network_is_back() -> None:
    world = World()
    world.send(ev.Opened(None))
    world.send(ev.Edited(draft()))
    world.ring()
    world.answer("offline")
    assert world.state.phase is Phase.QUOTING
    world.send(ev.CheckPressed())
    world.answer("answered")

    assert world.state.phase is Phase.READY
    assert world.state.notice is None


def test_a_damaged_journal_asks_the_server_before_anything_is_paid() -> None:
    world = waiting()
    settle_disk(world)
    world.crash(damaged=True)
    assert isinstance(world.request, do.FindPending)
    assert not world.state.can_pay
    world.crash()
    assert isinstance(world.request, do.FindPending), "also after one more restart"
    world.answer("answered")
    assert world.state.phase is Phase.WAITING
    assert world.state.notice is not None
    assert world.state.notice.code == "journal_damaged"
