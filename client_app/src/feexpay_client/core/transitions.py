"""State transitions of the reducer: poll, send, give up, wait. Pure functions, like the reducer."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

from feexpay_client.core import effects as do
from feexpay_client.core import errors, poller
from feexpay_client.core.effects import Effect
from feexpay_client.core.models import FAILED, Payment
from feexpay_client.core.states import (
    FOLLOW,
    FOLLOWING,
    RETRY,
    SETTLED,
    Draft,
    Intent,
    Moment,
    Notice,
    Phase,
    Record,
    State,
)

Step = tuple[State, list[Effect]]

#: For this many seconds, a request that did not reach the server is sent again automatically. Later the payer no
#: longer expects a prompt, so the app says "not sent" and the payer may press again.
RESEND_SECONDS = 15 * 60.0
#: After this time a request that may have left can no longer arrive: the server and its proxies time out earlier.
#: Measured by the monotonic clock, because wall clocks jump.
IN_FLIGHT_SECONDS = 120.0
#: Notices that stay valid after an answer; the others are about the connection.
_LASTING = frozenset({"duplicate_payment", "payment_open", "not_retryable", "not_sent"})
#: Seconds between two searches of the history until IN_FLIGHT_SECONDS have passed.
_SEARCH_SECONDS = 15.0
#: Seconds between two attempts to lock the journal while another window holds it.
OTHER_WINDOW_SECONDS = 3.0


def start_request(state: State, now: Moment) -> Step:
    """Start the request that this phase needs, unless one is running or the payer is signed out."""
    if state.request or not state.signed_in:
        return state, []
    match state.phase:
        case Phase.QUOTING:
            state, number = numbered(state, "quote")
            return state, [do.GetQuote(number, state.draft)]
        case Phase.SUBMITTING:
            return _send(state, now) if state.saved else (state, [])
        case Phase.UNKNOWN:
            return search(state)
        case Phase.EDITING | Phase.READY | Phase.SUCCEEDED:
            return state, []
        case _:
            return _get_status(state)


def _send(state: State, now: Moment) -> Step:
    """POST the intent if the payer still expects it; else search the history for it."""
    intent = cast(Intent, state.intent)
    if not _is_fresh(intent, now):
        if not intent.may_have_left:
            return unsent(state, Notice("not_sent"))
        return search(replace(state, phase=Phase.UNKNOWN))
    state = replace(state, phase=Phase.SUBMITTING)
    if not intent.may_have_left:  # the journal must not say "never sent" while it is being sent
        return save(replace(state, intent=replace(intent, may_have_left=True), saved=False))
    return post(state)


def post(state: State) -> Step:
    """Send the only request that can charge the payer. The same intent is already on disk."""
    state, number = numbered(replace(state, sends=state.sends + 1), "post")
    return state, [do.Post(number, cast(Intent, state.intent))]


def search(state: State) -> Step:
    """Search the server by payment id, by key, or for any pending payment when the key was lost."""
    intent = state.intent
    if intent is not None and intent.payment_id is not None:
        return _get_status(state)
    state, number = numbered(state, "search")
    return state, [do.FindPending(number) if intent is None else do.FindByKey(number, intent.key)]


def _get_status(state: State) -> Step:
    known = state.payment.id if state.payment is not None else None
    payment_id = known or (state.intent.payment_id if state.intent is not None else None)
    state, number = numbered(state, "status")
    return state, [do.GetStatus(number, cast(str, payment_id))]


def nothing_found(state: State, now: Moment) -> Step:
    """The server does not know this intent yet: send it again, wait, or give up."""
    intent = cast(Intent, state.intent)
    if state.refusal is None and not intent.otp_removed and _is_fresh(intent, now):
        return _send(state, now)
    elapsed = now.monotonic - state.unanswered_since
    if state.maybe_sent and elapsed < IN_FLIGHT_SECONDS:
        return wake(state, min(_SEARCH_SECONDS, IN_FLIGHT_SECONDS - elapsed))
    return unsent(state, state.refusal or Notice("not_sent"))


def unsent(state: State, notice: Notice | None) -> Step:
    """The request with this key will never arrive: return to the form. The next press uses a new key.

    The form keeps its values. After a refused retry, the failed payment is shown as before.
    """
    intent = cast(Intent, state.intent)
    state = replace(idle(state), refusal=None, maybe_sent=False, sends=0, notice=notice, failures=0)
    if state.payment is not None:
        state = replace(state, phase=Phase.FAILED, intent=_follow_intent(state.payment, intent), saved=True)
        return state, save(state)[1]
    ready = state.quote is not None and not state.problems
    state = replace(state, phase=Phase.READY if ready else Phase.EDITING, intent=None, saved=False)
    return state, [do.Forget(intent.key)]


def follow(state: State, payment_id: str, now: Moment) -> Step:
    """Follow the open payment that prevented this one. This one was not started."""
    intent = Intent(cast(Intent, state.intent).key, FOLLOW, {}, now.wall, payment_id)
    state = replace(idle(state), phase=Phase.UNKNOWN, intent=intent, payment=None, failures=0)
    saving = save(state)[1]
    state, request = start_request(state, now)
    return state, saving + request


def new_state(state: State, **changes: Any) -> State:
    """Start a new state that keeps the provider and the currency of the last payment."""
    draft = Draft(provider=state.draft.provider, currency=state.draft.currency)
    new = State(
        counter=state.counter,
        online=state.online,
        signed_in=state.signed_in,
        other_window=state.other_window,
        draft=draft,
    )
    return replace(new, **changes)


def refuse_while_other_window(state: State) -> Step:
    """Another window may have an open payment: start nothing, and retry to lock the journal."""
    return replace(state, notice=Notice("journal_busy")), [do.OpenJournal(0.0)]


def poll_again(state: State, work: list[Effect]) -> Step:
    if state.phase not in FOLLOWING:
        return state, work
    interval = state.payment.next_poll_seconds if state.payment is not None else None
    state, timer = wake(state, poller.after_answer(interval, state.unchanged_polls, live=state.live))
    return state, work + timer


def poll_later(state: State, error: errors.ApiError) -> Step:
    """Schedule the next try after an error, except in a settled phase."""
    if state.phase in SETTLED:
        return state, []
    after: float | None = getattr(error, "retry_after", None)
    if after is None and isinstance(error, errors.Refused):
        after = poller.REFUSED_SECONDS
    return wake(state, poller.after_failure(max(state.failures, state.sends), after))


def save(state: State) -> Step:
    return state, [do.Save(Record(cast(Intent, state.intent), state.payment))]


# --- predicates and conversions -------------------------------------------------------------------------------------


def numbered(state: State, kind: str) -> tuple[State, int]:
    number = state.counter + 1
    return replace(state, counter=number, request=number, request_kind=kind, timer=0), number


def wake(state: State, after: float) -> Step:
    number = state.counter + 1
    return replace(state, counter=number, timer=number), [do.Wake(number, after)]


def idle(state: State) -> State:
    """Cancel the request and the timer: late answers are ignored."""
    return replace(state, request=0, request_kind="", timer=0)


def request_done(state: State) -> State:
    return replace(idle(state), online=True, failures=0)


def _is_fresh(intent: Intent, now: Moment) -> bool:
    # After the clock was set back, the age is negative. Such an intent is not fresh, so it is not sent automatically.
    return 0 <= now.wall - intent.begun_at <= RESEND_SECONDS


def is_before_retry(state: State, payment: Payment) -> bool:
    """A retry was sent, and this payment does not contain it yet."""
    intent = state.intent
    if state.phase is not Phase.UNKNOWN or intent is None or intent.kind != RETRY:
        return False
    return payment.status == FAILED and payment.attempt_count <= intent.attempt_count


def intent_after_answer(intent: Intent | None, payment: Payment, now: Moment) -> Intent:
    """The intent after the server has it: drop the body with its phone number."""
    if intent is None:
        return Intent(payment.id, FOLLOW, {}, now.wall, payment.id)
    return _follow_intent(payment, intent)


def _follow_intent(payment: Payment, intent: Intent) -> Intent:
    return replace(intent, kind=FOLLOW, body={}, payment_id=payment.id, otp_removed=False, may_have_left=True)


def deadline(payment: Payment, server_now: datetime | None, now: Moment) -> float | None:
    if payment.expires_at is None:
        return None
    server = now.wall if server_now is None else server_now.timestamp()
    return now.monotonic + max(0.0, payment.expires_at.timestamp() - server)


def kept_notice(notice: Notice | None) -> Notice | None:
    """Keep only the notices that stay true after an answer."""
    if notice is None or not (notice.code in _LASTING or notice.code.startswith("journal_")):
        return None
    return notice


def page_of(payment: Payment | None) -> list[Effect]:
    url = payment.redirect_url if payment is not None else None
    return [do.OpenPage(url)] if url and urlsplit(url).scheme in ("http", "https") else []


def fields_of(error: errors.ApiError) -> tuple[errors.FieldProblem, ...]:
    return error.fields if isinstance(error, errors.Invalid) else ()


def notice_of(error: errors.ApiError) -> Notice:
    if isinstance(error, errors.Refused):
        return Notice(error.code, error.message, error.request_id)
    if isinstance(error, errors.Offline):
        return Notice("offline")
    return Notice("slow" if isinstance(error, errors.Timeout) else "server_trouble")
