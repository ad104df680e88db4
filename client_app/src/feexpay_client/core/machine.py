"""The payment flow as a pure reducer: (state, event, now) → (state, effects).

It uses no clock, random source, disk or network: `flow.Flow` executes the effects and returns the answers as events.

Invariants (tests/core/test_invariants.py checks them under random events):
1. The key is on disk before the first POST. One key has one body. A new key is used only after the server settled the
   last payment, or certainly has no payment with the last key.
2. Never two open payments: two presses start one payment.
3. Only an answer of the server leads to SUCCEEDED or FAILED.
4. Only the payer leaves SUCCEEDED. Answers to cancelled requests are ignored.
5. A restart continues from the journal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from feexpay_client.core import effects as do
from feexpay_client.core import errors, poller, transitions
from feexpay_client.core import events as ev
from feexpay_client.core.effects import Effect
from feexpay_client.core.models import Payment
from feexpay_client.core.states import (
    FOLLOW,
    FOLLOWING,
    FORM,
    INITIATE,
    OPEN,
    RETRY,
    Draft,
    Intent,
    Moment,
    Notice,
    Phase,
    Record,
    State,
    phase_of,
)
from feexpay_client.core.transitions import Step


def reduce(state: State, event: ev.Event, now: Moment) -> Step:
    """Compute the next state and its effects. An event that does not fit the state is ignored."""
    rule = cast(Callable[[State, Any, Moment], Step], _RULES[type(event)])
    return rule(state, event, now)


# --- payer actions ---------------------------------------------------------------------------------


def _edited(state: State, event: ev.Edited, now: Moment) -> Step:
    if state.phase not in FORM:
        return state, []
    same_price = event.draft.has_same_price(state.draft) and state.quote is not None
    state = replace(state, draft=event.draft, problems=(), notice=None)
    if not event.draft.priced:
        return replace(transitions.idle(state), phase=Phase.EDITING, quote=None), []
    if same_price:
        return replace(state, phase=Phase.READY), []
    state = replace(transitions.idle(state), phase=Phase.QUOTING, quote=None, failures=0)
    return transitions.wake(state, poller.TYPING_SECONDS)


def _pay_pressed(state: State, event: ev.PayPressed, now: Moment) -> Step:
    if not state.can_pay:
        return state, []
    if state.other_window:
        return transitions.refuse_while_other_window(state)
    intent = Intent(event.key, INITIATE, state.draft.body(), now.wall)
    return _begin(state, intent, payment=None)


def _retry_pressed(state: State, event: ev.RetryPressed, now: Moment) -> Step:
    payment = state.payment
    if not state.can_retry or payment is None or payment.id != event.payment_id:
        return state, []
    if state.other_window:
        return transitions.refuse_while_other_window(state)
    body = {name: value for name, value in (("phone", event.phone), ("otp", event.otp)) if value}
    intent = Intent(event.key, RETRY, body, now.wall, payment.id, payment.attempt_count)
    return _begin(state, intent, payment=payment)


def _begin(state: State, intent: Intent, *, payment: Payment | None) -> Step:
    """Save the intent first. It is sent after Saved."""
    state = replace(
        transitions.idle(state),
        phase=Phase.SUBMITTING,
        intent=intent,
        payment=payment,
        saved=False,
        maybe_sent=False,
        sends=0,
        refusal=None,
        problems=(),
        notice=None,
        failures=0,
        deadline=None,
        page_opened=True,
    )
    return transitions.save(state)


def _saved(state: State, event: ev.Saved, now: Moment) -> Step:
    if state.phase is not Phase.SUBMITTING or state.saved or state.intent != event.intent:
        return state, []
    state = replace(state, saved=True)
    return transitions.post(state) if state.signed_in else (state, [])


def _save_failed(state: State, event: ev.SaveFailed, now: Moment) -> Step:
    """Send nothing without the key on disk; keep following an intent that was already sent."""
    if state.phase is not Phase.SUBMITTING or state.saved or state.intent != event.intent:
        return state, []
    state, work = transitions.unsent(state, Notice(f"journal_{event.code}"))
    if event.code != "busy":
        return state, work
    return replace(state, other_window=True), [*work, do.OpenJournal(transitions.OTHER_WINDOW_SECONDS)]


def _otp_entered(state: State, event: ev.OtpEntered, now: Moment) -> Step:
    if state.phase is not Phase.OTP or state.payment is None or state.request_kind == "otp" or not state.signed_in:
        return state, []
    # The same code reuses its key: the server handles it once.
    key = state.otp_key if state.otp_code == event.code else event.key
    state = replace(transitions.idle(state), otp_code=event.code, otp_key=key, problems=(), notice=None)
    state, number = transitions.numbered(state, "otp")
    return state, [do.PostOtp(number, cast(Payment, state.payment).id, key, event.code)]


def _check_pressed(state: State, event: ev.CheckPressed, now: Moment) -> Step:
    other_window = state.other_window
    state, work = transitions.start_request(state, now)
    return state, [*work, do.OpenJournal(0.0)] if other_window else work


def _page_pressed(state: State, event: ev.PagePressed, now: Moment) -> Step:
    if state.phase is not Phase.REDIRECT:
        return state, []
    return replace(state, page_opened=True), transitions.page_of(state.payment)


def _page_not_opened(state: State, event: ev.PageNotOpened, now: Moment) -> Step:
    return (replace(state, page_opened=False) if state.phase is Phase.REDIRECT else state), []


def _cancel_pressed(state: State, event: ev.CancelPressed, now: Moment) -> Step:
    if not state.can_cancel:
        return state, []
    return transitions.unsent(state, None)


def _new_pressed(state: State, event: ev.NewPressed, now: Moment) -> Step:
    if not state.can_be_replaced:
        return state, []
    return transitions.new_state(state), [] if state.intent is None else [do.Forget(state.intent.key)]


def _chosen(state: State, event: ev.Chosen, now: Moment) -> Step:
    """Follow a payment of the history and save it; a settled one is only shown."""
    if not state.can_be_replaced:
        return state, []
    payment = event.payment
    intent = Intent(payment.id, FOLLOW, {}, now.wall, payment.id)
    followed = transitions.new_state(
        state, phase=phase_of(payment), intent=intent, payment=payment, saved=True, unanswered_since=now.monotonic
    )
    before: list[Effect] = [] if state.intent is None else [do.Forget(state.intent.key)]
    followed, work = transitions.start_request(followed, now)
    return followed, [*before, do.Save(Record(intent, payment)), *work]


# --- start, sign-in and timer -----------------------------------------------------------------------


def _opened(state: State, event: ev.Opened, now: Moment) -> Step:
    if event.other_window:
        return replace(state, other_window=True), [do.OpenJournal(transitions.OTHER_WINDOW_SECONDS)]
    if state.other_window and not _has_payment_to_show(event, state):
        return _take_over_journal(state)
    state = State(counter=state.counter, signed_in=state.signed_in, unanswered_since=now.monotonic)
    record = event.record
    if record is not None:
        intent = record.intent
        state = replace(state, intent=intent, payment=record.payment, saved=True, maybe_sent=intent.may_have_left)
        if intent.kind == INITIATE and intent.body:
            state = replace(state, draft=Draft.from_body(intent.body))
        return transitions.start_request(replace(state, phase=_phase_of_record(record)), now)
    if event.damaged:
        # The journal is lost: ask the server which payment is pending.
        return transitions.start_request(replace(state, phase=Phase.UNKNOWN, notice=Notice("journal_damaged")), now)
    return state, []


def _has_payment_to_show(event: ev.Opened, state: State) -> bool:
    """Whether the journal of the closed window holds a payment that this window must show."""
    record = event.record
    if record is None:
        return event.damaged
    return state.phase in FORM or _phase_of_record(record) in OPEN


def _take_over_journal(state: State) -> Step:
    """Take over the journal of a closed window, and keep the payment that this window shows."""
    was_busy = state.notice is not None and state.notice.code == "journal_busy"
    state = replace(state, other_window=False, notice=None if was_busy else state.notice)
    return transitions.save(state) if state.intent is not None else (state, [])


def _phase_of_record(record: Record) -> Phase:
    if record.payment is None or record.intent.kind == RETRY:
        return Phase.UNKNOWN
    return phase_of(record.payment)


def _signed_in(state: State, event: ev.SignedIn, now: Moment) -> Step:
    if state.signed_in:
        return state, []
    return transitions.start_request(
        replace(state, signed_in=True, notice=transitions.kept_notice(state.notice), failures=0), now
    )


def _woke(state: State, event: ev.Woke, now: Moment) -> Step:
    if event.number != state.timer:
        return state, []
    return transitions.start_request(replace(state, timer=0), now)


# --- answers -----------------------------------------------------------------------------------------


def _quoted(state: State, event: ev.Quoted, now: Moment) -> Step:
    if event.number != state.request or state.request_kind != "quote":
        return state, []
    return replace(transitions.request_done(state), phase=Phase.READY, quote=event.quote, notice=None), []


def _answered(state: State, event: ev.Answered, now: Moment) -> Step:
    if event.number != state.request or state.request_kind == "quote":
        return state, []
    kind, state = state.request_kind, transitions.request_done(state)
    if transitions.is_before_retry(state, event.payment):
        return transitions.nothing_found(state, now)
    return _take(state, event, now, _page_after(kind, event.payment))


def _page_after(kind: str, payment: Payment) -> list[Effect]:
    """Open the operator's page by itself only after the payer's own request."""
    return transitions.page_of(payment) if kind == "post" and phase_of(payment) is Phase.REDIRECT else []


def _pushed(state: State, event: ev.Pushed, now: Moment) -> Step:
    """The stream has a newer version than an answer that is still on its way."""
    if event.payment.id != state.followed_id:
        return state, []
    if state.request_kind not in ("", "status"):  # a code is on its way: its answer decides, and polls follow it
        return replace(state, live=False), []
    return _take(replace(transitions.request_done(state), live=True), event, now, [])


def _stream_opened(state: State, event: ev.StreamOpened, now: Moment) -> Step:
    return replace(state, live=bool(state.followed_id)), []


def _stream_ended(state: State, event: ev.StreamEnded, now: Moment) -> Step:
    """Poll at once if the stream broke, and a second later if the server ended it, as it ends many at once."""
    if not state.live:
        return state, []
    state = replace(state, live=False)
    if state.request or state.phase not in FOLLOWING:
        return state, []
    return transitions.start_request(state, now) if event.broken else transitions.wake(state, poller.SOONEST_SECONDS)


def _take(state: State, event: ev.Answered | ev.Pushed, now: Moment, pages: list[Effect]) -> Step:
    """Show the server's version of the payment, and poll it again."""
    before, state = state, _updated(state, event, now)
    changed = (before.phase, before.intent) != (state.phase, state.intent)
    work = transitions.save(state)[1] if changed else []
    return transitions.poll_again(state, work + pages)


def _updated(state: State, event: ev.Answered | ev.Pushed, now: Moment) -> State:
    """Update the state from the server's version of the payment."""
    phase = phase_of(event.payment)
    same, still_otp = phase is state.phase, phase is state.phase is Phase.OTP
    return replace(
        state,
        phase=phase,
        intent=transitions.intent_after_answer(state.intent, event.payment, now),
        payment=event.payment,
        saved=True,
        sends=0,
        unchanged_polls=0,
        live=state.live and phase in FOLLOWING,
        deadline=transitions.deadline(event.payment, event.server_now, now),
        notice=transitions.kept_notice(state.notice),
        problems=state.problems if same else (),
        otp_code=state.otp_code if still_otp else "",
        otp_key=state.otp_key if still_otp else "",
    )


def _unchanged(state: State, event: ev.Unchanged, now: Moment) -> Step:
    if event.number != state.request or state.request_kind != "status":
        return state, []
    state = transitions.request_done(state)
    if state.payment is None or transitions.is_before_retry(state, state.payment):
        return transitions.nothing_found(state, now)
    return transitions.poll_again(
        replace(state, notice=transitions.kept_notice(state.notice), unchanged_polls=state.unchanged_polls + 1), []
    )


def _nothing_found(state: State, event: ev.NothingFound, now: Moment) -> Step:
    if event.number != state.request or state.request_kind != "search":
        return state, []
    state = transitions.request_done(state)
    if state.intent is None:  # the journal was lost and no payment is pending
        return replace(state, phase=Phase.EDITING), [do.Forget("")]
    return transitions.nothing_found(state, now)


def _failed(state: State, event: ev.Failed, now: Moment) -> Step:
    """Handle a request without a usable answer. It never settles a payment; the next poll may."""
    if event.number != state.request:
        return state, []
    kind, error = state.request_kind, event.error
    state = replace(transitions.idle(state), online=not isinstance(error, errors.Offline), failures=state.failures + 1)
    if isinstance(error, errors.Unauthorized):
        return replace(state, signed_in=False, notice=Notice("session_ended")), [do.AskSignIn()]
    state = replace(state, notice=transitions.notice_of(error))
    return _FAILURES[kind](state, error, now)


def _quote_failed(state: State, error: errors.ApiError, now: Moment) -> Step:
    if isinstance(error, errors.Refused) and not isinstance(error, errors.Throttled | errors.Unavailable):
        return replace(state, phase=Phase.EDITING, problems=transitions.fields_of(error)), []
    return transitions.poll_later(state, error)


def _post_failed(state: State, error: errors.ApiError, now: Moment) -> Step:
    """Handle a failed POST, the only request that can charge the payer."""
    if isinstance(error, errors.Offline | errors.Throttled):
        return _not_received(state, error)
    if isinstance(error, errors.Refused) and error.code != "idempotency_conflict":
        return _post_refused(state, error, now)
    return transitions.poll_later(
        replace(state, phase=Phase.UNKNOWN, maybe_sent=True, unanswered_since=now.monotonic), error
    )


def _not_received(state: State, error: errors.ApiError) -> Step:
    """The server did not process the request. Send it again later; until then the payer may cancel."""
    intent = cast(Intent, state.intent)
    state, timer = transitions.poll_later(state, error)
    if state.maybe_sent or not intent.may_have_left:
        return state, timer
    state = replace(state, intent=replace(intent, may_have_left=False))
    return state, [*transitions.save(state)[1], *timer]


def _post_refused(state: State, error: errors.Refused, now: Moment) -> Step:
    """The server refused to start the payment."""
    intent = cast(Intent, state.intent)
    open_payment = error.payment_id or intent.payment_id if isinstance(error, errors.Conflict) else None
    if open_payment and error.code in ("duplicate_payment", "payment_open"):
        return transitions.follow(state, open_payment, now)
    state = replace(state, problems=transitions.fields_of(error), refusal=state.notice)
    if state.maybe_sent or isinstance(error, errors.Unavailable) or error.code == "idempotency_mismatch":
        # An earlier request may still be on its way, or the server's database failed: check the history.
        return transitions.search(replace(state, phase=Phase.UNKNOWN))
    state, work = transitions.unsent(state, state.notice)
    if error.code != "not_retryable":
        return state, work
    state, request = transitions.start_request(state, now)  # the known payment is out of date
    return state, work + request


def _search_failed(state: State, error: errors.ApiError, now: Moment) -> Step:
    return transitions.poll_later(state, error)


def _otp_failed(state: State, error: errors.ApiError, now: Moment) -> Step:
    if isinstance(error, errors.Invalid):
        wrong = transitions.fields_of(error) or (errors.FieldProblem("otp", error.code, error.message),)
        state = replace(state, problems=wrong, notice=None, otp_code="", otp_key="", failures=0)
        return transitions.poll_again(state, [])
    if isinstance(error, errors.Conflict) and error.code == "otp_not_expected":
        return transitions.start_request(replace(state, notice=None), now)
    return transitions.poll_later(state, error)


# --- dispatch tables ------------------------------------------------------------------------------------------

_FAILURES: dict[str, Callable[[State, errors.ApiError, Moment], Step]] = {
    "quote": _quote_failed,
    "post": _post_failed,
    "search": _search_failed,
    "status": _search_failed,
    "otp": _otp_failed,
}

_RULES: dict[type[Any], Callable[..., Step]] = {
    ev.Opened: _opened,
    ev.Edited: _edited,
    ev.PayPressed: _pay_pressed,
    ev.RetryPressed: _retry_pressed,
    ev.OtpEntered: _otp_entered,
    ev.CheckPressed: _check_pressed,
    ev.PagePressed: _page_pressed,
    ev.PageNotOpened: _page_not_opened,
    ev.CancelPressed: _cancel_pressed,
    ev.NewPressed: _new_pressed,
    ev.Chosen: _chosen,
    ev.Saved: _saved,
    ev.SaveFailed: _save_failed,
    ev.SignedIn: _signed_in,
    ev.Woke: _woke,
    ev.Quoted: _quoted,
    ev.Answered: _answered,
    ev.Pushed: _pushed,
    ev.StreamOpened: _stream_opened,
    ev.StreamEnded: _stream_ended,
    ev.Unchanged: _unchanged,
    ev.NothingFound: _nothing_found,
    ev.Failed: _failed,
}
