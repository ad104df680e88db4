"""A line that breaks: latency, resets, 5xx, 429 and cut answers in front of FeexPay's endpoints, by percentage.

A fault strikes before the request was acted on or after it, as a coin decides; a 429 always before, a cut
answer always after, and so does the error that an accepted request to collect is answered by. So a broken
answer to a request to collect says nothing about the money, as in life.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from django_feexpay.sandbox import bodies
from django_feexpay.sandbox.context import ConnectionReset, Sandbox
from django_feexpay.sandbox.fault_settings import Conditions

_PLACES = (
    ("/api/transactions/public/single/status", "status"),
    ("/api/transactions/public/requesttopay", "collect"),
    ("/api/transactions/requesttopay", "collect"),
    ("/api/transactions/history", "history"),
    ("/api/balance", "balance"),
    ("/api/feexlinks", "link"),
    ("/api/payouts", "payout"),
)

_KINDS = ("rate_limit", "reset", "error_500", "html_502", "error_503", "truncate", "charged_error")

#: What strikes one kind of call only, and what strikes only after the request was acted on.
_ONLY_OF = {"charged_error": "collect"}
_ALWAYS_AFTER = ("truncate", "charged_error")

_CHARGED_ERRORS: dict[str, tuple[str, str | None]] = {
    "400": ("Bad Request", None),
    "429": ("Too many requests", "RATE_LIMIT_EXCEEDED"),
    "500": ("Internal server error", None),
    "503": ("Network under maintenance", "NETWORK_UNAVAILABLE"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls one call. `kind` "" breaks nothing; `late_seconds` passes before the answer goes out.

    code, named: of an error that an accepted request is answered by.
    """

    kind: str = ""
    before: bool = False
    late_seconds: float = 0.0
    code: str = ""
    named: bool = False


def operation_of(path: str) -> str:
    return next((operation for start, operation in _PLACES if path.startswith(start)), "other")


def may_strike(conditions: Conditions, operation: str) -> bool:
    if conditions.fault_calls and operation not in conditions.fault_calls:
        return False
    return any(_percent(conditions, kind, operation) for kind in (*_KINDS, "latency"))


def fault_of(conditions: Conditions, operation: str, count: int) -> Fault:
    """The fault that the `count`th call of this operation meets: the same whenever it is asked."""
    # Faults are to be repeatable; nothing here is secret.
    chance = random.Random(f"{conditions.seed}:{operation}:{count}")  # noqa: S311 -- see above
    roll, slow, before = chance.uniform(0, 100), chance.uniform(0, 100), chance.random() < 0.5
    late = conditions.latency_seconds if slow < conditions.latency_percent else 0.0
    passed = 0.0
    for kind in _KINDS:
        passed += _percent(conditions, kind, operation)
        if roll < passed and kind == "charged_error":
            named = chance.uniform(0, 100) < conditions.charged_error_named_percent
            return Fault(kind, False, late, chance.choice(conditions.charged_error_codes or ("400",)), named)
        if roll < passed:
            return Fault(kind, kind == "rate_limit" or (before and kind not in _ALWAYS_AFTER), late)
    return Fault(late_seconds=late)


def _percent(conditions: Conditions, kind: str, operation: str) -> float:
    if _ONLY_OF.get(kind, operation) != operation:
        return 0.0
    percent: float = getattr(conditions, f"{kind}_percent")
    return percent


class FaultyLine:
    """The sandbox's app, behind a line that breaks as the conditions say."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            return await self._app(scope, receive, send)
        sandbox: Sandbox = scope["app"].state.sandbox
        conditions, operation = sandbox.conditions, operation_of(scope["path"])
        if not may_strike(conditions, operation):
            return await self._app(scope, receive, send)
        fault = fault_of(conditions, operation, sandbox.store.count(operation))
        if fault.before:
            return await _broken(fault.kind, conditions)(scope, receive, send)
        answer = await _recorded(self._app, scope, receive)
        await asyncio.sleep(fault.late_seconds * sandbox.options.time_scale)
        if fault.kind == "truncate":
            answer = _cut(answer)
        elif fault.kind == "charged_error" and (said := _accepted(answer)) is not None:
            return await _error_after(fault, said, conditions)(scope, receive, send)
        elif fault.kind and fault.kind != "charged_error":
            return await _broken(fault.kind, conditions)(scope, receive, send)
        for message in answer:
            await send(message)
        return None


def _broken(kind: str, conditions: Conditions) -> Response:
    if kind == "reset":
        return ConnectionReset()
    if kind == "html_502":
        return HTMLResponse(bodies.HTML_502, status_code=502)
    if kind == "rate_limit":
        body = bodies.error(429, "Too many requests", "RATE_LIMIT_EXCEEDED")
        return JSONResponse(body, status_code=429, headers={"Retry-After": str(conditions.retry_after_seconds)})
    if kind == "error_503":
        # Not NETWORK_UNAVAILABLE: that is FeexPay's word for an operator in maintenance, and `maintenance` says it.
        return JSONResponse(bodies.error(503, "Service Unavailable"), status_code=503)
    return JSONResponse(bodies.error(500, "Internal server error"), status_code=500)


def _accepted(answer: list[Message]) -> dict[str, Any] | None:
    """What an accepted request was answered by; None if it was refused, or its answer is cut or lost already."""
    if not any(message["type"] == "http.response.start" and 200 <= message["status"] < 300 for message in answer):
        return None
    try:
        said: dict[str, Any] = json.loads(b"".join(part.get("body", b"") for part in answer))
    except ValueError:
        return None
    return said


def _error_after(fault: Fault, said: dict[str, Any], conditions: Conditions) -> Response:
    """An error in the place of what was said; where it names the payment, with its reference and status."""
    message, code = _CHARGED_ERRORS[fault.code]
    body = bodies.error(int(fault.code), message, code)
    if fault.named:
        body |= {name: said[name] for name in ("reference", "status") if name in said}
    headers = {"Retry-After": str(conditions.retry_after_seconds)} if fault.code == "429" else None
    return JSONResponse(body, status_code=int(fault.code), headers=headers)


async def _recorded(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    messages: list[Message] = []

    async def record(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, record)
    return messages


def _cut(answer: list[Message]) -> list[Message]:
    """Half of the body, with a length that fits: cut by what answered, not by the line."""
    body = b"".join(message.get("body", b"") for message in answer)
    half = body[: len(body) // 2]
    start = next((message for message in answer if message["type"] == "http.response.start"), None)
    if start is None:  # the inner app reset the connection itself
        return answer
    headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    headers.append((b"content-length", str(len(half)).encode()))
    return [{**start, "headers": headers}, {"type": "http.response.body", "body": half}]
