"""Keep one event stream open for the payment that is followed.

Polls go on: a stream only shows changes sooner. If the server offers no streams (406, or an older server), none is
tried again. A stream that breaks or ends is opened again, after the time that the server named or with back-off.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

from feexpay_client.core import errors, poller
from feexpay_client.core import events as ev
from feexpay_client.core.api import PaymentsApi

logger = logging.getLogger("feexpay_client.flow")

#: After this many answers in a row that are no events, a proxy or another server must be answering: only poll.
_MOST_MALFORMED = 2


class Sleeper(Protocol):
    async def sleep(self, seconds: float) -> None: ...


class LiveStatus:
    """The stream of one flow. `dispatch` gets each version of the payment, and whether a stream is open.

    known_tag: returns the ETag of the version that the flow has, so that the server sends only what is new.
    """

    def __init__(
        self,
        api: PaymentsApi,
        clock: Sleeper,
        random_source: random.Random,
        dispatch: Callable[[ev.Event], None],
        known_tag: Callable[[], str],
        loop: Callable[[], asyncio.AbstractEventLoop],
    ) -> None:
        self._loop = loop
        self._api, self._clock, self._random_source = api, clock, random_source
        self._dispatch, self._known_tag = dispatch, known_tag
        self._followed = ""
        self._task: asyncio.Task[None] | None = None
        self._is_offered = True

    def follow(self, payment_id: str) -> None:
        """Follow this payment from now on, and no other; "" follows none."""
        if payment_id == self._followed:
            return
        self._followed = payment_id
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if payment_id and self._is_offered:
            self._task = self._loop().create_task(self._keep_open(payment_id))

    async def close(self) -> None:
        """Safe to repeat."""
        task = self._task
        self.follow("")
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_open(self, payment_id: str) -> None:
        failures = malformed = 0
        while self._is_offered and malformed < _MOST_MALFORMED:
            wait, broken = None, False
            failures += 1
            try:
                async with aclosing(self._api.events(payment_id, self._known_tag())) as pushes:
                    async for push in pushes:
                        if failures:
                            failures = malformed = 0
                            self._dispatch(ev.StreamOpened())
                        wait = push.retry_seconds
                        if push.payment is not None:
                            self._dispatch(ev.Pushed(push.payment, push.etag))
            except (errors.Throttled, errors.Unavailable) as error:
                wait = error.retry_after
            except errors.Unauthorized:  # the next poll asks the payer to sign in
                return
            except errors.Refused:
                self._is_offered = False
                return
            except errors.ApiError as error:
                logger.info("the event stream broke: %s", type(error).__name__)
                broken, wait = True, None
                malformed += isinstance(error, errors.MalformedAnswer)
            self._dispatch(ev.StreamEnded(broken))
            seconds = poller.after_failure(failures, wait)
            await self._clock.sleep(poller.jittered(seconds, self._random_source))
