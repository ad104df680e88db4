"""The rules of the reducer, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from feexpay_client.core import effects as do
from feexpay_client.core import errors
from feexpay_client.core import events as ev
from feexpay_client.core.models import Payment
from feexpay_client.core.states import INITIATE, RETRY, Intent, Phase, Record
from feexpay_client.core.transitions import IN_FLIGHT_SECONDS, RESEND_SECONDS

from tests.core import fake_server
from tests.core.simulation import Simulation, draft


def ready() -> Simulation:
    """The form is complete and has a quote."""
    sim = Simulation()
    sim.send(ev.Opened(None))
    sim.send(ev.Edited(draft()))
    sim.fire_timer()
    sim.answer("answered")
    assert sim.state.phase is Phase.READY
    return sim


def posting() -> Simulation:
    """The intent is on disk and the POST is running."""
    sim = ready()
    sim.press_pay()
    sim.write()
    assert isinstance(sim.request, do.Post)
    return sim


def waiting(detail: str = "waiting_for_payer") -> Simulation:
    """The payment waits for the payer."""
    sim = posting()
    sim.answer("answered")
    if detail != "waiting_for_payer":
        sim.change(detail)
        sim.fire_timer()
        sim.answer("answered")
    return sim


def failed() -> Simulation:
    sim = waiting()
    sim.settle("failed", "declined")
    sim.fire_timer()
    sim.answer("answered")
    assert sim.state.phase is Phase.FAILED
    return sim


def write_all(sim: Simulation) -> None:
    while sim.writes:
        sim.write()


# --- the key is on disk before anything is sent ------------------------------------------------------


def test_nothing_is_sent_before_the_key_is_on_disk() -> None:
    sim = ready()
    sim.press_pay()

    assert sim.request is None
    sim.send(ev.CheckPressed())
    sim.send(ev.SignedIn())
    assert sim.request is None
    sim.write()
    assert isinstance(sim.request, do.Post)


def test_a_full_disk_sends_nothing_and_keeps_the_form() -> None:
    sim = ready()
    sim.disk_works = False
    sim.press_pay()
    sim.write()

    assert sim.request is None
    assert sim.state.phase is Phase.READY
    assert sim.state.notice is not None
    assert sim.state.notice.code == "journal_disk"
    assert sim.state.draft == draft()


def test_a_retry_waits_for_the_disk_like_the_first_attempt() -> None:
    sim = failed()
    write_all(sim)
    sim.press_retry()
    sim.send(ev.CheckPressed())

    assert sim.request is None
    sim.write()
    assert isinstance(sim.request, do.Post)
    assert sim.request.intent.kind == RETRY


def test_unsent_request_is_saved_as_sent_before_it_is_sent() -> None:
    sim = posting()
    sim.answer("offline")
    write_all(sim)
    assert sim.disk is not None
    assert sim.disk.intent.may_have_left is False

    sim.fire_timer()
    assert sim.request is None, "saved first"
    sim.write()
    assert sim.disk.intent.may_have_left is True
    assert isinstance(sim.request, do.Post)


# --- no second key while the first may still arrive --------------------------------------------------


def test_two_taps_start_one_payment() -> None:
    sim = ready()
    sim.press_pay()
    sim.press_pay()

    assert len(sim.writes) == 1
    assert sim.writes[0] == do.Save(Record(sim.state.intent))  # type: ignore[arg-type]  # it is set


def test_lost_answer_is_searched_before_sending_again() -> None:
    sim = posting()
    sim.answer("answer_lost")
    assert sim.state.phase is Phase.UNKNOWN

    sim.fire_timer()
    assert isinstance(sim.request, do.FindByKey)
    sim.answer("answered")
    assert sim.state.phase is Phase.WAITING


def test_request_the_server_does_not_have_is_sent_again_with_the_same_key() -> None:
    sim = posting()
    key = sim.request.intent.key
    sim.answer("request_lost")
    sim.fire_timer()
    sim.answer("answered")

    assert isinstance(sim.request, do.Post)
    assert sim.request.intent.key == key


def test_refusal_is_not_final_while_an_earlier_request_may_arrive() -> None:
    sim = posting()
    sim.answer("arrives_later")
    sim.fire_timer()
    sim.answer("answered")  # not found, so it is sent again
    sim.answer("invalid")

    assert sim.state.phase is Phase.UNKNOWN
    sim.answer("answered")
    assert sim.state.phase is Phase.UNKNOWN, "the first may still arrive"
    while sim.state.phase is Phase.UNKNOWN:
        sim.fire_timer()
        if sim.request is not None:
            sim.answer("answered")
    assert sim.state.phase is Phase.WAITING, "it did"


def test_offline_error_does_not_reset_may_have_left_of_an_earlier_request() -> None:
    sim = posting()
    sim.answer("arrives_later")
    sim.fire_timer()
    sim.answer("answered")
    sim.answer("offline")

    assert not sim.state.can_cancel
    assert sim.state.intent is not None
    assert sim.state.intent.may_have_left


def test_search_time_starts_at_the_last_request() -> None:
    sim = posting()
    sim.answer("request_lost")
    sim.pass_time(RESEND_SECONDS - 1)
    sim.send(ev.CheckPressed())
    sim.answer("answered")
    assert isinstance(sim.request, do.Post)
    sim.answer("request_lost")  # sent just now; from here on the intent is too old to be sent again
    sim.pass_time(5)
    sim.send(ev.CheckPressed())
    sim.answer("answered")
    assert sim.state.phase is Phase.UNKNOWN

    sim.pass_time(IN_FLIGHT_SECONDS)
    sim.send(ev.CheckPressed())
    sim.answer("answered")
    assert sim.state.phase is Phase.READY
    assert sim.state.notice is not None
    assert sim.state.notice.code == "not_sent"


def test_unavailable_is_checked_by_a_search() -> None:
    sim = posting()
    sim.answer("unavailable_after")  # it stored the payment, then its database failed
    sim.fire_timer()
    sim.answer("answered")

    assert sim.state.phase is Phase.WAITING


def test_unavailable_without_a_payment_keeps_the_form() -> None:
    sim = posting()
    sim.answer("unavailable")
    sim.fire_timer()
    sim.answer("answered")

    assert sim.state.phase is Phase.READY
    assert sim.state.notice is not None
    assert sim.state.notice.code == "gateway_unavailable"


def test_refused_fields_are_shown_and_the_journal_is_empty() -> None:
    sim = posting()
    sim.answer("invalid")
    write_all(sim)

    assert sim.state.phase is Phase.EDITING
    assert [problem.field for problem in sim.state.problems] == ["phone"]
    assert sim.disk is None


def test_other_open_payment_is_followed() -> None:
    sim = posting()
    sim.answer("conflict")
    sim.answer("answered")

    assert sim.state.phase is Phase.WAITING
    assert sim.state.payment is not None
    assert sim.state.payment.id.startswith("other")
    assert sim.state.notice is not None
    assert sim.state.notice.code == "duplicate_payment"


def test_key_mismatch_follows_the_payment_with_that_key() -> None:
    sim = posting()
    number = sim.request.number
    sim._receive(sim.request.intent)
    sim.request = None
    sim.send(ev.Failed(number, errors.Invalid("idempotency_mismatch")))
    sim.answer("answered")

    assert sim.state.phase is Phase.WAITING


def test_idempotency_conflict_waits_for_the_first_request() -> None:
    sim = posting()
    number, sim.request = sim.request.number, None
    sim.send(ev.Failed(number, errors.Conflict("idempotency_conflict", retry_after=2)))

    assert sim.state.phase is Phase.UNKNOWN
    assert sim.timer is not None
    assert sim.timer.after == 2


def test_request_that_was_never_sent_can_be_cancelled() -> None:
    sim = posting()
    sim.answer("offline")
    assert sim.state.can_cancel
    sim.send(ev.CancelPressed())
    write_all(sim)

    assert sim.state.phase is Phase.READY
    assert sim.disk is None


def test_request_that_may_have_left_cannot_be_cancelled() -> None:
    sim = posting()
    sim.answer("answer_lost")
    sim.send(ev.CancelPressed())

    assert sim.state.phase is Phase.UNKNOWN


# --- old intents -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "age", [RESEND_SECONDS + 60, 25 * 3600.0, -3600.0], ids=["stale", "yesterday", "clock set back"]
)
def test_old_intent_is_searched_and_never_sent_automatically(age: float) -> None:
    sim = Simulation()
    sim.disk = Record(Intent("old", INITIATE, draft().body(), sim.wall - age))
    sim.crash()

    for _ in range(20):
        assert not isinstance(sim.request, do.Post)
        if sim.request is not None:
            assert isinstance(sim.request, do.FindByKey)
            sim.answer("answered")
        else:
            sim.monotonic += sim.timer.after if sim.timer else 0  # the wall clock does not move
            sim.send(ev.Woke(sim.timer.number)) if sim.timer else None
    assert sim.state.phase is Phase.EDITING
    assert sim.state.notice is not None
    assert sim.state.notice.code == "not_sent"
    assert sim.state.draft.amount == 5000, "the form keeps its values"


def test_restart_resets_the_search_time() -> None:
    sim = Simulation()
    sim.disk = Record(Intent("old", INITIATE, draft().body(), sim.wall - 24 * 3600))
    sim.crash()
    sim.answer("answered")

    assert sim.state.phase is Phase.UNKNOWN
    assert not sim.state.can_pay


def test_intent_without_its_one_time_code_is_only_searched() -> None:
    sim = Simulation()
    sim.disk = Record(Intent("key", INITIATE, draft().body(), sim.wall, otp_removed=True))
    sim.crash()
    sim.answer("answered")

    assert sim.request is None
    assert sim.state.phase is Phase.UNKNOWN


# --- retry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [ready, posting, waiting])
def test_only_a_failed_payment_can_be_retried(make: object) -> None:
    sim: Simulation = make()  # type: ignore[operator]  # each makes a Simulation
    before = sim.state
    sim.press_retry()

    assert sim.state == before


def test_lost_retry_is_found_by_the_attempt_count() -> None:
    sim = failed()
    sim.press_retry()
    write_all(sim)
    sim.answer("answer_lost")
    sim.fire_timer()
    assert isinstance(sim.request, do.GetStatus)
    sim.answer("answered")

    assert sim.state.phase is Phase.WAITING
    assert sim.state.payment is not None
    assert sim.state.payment.attempt_count == 2


def test_restart_during_a_retry_does_not_show_the_earlier_failure() -> None:
    sim = failed()
    write_all(sim)
    sim.press_retry()
    write_all(sim)
    sim.crash()

    assert sim.state.phase is Phase.UNKNOWN
    sim.answer("answered")
    assert isinstance(sim.request, do.Post), "the server does not have it: sent again"


def test_not_retryable_polls_the_payment() -> None:
    sim = failed()
    sim.press_retry()
    write_all(sim)
    sim.settle("pending", "waiting_for_payer")
    for charge in sim.charges.values():
        charge.status, charge.detail = "successful", "credited"  # a late success
    sim.answer("answered")

    assert sim.state.phase is Phase.FAILED
    assert isinstance(sim.request, do.GetStatus)
    sim.answer("answered")
    assert sim.state.phase is Phase.SUCCEEDED


# --- only the server settles -------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["offline", "request_lost", "500_after", "garbage_after", "throttled", "not_found"])
def test_errors_while_waiting_settle_nothing_and_polling_continues(outcome: str) -> None:
    sim = waiting()
    sim.fire_timer()
    number, sim.request = sim.request.number, None
    error = {
        "offline": errors.Offline(),
        "request_lost": errors.Timeout(),
        "500_after": errors.ServerError(500),
        "garbage_after": errors.MalformedAnswer("html"),
        "throttled": errors.Throttled(9),
        "not_found": errors.NotFound("not_found"),
    }[outcome]
    sim.send(ev.Failed(number, error))

    assert sim.state.phase is Phase.WAITING
    assert sim.timer is not None
    assert sim.state.online is (outcome != "offline")


def test_the_end_of_the_countdown_settles_nothing() -> None:
    sim = waiting()
    sim.state = replace(sim.state, deadline=sim.monotonic - 1)

    assert sim.state.overdue(sim.monotonic)
    assert sim.state.seconds_left(sim.monotonic) == 0
    sim.fire_timer()
    sim.answer("answered")
    assert sim.state.phase is Phase.WAITING


def test_successful_payment_is_not_polled() -> None:
    sim = waiting()
    sim.settle("successful", "credited")
    sim.fire_timer()
    sim.answer("answered")
    assert sim.state.phase is Phase.SUCCEEDED
    for event in (
        ev.CheckPressed(),
        ev.SignedIn(),
        ev.Woke(sim.state.counter),
        ev.PayPressed("k"),
        ev.RetryPressed("k", sim.state.payment.id if sim.state.payment else ""),
    ):
        sim.send(event)

    assert sim.request is None
    assert sim.state.phase is Phase.SUCCEEDED


def test_failed_payment_can_be_polled_and_a_late_success_shows() -> None:
    sim = failed()
    for charge in sim.charges.values():
        charge.status, charge.detail = "successful", "credited"
    sim.send(ev.CheckPressed())
    sim.answer("answered")

    assert sim.state.phase is Phase.SUCCEEDED


# --- session, codes, pages ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [posting, waiting])
def test_payment_continues_after_signing_in_again(make: object) -> None:
    sim: Simulation = make()  # type: ignore[operator]  # each makes a Simulation
    if sim.request is None:
        sim.fire_timer()
    phase = sim.state.phase
    sim.answer("unauthorized")
    assert (sim.state.phase, sim.state.signed_in) == (phase, False)
    sim.send(ev.CheckPressed())
    assert sim.request is None

    sim.send(ev.SignedIn())
    assert sim.request is not None
    sim.answer("answered")
    assert sim.state.phase is Phase.WAITING


def test_same_code_reuses_its_key_until_it_is_refused() -> None:
    sim = waiting("otp_required")
    sim.send(ev.OtpEntered("a", "123456"))
    first = sim.request
    sim.send(ev.OtpEntered("b", "123456"))
    assert sim.request is first, "one request at a time"
    number, sim.request = first.number, None
    sim.send(ev.Failed(number, errors.Timeout()))
    sim.send(ev.OtpEntered("c", "123456"))

    assert sim.request.key == first.key
    number, sim.request = sim.request.number, None
    sim.send(ev.Failed(number, errors.Invalid("otp_rejected", "Wrong.")))
    assert [problem.message for problem in sim.state.problems] == ["Wrong."]
    sim.send(ev.OtpEntered("d", "123456"))
    assert sim.request.key == "d", "after its refusal it is a new request"


def test_payment_page_opens_once_and_only_for_http_addresses() -> None:
    sim = posting()
    payment = Payment.from_json(fake_server.payment(detail="redirect", redirect_url="https://pay.test/1"))
    number, sim.request = sim.request.number, None
    from feexpay_client.core.machine import reduce
    from feexpay_client.core.states import Moment

    now = Moment(sim.monotonic, sim.wall)
    state, effects = reduce(sim.state, ev.Answered(number, payment), now)
    assert do.OpenPage("https://pay.test/1") in effects
    assert reduce(state, ev.PagePressed(), now)[1] == [do.OpenPage("https://pay.test/1")]

    unsafe = Payment.from_json(fake_server.payment(detail="redirect", redirect_url="file:///etc/passwd"))
    _, effects = reduce(sim.state, ev.Answered(number, unsafe), now)
    assert not any(isinstance(effect, do.OpenPage) for effect in effects)


def test_payment_under_review_may_be_set_aside() -> None:
    sim = waiting("under_review")
    assert sim.state.can_set_aside
    sim.press_new()

    assert sim.state.phase is Phase.EDITING


def test_open_payment_cannot_be_replaced() -> None:
    sim = waiting()
    sim.press_new()
    sim.send(ev.Edited(draft(100)))
    sim.press_pay()

    assert sim.state.phase is Phase.WAITING


# --- the quote ---------------------------------------------------------------------------------------


def test_typing_an_amount_requests_one_quote_and_typing_a_phone_number_requests_none() -> None:
    sim = Simulation()
    sim.send(ev.Opened(None))
    for amount in (1, 10, 100):
        sim.send(ev.Edited(draft(amount)))
        assert sim.request is None
    sim.fire_timer()
    assert isinstance(sim.request, do.GetQuote)
    assert sim.request.draft.amount == 100
    sim.answer("answered")

    sim.send(ev.Edited(replace(draft(100), phone="0197")))
    assert sim.state.phase is Phase.READY
    assert sim.request is None


def test_quote_for_another_amount_is_dropped() -> None:
    sim = ready()
    sim.send(ev.Edited(draft(100)))

    assert sim.state.quote is None
    assert not sim.state.can_pay
    sim.press_pay()
    assert sim.writes == []


def test_quote_is_requested_again_when_the_network_is_back() -> None:
    sim = Simulation()
    sim.send(ev.Opened(None))
    sim.send(ev.Edited(draft()))
    sim.fire_timer()
    sim.answer("offline")
    assert sim.state.phase is Phase.QUOTING
    sim.send(ev.CheckPressed())
    sim.answer("answered")

    assert sim.state.phase is Phase.READY
    assert sim.state.notice is None


def test_damaged_journal_searches_for_a_pending_payment_first() -> None:
    sim = waiting()
    write_all(sim)
    sim.crash(damaged=True)
    assert isinstance(sim.request, do.FindPending)
    assert not sim.state.can_pay
    sim.crash()
    assert isinstance(sim.request, do.FindPending), "also after one more restart"
    sim.answer("answered")
    assert sim.state.phase is Phase.WAITING
    assert sim.state.notice is not None
    assert sim.state.notice.code == "journal_damaged"
