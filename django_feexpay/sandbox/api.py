"""FeexPay's endpoints, as far as push networks need them. `validation.py` refuses, `bodies.py` answers."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies, rules
from django_feexpay.sandbox.context import (
    BodyTooLargeError,
    ConnectionReset,
    Sandbox,
    payment_of,
    read_body,
    sandbox_of,
)
from django_feexpay.sandbox.networks import BY_SUFFIX, Network
from django_feexpay.sandbox.rules import Answer
from django_feexpay.sandbox.store import Payment
from django_feexpay.sandbox.validation import CollectRequest, ValidationFailedError, read_collect

HISTORY_ROWS = 500
HISTORY_DAYS = 31

# What an operator that answers only after the payer waits for at most.
SYNCHRONOUS_SECONDS = 110.0


class ApiError(Exception):
    """An answer other than success, with FeexPay's body for it."""

    def __init__(self, status_code: int, body: dict[str, object]) -> None:
        super().__init__(body.get("message"))
        self.status_code = status_code
        self.body = body


async def collect(request: Request) -> Response:
    """POST requesttopay/{suffix}: asks the payer, answers at once. Posting twice asks twice."""
    network = BY_SUFFIX.get(request.path_params["suffix"])
    if network is None:
        raise ApiError(404, bodies.no_such_path("POST", request.url.path))
    _require_key(request)
    asked = read_collect(await _read_json(request), network)
    _require_shop(request, asked.shop)
    if network.flow != "push":
        raise ApiError(404, bodies.error(404, f"{network.reseau} channel not configured"))
    return await _collect(sandbox_of(request), network, asked)


async def _collect(sandbox: Sandbox, network: Network, asked: CollectRequest) -> Response:
    script = rules.script_for(asked.msisdn)
    if script.answer is Answer.UNAVAILABLE_503:
        raise ApiError(503, bodies.error(503, "Network under maintenance", "NETWORK_UNAVAILABLE"))
    payment = sandbox.till.accept(network, asked, script)
    if script.answer_after_seconds:
        await asyncio.sleep(script.answer_after_seconds * sandbox.options.time_scale)
    if script.answer is Answer.AFTER_WEBHOOK:
        await sandbox.timers.deliver_now(payment.reference)
    if network.suffix == "moov" and sandbox.options.moov_synchronous:
        return _answer(script.answer, await _when_final(sandbox, payment), bodies.moov_synchronous)
    return _answer(script.answer, payment, bodies.accepted)


def _answer(answer: Answer, payment: Payment, body_of: Callable[[Payment], dict[str, Any]]) -> Response:
    if answer is Answer.CONNECTION_RESET:
        return ConnectionReset()
    if answer is Answer.HTML_502:
        return HTMLResponse(bodies.HTML_502, status_code=502)
    if answer is Answer.TRUNCATED:
        whole = bytes(JSONResponse(body_of(payment)).body)
        return Response(whole[: len(whole) // 2], media_type="application/json")
    if answer is Answer.FAILED_202:
        return JSONResponse(bodies.final(payment), status_code=202)
    return JSONResponse(body_of(payment))


async def _when_final(sandbox: Sandbox, payment: Payment) -> Payment:
    latest: Payment | None = payment
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + SYNCHRONOUS_SECONDS * sandbox.options.time_scale
    while latest and latest.status == rules.PENDING and loop.time() < give_up_at:
        await asyncio.sleep(0.02)
        latest = sandbox.store.payment(payment.reference)
    return latest or payment


async def status(request: Request) -> Response:
    _require_key(request)
    payment = payment_of(request)
    if payment is None:
        raise ApiError(404, bodies.error(404, "Transaction not found", "NOT_FOUND"))
    return JSONResponse(bodies.status(payment))


async def status_without_reference(request: Request) -> Response:
    _require_key(request)
    raise ApiError(400, bodies.error(400, "Reference is required", "MISSING_REFERENCE"))


async def history(request: Request) -> Response:
    """POST history: newest first, at most 500 rows; `total` counts those that were cut off, too."""
    _require_key(request)
    body = await _read_json(request)
    start, end = _period(body)
    _require_shop(request, body.get("shop"))
    found = sandbox_of(request).store.created_between(start.timestamp(), end.timestamp())
    rows = [bodies.history_row(payment) for payment in found if _wanted(payment, body)]
    return JSONResponse({"success": True, "total": len(rows), "data": rows[:HISTORY_ROWS]})


def _wanted(payment: Payment, body: dict[str, Any]) -> bool:
    return (
        body.get("type", "ALL") in ("ALL", "PAYIN")
        and body.get("status", "ALL") in ("ALL", payment.status)
        and body.get("reseau", "ALL") in ("ALL", payment.network.reseau)
    )


def _period(body: dict[str, Any]) -> tuple[datetime, datetime]:
    """The first instant of the first day and the last of the last, UTC."""
    first, last = (_day(name, body.get(name)) for name in ("start_date", "end_date"))
    if last < first or last - first > timedelta(days=HISTORY_DAYS):
        message = f"end_date must be at most {HISTORY_DAYS} days after start_date"
        raise ValidationFailedError([{"property": "end_date", "constraints": {"range": message}}])
    return datetime.combine(first, time.min, UTC), datetime.combine(last, time.max, UTC)


def _day(name: str, value: object) -> date:
    try:
        day = datetime.strptime(str(value), "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        constraints = {"isDate": f"{name} must be a date, YYYY-MM-DD"}
        raise ValidationFailedError([{"property": name, "constraints": constraints}]) from error
    return day


async def balance(request: Request) -> Response:
    _require_key(request)
    _require_shop(request, request.path_params["shop"])
    sandbox = sandbox_of(request)
    options = sandbox.options
    return JSONResponse(bodies.balance(options.shop_id, options.shop_name, sandbox.store.balances()))


async def shop(request: Request) -> Response:
    """GET get_shop needs no key, as FeexPay's own SDK asks it."""
    options = sandbox_of(request).options
    if request.path_params["shop"] != options.shop_id:
        raise ApiError(404, bodies.error(404, "Shop introuvable"))
    return JSONResponse({"name": options.shop_name, "reference": options.shop_id, "systemCardPay": None})


async def api_error(request: Request, error: Exception) -> Response:
    if isinstance(error, ApiError):
        return JSONResponse(error.body, status_code=error.status_code)
    if isinstance(error, BodyTooLargeError):
        return JSONResponse(bodies.error(413, "request entity too large"), status_code=413)
    if isinstance(error, ValidationFailedError):
        body = bodies.error(400, "Validation failed") | {"errors": error.errors}
        return JSONResponse(body, status_code=400)
    raise error


def _require_key(request: Request) -> None:
    given = request.headers.get("authorization", "").encode()
    if not hmac.compare_digest(given, f"Bearer {sandbox_of(request).options.api_key}".encode()):
        raise ApiError(401, bodies.unauthorized())


def _require_shop(request: Request, shop_id: object) -> None:
    if shop_id != sandbox_of(request).options.shop_id:
        raise ApiError(404, bodies.error(404, "Merchant or Shop not found", "ERR_SHOP_NOT_FOUND"))


async def _read_json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await read_body(request))
    except (ValueError, RecursionError) as error:
        refusal = bodies.error(400, "Unexpected token in JSON") | {"error": "Bad Request"}
        raise ApiError(400, refusal) from error
    return body if isinstance(body, dict) else {}


_TRANSACTIONS = "/api/transactions"
_STATUS = f"{_TRANSACTIONS}/public/single/status"

ROUTES = [
    Route(f"{_TRANSACTIONS}/public/requesttopay/{{suffix}}", collect, methods=["POST"]),
    Route(_STATUS, status_without_reference, methods=["GET"]),
    Route(f"{_STATUS}/", status_without_reference, methods=["GET"]),
    Route(f"{_STATUS}/{{reference}}", status, methods=["GET"]),
    Route(f"{_TRANSACTIONS}/history", history, methods=["POST"]),
    Route("/api/balance/public/getByShop/{shop}", balance, methods=["GET"]),
    Route("/api/shop/{shop}/get_shop", shop, methods=["GET"]),
]
