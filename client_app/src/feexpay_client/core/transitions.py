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

#: A request that did not reach the server is sent again automatically for this long. Later the payer no longer expects
#: a prompt and would not trust it: the app says "not sent", and the payer may press again.
RESEND_SECONDS = 15 * 60.0
#: A request that may have left is over after so long: the server and everything in front of it give up earlier.
#: Counted by this process's own monotonic clock, because wall clocks jump.
IN_FLIGHT_SECONDS = 120.0
#: What stays worth saying after an answer came; the rest was about the connection.
_LASTING = frozenset({"duplicate_payment", "payment_open", "not_retryable", "not_sent"})
#: How often to look meanwhile.
_LOOK_SECONDS = 15.0
#: How often to try whether the other window is gone.
OTHER_WINDOW_SECONDS = 3.0


def ask(state: State, now: Moment) -> Step:
    """Start the request that this phase needs, unless one is running or the payer is signed out."""
    if state.asked or not state.session:
        return state, []
    match state.phase:
        case Phase.QUOTING:
            state, number = numbered(state, "quote")
            return state, [do.GetQuote(number, state.draft)]
        case Phase.SUBMITTING:
            return _send(state, now) if state.saved else (state, [])
        case Phase.UNKNOWN:
            return look(state)
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
        return look(replace(state, phase=Phase.UNKNOWN))
    state = replace(state, phase=Phase.SUBMITTING)
    if not intent.may_have_left:  # the journal must not say "never sent" while it is being sent
        return save(replace(state, intent=replace(intent, may_have_left=True), saved=False))
    return post(state)


def post(state: State) -> Step:
    """Send the only request that can charge the payer. The same intent is already on disk."""
    state, number = numbered(replace(state, sends=state.sends + 1), "post")
    return state, [do.Post(number, cast(Intent, state.intent))]


def look(state: State) -> Step:
    """Search the server by payment id, by key, or for any pending payment when the key was lost."""
    intent = state.intent
    if intent is not None and intent.payment_id is not None:
        return _get_status(state)
    state, number = numbered(state, "look")
    return state, [do.FindPending(number) if intent is None else do.FindByKey(number, intent.key)]


def _get_status(state: State) -> Step:
    known = state.payment.id if state.payment is not None else None
    payment_id = known or (state.intent.payment_id if state.intent is not None else None)
    state, number = numbered(state, "status")
    return state, [do.GetStatus(number, cast(str, payment_id))]


def nothing_there(state: State, now: Moment) -> Step:
    """The server does not know this intent, at this moment."""
    intent = cast(Intent, state.intent)
    if state.declined is None and not intent.otp_removed and _is_fresh(intent, now):
        return _send(state, now)
    quiet = now.monotonic - state.unanswered_since
    if state.left and quiet < IN_FLIGHT_SECONDS:
        return wake(state, min(_LOOK_SECONDS, IN_FLIGHT_SECONDS - quiet))
    return unsent(state, state.declined or Notice("not_sent"))


def unsent(state: State, notice: Notice | None) -> Step:
    """The server will never know this key: return to the form. The next press uses a new key.

    What they had filled in stays. A payment whose retry was not begun is shown as it was.
    """
    intent = cast(Intent, state.intent)
    state = replace(idle(state), declined=None, left=False, sends=0, notice=notice, failures=0)
    if state.payment is not None:
        state = replace(state, phase=Phase.FAILED, intent=_followed(state.payment, intent), saved=True)
        return state, save(state)[1]
    ready = state.quote is not None and not state.problems
    state = replace(state, phase=Phase.READY if ready else Phase.EDITING, intent=None, saved=False)
    return state, [do.Forget(intent.key)]


def follow(state: State, payment_id: str, now: Moment) -> Step:
    """Another payment is open: follow that one. This one was not started."""
    intent = Intent(cast(Intent, state.intent).key, FOLLOW, {}, now.wall, payment_id)
    state = replace(idle(state), phase=Phase.UNKNOWN, intent=intent, payment=None, failures=0)
    keep = save(state)[1]
    state, question = ask(state, now)
    return state, keep + question


def fresh(state: State, **changes: Any) -> State:
    """Start a new state that keeps the provider and the currency of the last payment."""
    draft = Draft(provider=state.draft.provider, currency=state.draft.currency)
    kept = State(
        counter=state.counter, online=state.online, session=state.session, elsewhere=state.elsewhere, draft=draft
    )
    return replace(kept, **changes)


def busy_elsewhere(state: State) -> Step:
    """Another window may have an open payment: start nothing, and retry to lock the journal."""
    return replace(state, notice=Notice("journal_busy")), [do.OpenJournal(0.0)]


def then_wait(state: State, work: list[Effect]) -> Step:
    if state.phase not in FOLLOWING:
        return state, work
    hint = state.payment.next_poll_seconds if state.payment is not None else None
    state, alarm = wake(state, poller.after_answer(hint, state.unchanged_polls))
    return state, work + alarm


def later(state: State, error: errors.ApiError) -> Step:
    """Schedule the next poll; a settled phase needs none."""
    if state.phase in SETTLED:
        return state, []
    after: float | None = getattr(error, "retry_after", None)
    if after is None and isinstance(error, errors.Refused):
        after = poller.HOPELESS_SECONDS
    return wake(state, poller.after_failure(max(state.failures, state.sends), after))


def save(state: State) -> Step:
    return state, [do.Save(Record(cast(Intent, state.intent), state.payment))]


# --- predicates and conversions -------------------------------------------------------------------------------------


def numbered(state: State, asking: str) -> tuple[State, int]:
    number = state.counter + 1
    return replace(state, counter=number, asked=number, asking=asking, timer=0), number


def wake(state: State, after: float) -> Step:
    number = state.counter + 1
    return replace(state, counter=number, timer=number), [do.Wake(number, after)]


def idle(state: State) -> State:
    """Cancel the request and the timer: late answers are ignored."""
    return replace(state, asked=0, asking="", timer=0)


def heard(state: State) -> State:
    return replace(idle(state), online=True, failures=0)


def _is_fresh(intent: Intent, now: Moment) -> bool:
    # A clock that was set back makes an age below 0: not fresh, so nothing is sent automatically.
    return 0 <= now.wall - intent.begun_at <= RESEND_SECONDS


def is_before_retry(state: State, payment: Payment) -> bool:
    """A retry was sent, and this payment does not contain it yet."""
    intent = state.intent
    looking = state.phase is Phase.UNKNOWN and intent is not None and intent.kind == RETRY
    if not looking or intent is None:
        return False
    return payment.status == FAILED and payment.attempt_count <= intent.attempt_count


def carried(intent: Intent | None, payment: Payment, now: Moment) -> Intent:
    """The intent after the server has it: drop the body with its phone number."""
    if intent is None:
        return Intent(payment.id, FOLLOW, {}, now.wall, payment.id)
    return _followed(payment, intent)


def _followed(payment: Payment, intent: Intent) -> Intent:
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
