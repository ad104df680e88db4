"""FeexPay's endpoints that are asked, not paid on: status, history, balance, shop. `bodies.py` answers."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies
from django_feexpay.sandbox.context import payment_of, sandbox_of
from django_feexpay.sandbox.guards import ApiError, read_json, require_key, require_shop
from django_feexpay.sandbox.store import Payment
from django_feexpay.sandbox.validation import ValidationFailedError

HISTORY_ROWS = 500
HISTORY_DAYS = 31


async def status(request: Request) -> Response:
    require_key(request)
    payment = payment_of(request)
    if payment is None:
        raise ApiError(404, bodies.error(404, "Transaction not found", "NOT_FOUND"))
    return JSONResponse(bodies.status(payment))


async def status_without_reference(request: Request) -> Response:
    require_key(request)
    raise ApiError(400, bodies.error(400, "Reference is required", "MISSING_REFERENCE"))


async def history(request: Request) -> Response:
    """POST history: newest first, at most 500 rows; `total` counts those that were cut off, too."""
    require_key(request)
    body = await read_json(request)
    start, end = _period(body)
    require_shop(request, body.get("shop"))
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
    require_key(request)
    require_shop(request, request.path_params["shop"])
    sandbox = sandbox_of(request)
    options = sandbox.options
    return JSONResponse(bodies.balance(options.shop_id, options.shop_name, sandbox.store.balances()))


async def shop(request: Request) -> Response:
    """GET get_shop needs no key, as FeexPay's own SDK asks it."""
    options = sandbox_of(request).options
    if request.path_params["shop"] != options.shop_id:
        raise ApiError(404, bodies.error(404, "Shop introuvable"))
    return JSONResponse({"name": options.shop_name, "reference": options.shop_id, "systemCardPay": None})


_TRANSACTIONS = "/api/transactions"
_STATUS = f"{_TRANSACTIONS}/public/single/status"

ROUTES = [
    Route(_STATUS, status_without_reference, methods=["GET"]),
    Route(f"{_STATUS}/", status_without_reference, methods=["GET"]),
    Route(f"{_STATUS}/{{reference}}", status, methods=["GET"]),
    Route(f"{_TRANSACTIONS}/history", history, methods=["POST"]),
    Route("/api/balance/public/getByShop/{shop}", balance, methods=["GET"]),
    Route("/api/shop/{shop}/get_shop", shop, methods=["GET"]),
]
