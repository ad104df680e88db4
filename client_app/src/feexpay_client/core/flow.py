"""Run the reducer: execute its effects, feed the answers back as events, call the listeners.

Everything happens on one asyncio loop. The methods that a screen calls change the state and return
at once, so two taps in one frame count as one. Journal writes run in a thread, in order.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from feexpay_client.core import effects as do
from feexpay_client.core import errors, poller
from feexpay_client.core import events as ev
from feexpay_client.core.api import PaymentsApi
from feexpay_client.core.connection import Answer
from feexpay_client.core.journal import JournalError, Loaded
from feexpay_client.core.live import LiveStatus
from feexpay_client.core.machine import reduce
from feexpay_client.core.models import Payment
from feexpay_client.core.states import RETRY, Draft, Moment, Record, State

logger = logging.getLogger("feexpay_client.flow")

Listener = Callable[[State], None]


class JournalStore(Protocol):
    """The storage that the flow needs; `journal.Journal` implements it."""

    def load(self) -> Loaded: ...
    def save(self, record: Record) -> None: ...
    def forget(self, key: str) -> None: ...
    def close(self) -> None: ...


class Clock(Protocol):
    def moment(self) -> Moment: ...
    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The clocks of this computer."""

    def moment(self) -> Moment:
        return Moment(time.monotonic(), time.time())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Flow:
    """One signed-in payer's payments. Call `open()` first and `close()` last.

    open_page: opens an address in the browser; returns False if nothing opened it.
    ask_sign_in: the session has ended; call `signed_in()` afterwards.
    """

    def __init__(
        self,
        api: PaymentsApi,
        journal: JournalStore,
        *,
        open_page: Callable[[str], object] = lambda url: None,
        ask_sign_in: Callable[[], object] = lambda: None,
        clock: Clock | None = None,
        random_source: random.Random | None = None,
    ) -> None:
        self._api = api
        self._journal = journal
        self._open_page = open_page
        self._ask_sign_in = ask_sign_in
        self._clock = clock or SystemClock()
        self._random_source = random_source or random.Random()  # noqa: S311 -- spreads polls, guards nothing
        self._state = State()
        self._listeners: list[Listener] = []
        self._events: deque[ev.Event] = deque()
        self._running = False
        self._closed = False
        self._request: asyncio.Task[None] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._writes: asyncio.Queue[do.Save | do.Forget] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Task[None] | None = None
        self._last_status: tuple[Payment | None, str] = (None, "")
        self._live = LiveStatus(api, self._clock, self._random_source, self._hear, self._known_tag, self._running_loop)

    # --- state ---

    @property
    def state(self) -> State:
        return self._state

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every new state, on the loop. Returns the unsubscribe function."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    def now(self) -> float:
        """The monotonic time to pass to `State.seconds_left` and `State.overdue`."""
        return self._clock.moment().monotonic

    # --- life cycle ---

    async def open(self) -> None:
        """Read the journal and continue where the last run stopped."""
        self._loop = asyncio.get_running_loop()
        self._writer = self._loop.create_task(self._write_in_order())
        await self._open_journal()

    async def close(self) -> None:
        """Stop polling. An open payment stays in the journal. Safe to repeat."""
        self._closed = True
        if self._writer is not None and not self._writer.done():
            await self._writes.join()
        await self._live.close()
        tasks = [task for task in (self._request, self._timer, self._writer, self._opening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._journal.close)

    # --- what the payer does ---

    def edit(self, draft: Draft) -> None:
        """Update the draft. If amount or provider changed, request a quote after a pause in typing."""
        self._dispatch(ev.Edited(draft))

    def pay(self) -> None:
        """Start the payment. Nothing happens unless `state.can_pay`."""
        self._dispatch(ev.PayPressed(str(uuid.uuid4())))

    def retry(self, payment_id: str, phone: str = "", otp: str = "") -> None:
        """Start another attempt. Nothing happens unless it is `state.payment` and `state.can_retry`."""
        self._dispatch(ev.RetryPressed(str(uuid.uuid4()), payment_id, phone, otp))

    def enter_otp(self, code: str) -> None:
        """Submit the one-time code. Nothing happens outside Phase.OTP."""
        self._dispatch(ev.OtpEntered(str(uuid.uuid4()), code))

    def check_now(self) -> None:
        """Poll at once. Call it for "check now" and when the app returns to the foreground."""
        self._dispatch(ev.CheckPressed())

    def open_page(self) -> None:
        """Open the payment page (again). Nothing happens outside Phase.REDIRECT."""
        self._dispatch(ev.PagePressed())

    def cancel(self) -> None:
        """Cancel a request that was certainly never sent. Nothing happens unless `state.can_cancel`."""
        self._dispatch(ev.CancelPressed())

    def new(self) -> None:
        """Leave this payment and show an empty form. Not while one is open, unless `state.can_set_aside`."""
        self._dispatch(ev.NewPressed())

    def follow(self, payment: Payment) -> None:
        """Poll a payment of the history. Not while one is open, unless `state.can_set_aside`."""
        self._dispatch(ev.Chosen(payment))

    def signed_in(self) -> None:
        """The payer signed in again: continue."""
        self._dispatch(ev.SignedIn())

    # --- running the reducer ---

    def _dispatch(self, event: ev.Event) -> None:
        """Process events one after another, including those that a listener or an effect causes."""
        self._events.append(event)
        if self._running or self._closed:
            return
        self._running = True
        try:
            while self._events:
                self._process(self._events.popleft())
        finally:
            self._running = False

    def _process(self, event: ev.Event) -> None:
        before = self._state
        self._state, effects = reduce(before, event, self._clock.moment())
        if not self._state.timer:
            self._stop_timer()
        for effect in effects:
            self._execute(effect)
        self._live.follow(self._state.followed_id)
        if self._state != before:
            for listener in tuple(self._listeners):
                listener(self._state)

    def _execute(self, effect: do.Effect) -> None:
        match effect:
            case do.Save() | do.Forget():
                self._writes.put_nowait(effect)
            case do.Wake():
                self._stop_timer()
                self._timer = self._running_loop().create_task(self._wake(effect))
            case do.OpenJournal():
                self._stop_opening()
                self._opening = self._running_loop().create_task(self._open_journal(effect.after))
            case do.OpenPage():
                if self._open_page(effect.url) is False:
                    self._dispatch(ev.PageNotOpened())
            case do.AskSignIn():
                self._ask_sign_in()
            case _:
                self._start(effect.number, effect)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of `open()`. A button of an app without asyncio presses while that loop stands between two steps."""
        return self._loop or asyncio.get_running_loop()

    def _start(self, number: int, effect: do.Effect) -> None:
        """Run one request at a time: a newer request cancels the older one."""
        if self._request is not None:
            self._request.cancel()
        self._request = self._running_loop().create_task(self._run_request(number, effect))

    async def _run_request(self, number: int, effect: do.Effect) -> None:
        try:
            event = await self._call(effect)
        except errors.ApiError as error:
            event = ev.Failed(number, error)
        except Exception as error:  # after a bug the flow must keep polling
            logger.error("request %d failed unexpectedly: %s", number, type(error).__name__)
            event = ev.Failed(number, errors.MalformedAnswer(type(error).__name__))
        self._dispatch(event)

    async def _call(self, effect: do.Effect) -> ev.Event:
        match effect:
            case do.GetQuote(number, draft):
                return ev.Quoted(number, await self._api.quote(draft.provider, draft.amount, draft.currency))
            case do.Post(number, intent):
                if intent.kind == RETRY:
                    answer = await self._api.retry(intent.payment_id or "", intent.body, intent.key)
                else:
                    answer = await self._api.initiate(intent.body, intent.key)
                return _answered(number, answer.value, answer, intent.payment_id)
            case do.PostOtp(number, payment_id, key, code):
                answer = await self._api.otp(payment_id, code, key)
                return _answered(number, answer.value, answer, payment_id)
            case do.GetStatus(number, payment_id):
                return await self._status(number, payment_id)
            case do.FindByKey(number, key):
                return _found(number, await self._api.find_by_key(key))
            case do.FindPending(number):
                return _found(number, await self._api.find_pending())
        raise TypeError(type(effect).__name__)

    async def _status(self, number: int, payment_id: str) -> ev.Event:
        answer = await self._api.status(payment_id, self._known_tag())
        if answer.value is None:
            return ev.Unchanged(number)
        self._last_status = (answer.value, answer.etag)
        return _answered(number, answer.value, answer, payment_id)

    def _known_tag(self) -> str:
        """The ETag only while the state shows the payment it came with, not a copy from the history."""
        payment, etag = self._last_status
        return etag if payment is not None and payment == self._state.payment else ""

    def _hear(self, event: ev.Event) -> None:
        """Pass on what the event stream brought."""
        if isinstance(event, ev.Pushed) and event.payment.id == self._state.followed_id:
            self._last_status = (event.payment, event.etag)
        self._dispatch(event)

    async def _open_journal(self, after: float = 0.0) -> None:
        """Read the journal, unless another window of this app holds its lock."""
        if after:
            await self._clock.sleep(after)
        loaded = await asyncio.to_thread(self._journal.load)
        self._dispatch(ev.Opened(loaded.record, loaded.damaged, loaded.other_window))

    def _stop_opening(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None and opening is not asyncio.current_task(self._running_loop()):
            opening.cancel()

    async def _wake(self, effect: do.Wake) -> None:
        await self._clock.sleep(poller.jittered(effect.after, self._random_source))
        self._dispatch(ev.Woke(effect.number))

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer is not asyncio.current_task(self._running_loop()):
            timer.cancel()

    async def _write_in_order(self) -> None:
        while True:
            effect = await self._writes.get()
            try:
                event = await asyncio.to_thread(self._write, effect)
            finally:
                self._writes.task_done()
            if event is not None:
                self._dispatch(event)

    def _write(self, effect: do.Save | do.Forget) -> ev.Event | None:
        try:
            if isinstance(effect, do.Forget):
                self._journal.forget(effect.key)
                return None
            self._journal.save(effect.record)
        except JournalError as error:
            logger.warning("the journal could not be written: %s", error.code)
            return None if isinstance(effect, do.Forget) else ev.SaveFailed(effect.record.intent, error.code)
        return ev.Saved(effect.record.intent)


def _answered(number: int, payment: Payment, answer: Answer[Any], asked_about: str | None) -> ev.Event:
    """The event for an answer. Raises: MalformedAnswer if the answer is about another payment than the request."""
    if asked_about is not None and payment.id != asked_about:
        raise errors.MalformedAnswer("the answer is about another payment")
    return ev.Answered(number, payment, answer.server_now)


def _found(number: int, answer: Answer[Payment | None]) -> ev.Event:
    if answer.value is None:
        return ev.NothingFound(number)
    return ev.Answered(number, answer.value, answer.server_now)
