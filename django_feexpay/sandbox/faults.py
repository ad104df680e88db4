"""Fault injection in front of FeexPay's endpoints: latency, resets, 5xx, 429 and cut answers, by percentage.

At random, a fault happens before the request is handled or after it. A 429 always happens before; a cut answer, and an
error in answer to an accepted collect request, always after. So a failed collect request does not show whether money
moved, as with the real FeexPay. The seed, the kind of call and its count decide: the same calls meet the same faults.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from typing import Any

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from django_feexpay.sandbox import bodies
from django_feexpay.sandbox.bodies import ApiError
from django_feexpay.sandbox.context import ConnectionReset, Sandbox, error_response
from django_feexpay.sandbox.fault_settings import FaultSettings

_OPERATIONS = (
    ("/api/transactions/public/single/status", "status"),
    ("/api/transactions/public/requesttopay", "collect"),
    ("/api/transactions/requesttopay", "collect"),
    ("/api/transactions/history", "history"),
    ("/api/balance", "balance"),
    ("/api/feexlinks", "link"),
    ("/api/payouts", "payout"),
)

_KINDS = ("rate_limit", "reset", "error_500", "html_502", "error_503", "truncate", "charged_error")

#: Kinds that happen to one operation only, and kinds that happen only after the request was handled.
_ONLY_OPERATION = {"charged_error": "collect"}
_ALWAYS_AFTER = ("truncate", "charged_error")

_CHARGED_ERRORS: dict[str, tuple[str, str | None]] = {
    "400": ("Bad Request", None),
    "429": ("Too many requests", "RATE_LIMIT_EXCEEDED"),
    "500": ("Internal server error", None),
    "503": ("Network under maintenance", "NETWORK_UNAVAILABLE"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """The fault of one call. `kind` "" is none; the answer is delayed by `late_seconds`.

    `code`, `named`: of a "charged_error", its HTTP code and whether it names the payment.
    """

    kind: str = ""
    before: bool = False
    late_seconds: float = 0.0
    code: str = ""
    named: bool = False


def operation_of(path: str) -> str:
    return next((operation for start, operation in _OPERATIONS if path.startswith(start)), "other")


def may_fail(settings: FaultSettings, operation: str) -> bool:
    if settings.fault_calls and operation not in settings.fault_calls:
        return False
    return any(_percent(settings, kind, operation) for kind in (*_KINDS, "latency"))


def fault_of(settings: FaultSettings, operation: str, count: int) -> Fault:
    """The fault of the `count`th call of this operation; the same for the same arguments."""
    chance = random.Random(f"{settings.seed}:{operation}:{count}")  # noqa: S311 -- repeatable faults, nothing secret
    roll, slow, before = chance.uniform(0, 100), chance.uniform(0, 100), chance.random() < 0.5
    late = settings.latency_seconds if slow < settings.latency_percent else 0.0
    passed = 0.0
    for kind in _KINDS:
        passed += _percent(settings, kind, operation)
        if roll < passed and kind == "charged_error":
            named = chance.uniform(0, 100) < settings.charged_error_named_percent
            return Fault(kind, False, late, chance.choice(settings.charged_error_codes or ("400",)), named)
        if roll < passed:
            return Fault(kind, kind == "rate_limit" or (before and kind not in _ALWAYS_AFTER), late)
    return Fault(late_seconds=late)


def _percent(settings: FaultSettings, kind: str, operation: str) -> float:
    if _ONLY_OPERATION.get(kind, operation) != operation:
        return 0.0
    percent: float = getattr(settings, f"{kind}_percent")
    return percent


class FaultInjection:
    """ASGI middleware that injects the faults of the settings into calls of FeexPay's endpoints."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            return await self._app(scope, receive, send)
        sandbox: Sandbox = scope["app"].state.sandbox
        settings, operation = sandbox.settings, operation_of(scope["path"])
        if not may_fail(settings, operation):
            return await self._app(scope, receive, send)
        fault = fault_of(settings, operation, sandbox.store.count(operation))
        if fault.before:
            return await _failure(fault.kind, settings)(scope, receive, send)
        answer = await _recorded(self._app, scope, receive)
        await asyncio.sleep(fault.late_seconds * sandbox.options.time_scale)
        if fault.kind == "truncate":
            answer = _cut(answer)
        elif fault.kind == "charged_error" and (accepted := _accepted_body(answer)) is not None:
            return await _charged_error(fault, accepted, settings)(scope, receive, send)
        elif fault.kind and fault.kind != "charged_error":
            return await _failure(fault.kind, settings)(scope, receive, send)
        for message in answer:
            await send(message)
        return None


def _failure(kind: str, settings: FaultSettings) -> Response:
    if kind == "reset":
        return ConnectionReset()
    if kind == "html_502":
        return HTMLResponse(bodies.HTML_502, status_code=502)
    if kind == "rate_limit":
        retry_after = {"Retry-After": str(settings.retry_after_seconds)}
        return error_response(ApiError(429, "Too many requests", "RATE_LIMIT_EXCEEDED"), retry_after)
    if kind == "error_503":
        # Without NETWORK_UNAVAILABLE, which is FeexPay's code for an operator under maintenance (`maintenance`).
        return error_response(ApiError(503, "Service Unavailable"))
    return error_response(ApiError(500, "Internal server error"))


def _accepted_body(answer: list[Message]) -> dict[str, Any] | None:
    """The body of a 2xx answer; None when the request was refused, or its answer is already cut or reset."""
    if not any(message["type"] == "http.response.start" and 200 <= message["status"] < 300 for message in answer):
        return None
    try:
        body: dict[str, Any] = json.loads(b"".join(part.get("body", b"") for part in answer))
    except ValueError:
        return None
    return body


def _charged_error(fault: Fault, accepted: dict[str, Any], settings: FaultSettings) -> Response:
    message, code = _CHARGED_ERRORS[fault.code]
    named = {name: accepted[name] for name in ("reference", "status") if fault.named and name in accepted}
    headers = {"Retry-After": str(settings.retry_after_seconds)} if fault.code == "429" else None
    return error_response(ApiError(int(fault.code), message, code, **named), headers)


async def _recorded(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    messages: list[Message] = []

    async def record(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, record)
    return messages


def _cut(answer: list[Message]) -> list[Message]:
    """The first half of the body, with a Content-Length that matches it."""
    start = next((message for message in answer if message["type"] == "http.response.start"), None)
    if start is None:  # the app reset the connection itself
        return answer
    body = b"".join(message.get("body", b"") for message in answer)
    half = body[: len(body) // 2]
    headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    headers.append((b"content-length", str(len(half)).encode()))
    return [{**start, "headers": headers}, {"type": "http.response.body", "body": half}]
