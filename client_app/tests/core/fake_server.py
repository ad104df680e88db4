"""A fake server on httpx.MockTransport, and JSON bodies as the real server sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx

PAYMENT_ID = "0d3f2f8e-6d5a-4d0e-9a54-5a6f2d1b7c10"
API = "/api/v1/payments/feexpay/"


def payment(status: str = "pending", detail: str = "waiting_for_payer", **changes: Any) -> dict[str, Any]:
    """The JSON of a payment."""
    settled = status != "pending"
    return {
        "id": PAYMENT_ID,
        "status": status,
        "detail": detail,
        "provider": "mtn_bj",
        "provider_name": "MTN Mobile Money",
        "country": "BJ",
        "amount": 5000,
        "currency": "XOF",
        "charged_amount": 5000,
        "charged_currency": "XOF",
        "exchange_rate": None,
        "fee": 85,
        "phone": "+229 01 •• •• •• 50",
        "merchant_reference": "",
        "reference": "FXP-1",
        "redirect_url": None,
        "otp_required": False,
        "reason": {"code": "payer_declined", "message": "Refusé sur le téléphone."} if status == "failed" else None,
        "can_retry": status == "failed",
        "next_poll_seconds": None if settled else 3,
        "attempt_count": 1,
        "created_at": "2026-11-26T10:00:00.000Z",
        "updated_at": "2026-11-26T10:00:01.000Z",
        "expires_at": "2026-11-26T10:15:00.000Z",
        "settled_at": "2026-11-26T10:01:00.000Z" if settled else None,
        "metadata": {"pack": "small"},
        **changes,
    }


def provider(code: str = "mtn_bj", **changes: Any) -> dict[str, Any]:
    """The JSON of a provider."""
    return {
        "code": code,
        "name": "MTN Mobile Money",
        "kind": "mobile_money",
        "country": "BJ",
        "country_name": "Bénin",
        "currency": "XOF",
        "flow": "push",
        "min_amount": 100,
        "max_amount": 2_000_000,
        "fee_percent": "1.70",
        "phone": {
            "required": True,
            "calling_code": "229",
            "lengths": [10],
            "prefixes": ["0196", "0197"],
            "example": "0197000000",
        },
        "enabled": True,
        "unavailable_reason": None,
        "instructions": "Composez *880#",
        "badge": {"monogram": "M", "color": "#7A5C00"},
        **changes,
    }


def quote(amount: int = 5000) -> dict[str, Any]:
    """The JSON of a quote."""
    return {
        "amount": amount,
        "currency": "XOF",
        "charged_amount": amount,
        "charged_currency": "XOF",
        "fee": 85,
        "total": amount,
        "exchange_rate": None,
    }


def page(*payments: dict[str, Any], following: str | None = None) -> dict[str, Any]:
    """The JSON of a history page."""
    return {"next": following, "previous": None, "results": list(payments)}


def answer(body: object, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers=headers)


def problem(status: int, code: str, headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
    """An error answer with problem JSON."""
    body = {"type": f"urn:feexpay:problem:{code}", "title": code, "status": status, "detail": f"about {code}"}
    body |= {"code": code, "errors": [], "request_id": "req-1", **members}
    content = json.dumps(body).encode()
    return httpx.Response(
        status, content=content, headers={"Content-Type": "application/problem+json"} | (headers or {})
    )


@dataclass
class EventStream:
    """An answer in parts: bytes are sent, an event is awaited, an exception breaks the connection."""

    parts: tuple[bytes | asyncio.Event | Exception, ...]

    def response(self) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            if isinstance(part, asyncio.Event):
                await part.wait()
            else:
                yield part


def event(body: dict[str, Any], tag: str = 'W/"e1"') -> bytes:
    """An event with the JSON of a payment."""
    return f"id: {tag}\ndata: {json.dumps(body)}\n\n".encode()


class FakeServer:
    """Answers by `"METHOD path"`: a response, an exception to raise, or a function of the request.

    Several answers are used in order; the last one is repeated. `requests` holds all requests.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {
            "POST /api/v1/auth/token/": [lambda _: answer({"token": "secret-token", "expires_at": None})],
            "POST /api/v1/auth/logout/": [lambda _: httpx.Response(204)],
            f"GET {API}providers/": [lambda _: answer([provider()], ETag='W/"p1"')],
            f"GET {API}quote/": [lambda request: answer(quote(int(request.url.params["amount"])))],
        }
        self.requests: list[httpx.Request] = []

    def on(self, call: str, *answers: object) -> None:
        """`call`: `POST initiate/`, `GET status`, … below the payments API."""
        method, path = call.split(" ")
        path = f"{PAYMENT_ID}/status/" if path == "status" else path
        path = f"{PAYMENT_ID}/otp/" if path == "otp" else path
        path = f"{PAYMENT_ID}/events/" if path == "events" else path
        path = f"retry/{PAYMENT_ID}/" if path == "retry" else path
        self.answers[f"{method} {path if path.startswith('/') else API + path}"] = list(answers)

    def sent(self, call: str) -> list[httpx.Request]:
        method, path = call.split(" ")
        return [one for one in self.requests if one.method == method and path in one.url.path]

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._handle)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answers = self.answers.get(f"{request.method} {request.url.path}")
        if not answers:
            return problem(404, "not_found")
        chosen = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(chosen, Callable):  # type: ignore[arg-type]
            chosen = chosen(request)
        if isinstance(chosen, Exception):
            raise chosen
        if isinstance(chosen, EventStream):
            return chosen.response()
        # A response can be read only once.
        return httpx.Response(chosen.status_code, headers=chosen.headers, content=chosen.content)
