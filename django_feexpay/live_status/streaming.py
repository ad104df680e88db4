"""The response of one event stream: `text/event-stream` under ASGI, a problem under WSGI."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from asgiref.sync import SyncToAsync, sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from django_feexpay.conf import feexpay
from django_feexpay.live_status import open_streams
from django_feexpay.live_status.hub import Subscription, hub_of_this_loop
from django_feexpay.live_status.open_streams import OpenStream
from django_feexpay.live_status.snapshots import Render, Snapshot, View, snapshot
from django_feexpay.models import Payment
from django_feexpay.payments.errors import NotAllowedError

MEDIA_TYPE = "text/event-stream"
#: More streams of one payment, or of one process, are refused, and their clients poll.
MOST_OF_A_PAYMENT, MOST_OF_A_PROCESS = 10, 5_000

#: A comment after this time without an event: proxies close a silent connection after a minute or less.
HEARTBEAT_SECONDS = 15.0
#: The stream of a settled payment stays open this long, for a change that follows at once.
AFTER_SETTLEMENT_SECONDS = 2.0
#: Then the client connects again, and is authenticated again. A random part spreads the new connections.
LONGEST_LIFE_SECONDS = 300.0

_RECONNECT_MILLISECONDS = 3_000
_REFUSED_RETRY_SECONDS = 30
_HEARTBEAT = b":\n\n"


def stream(request: HttpRequest, payment: Payment, render: Render) -> HttpResponseBase:
    """The events of one payment, in the language that is active now. The caller has checked who may read it.

    payment: from `read_payments()`. render: makes the body of an event; its ETag is the event's id.
    Answers 204 to a client that has seen the settled payment (`Last-Event-ID`), which ends its reconnecting.
    Raises: NotAllowedError `not_acceptable` under WSGI, `throttled` if too many streams are open.
    """
    if not isinstance(request, ASGIRequest) or not feexpay.live_status:
        message = _("This server sends no events. Poll the payment instead, after next_poll_seconds.")
        raise NotAllowedError("not_acceptable", message)
    view = View(render, get_language() or "en")
    first, seen_tag = snapshot(payment, view), request.headers.get("Last-Event-ID", "")
    if first.is_settled and first.tag == seen_tag:
        return HttpResponse(status=204, headers={"Cache-Control": "no-store"})
    headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    admitted = open_streams.admit(payment.pk, most_of_payment=MOST_OF_A_PAYMENT, most=MOST_OF_A_PROCESS)
    if admitted is None:
        message = _("Too many event streams are open. Poll the payment instead, after next_poll_seconds.")
        raise NotAllowedError("throttled", message, retry_after_seconds=_REFUSED_RETRY_SECONDS)
    frames = _frames(payment.pk, view, first, seen_tag, admitted)
    admitted.end_with(frames)
    return StreamingHttpResponse(frames, headers=headers)


async def _frames(
    payment_id: UUID, view: View, first: Snapshot, seen_tag: str, admitted: OpenStream
) -> AsyncGenerator[bytes, None]:
    try:
        await _release_request()
        with hub_of_this_loop().subscribe(payment_id, view) as subscription:
            subscription.put(first)
            yield f"retry: {_RECONNECT_MILLISECONDS}\n\n".encode()  # at once: the client learns that it is open
            async for frame in _until_the_end(subscription, first.user_id, seen_tag):
                yield frame
    finally:
        admitted.end()


async def _until_the_end(subscription: Subscription, user_id: Any, tag: str) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + LONGEST_LIFE_SECONDS * random.uniform(0.9, 1)  # noqa: S311 -- spreads load only
    is_settled = False
    while not subscription.is_ended and (left := ends_at - loop.time()) > 0:
        newest = await subscription.next(min(HEARTBEAT_SECONDS, left))
        if newest is None:
            if not subscription.is_ended:
                yield _HEARTBEAT
            continue
        if newest.user_id != user_id:  # the payer was erased
            return
        if newest.tag != tag:
            yield newest.frame
            tag = newest.tag
        if newest.is_settled and not is_settled:
            ends_at = min(ends_at, loop.time() + AFTER_SETTLEMENT_SECONDS)
        is_settled = newest.is_settled
    if not is_settled:
        yield f"retry: {random.randint(500, _RECONNECT_MILLISECONDS)}\n\n".encode()  # noqa: S311 -- spreads load only


async def _release_request() -> None:
    """Give back what the request holds while nothing is asked of it: database connections and its thread.

    Django would keep both until the end of the response.
    """
    await sync_to_async(_close_connections)()
    executors, context = SyncToAsync.context_to_thread_executor, SyncToAsync.thread_sensitive_context.get(None)
    if context is not None and (executor := executors.pop(context, None)) is not None:
        executor.shutdown(wait=False)  # the end of the response starts another one


def _close_connections() -> None:
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
