"""The shop's history: a direct answer, or an asynchronous export with a webhook."""

from __future__ import annotations

import json
import time as clock
import uuid
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies
from django_feexpay.sandbox.bodies import ApiError
from django_feexpay.sandbox.context import page_url, sandbox_of
from django_feexpay.sandbox.guards import read_json, require_key, require_shop
from django_feexpay.sandbox.store import Export, Payment
from django_feexpay.sandbox.validation import refuse, validation_failed, word_errors

HISTORY_ROWS = 500
HISTORY_DAYS = 31

TYPES = {"ALL": None, "PAYIN": False, "PAYOUT": True}
STATUSES = ("PENDING", "SUCCESSFUL", "FAILED", "ALL")

# The filter's codes: FeexPay collects from WAVE BF, ORANGE ML and MOBICASH ML, too, but does not list them here.
FILTER_CODES = (
    *("ALL", "MTN", "MOOV", "CELTIIS BJ", "CORIS", "MTN CI", "MOOV CI", "ORANGE CI", "WAVE CI", "MTN CG"),
    *("MOOV TG", "TOGOCOM TG", "ORANGE SN", "FREE SN", "WAVE SN", "MOOV BF", "ORANGE BF"),
)

# How long an export takes, and how long its file is kept.
EXPORT_SECONDS = 2.0
EXPORT_KEPT_SECONDS = 86_400.0


async def history(request: Request) -> Response:
    """POST history: newest first, at most 500 rows; `total` also counts the rows beyond them."""
    rows = await _rows(request)
    return JSONResponse({"success": True, "total": len(rows), "data": rows[:HISTORY_ROWS]})


async def history_async(request: Request) -> Response:
    """POST history/async: every row, later; 409 when no webhook address is configured."""
    rows = await _rows(request)
    sandbox = sandbox_of(request)
    if not sandbox.engine.webhook_queue.address:
        raise ApiError(409, "History webhook not configured", "HISTORY_WEBHOOK_NOT_CONFIGURED")
    now = clock.time()
    export = Export(
        request_id=str(uuid.uuid4()),
        created_at=now,
        ready_at=now + EXPORT_SECONDS * sandbox.options.time_scale,
        failed=sandbox.settings.history_fails,
        result=json.dumps(rows),
        row_count=len(rows),
    )
    sandbox.store.add_export(export)
    if not export.failed:
        body = bodies.history_webhook(export, _result_url(request, export), rows, _expires_at(export))
        sandbox.engine.webhook_queue.queue(export.request_id, body, export.ready_at)
        sandbox.timers.wake()
    return JSONResponse({"success": True, "data": bodies.export_pending(export, _expires_at(export))}, status_code=202)


async def export_status(request: Request) -> Response:
    """GET history/async/{request_id}."""
    require_key(request)
    export = sandbox_of(request).store.export(request.path_params["request_id"])
    if export is None:
        raise ApiError(404, "History request not found", "NOT_FOUND")
    body = bodies.export_pending(export, _expires_at(export))
    if export.ready_at <= clock.time():
        body |= bodies.export_ended(export, _result_url(request, export))
    return JSONResponse({"success": True, "data": body})


async def export_file(request: Request) -> Response:
    """GET exports/{request_id}.json: the file that `result_url` names, until it expires."""
    export = sandbox_of(request).store.export(request.path_params["request_id"])
    now = clock.time()
    if export is None or export.failed or not export.ready_at <= now < _expires_at(export):
        raise ApiError(404, "Not Found")
    return Response(export.result, media_type="application/json")


def _result_url(request: Request, export: Export) -> str:
    return page_url(request, f"/exports/{export.request_id}.json")


def _expires_at(export: Export) -> float:
    return export.ready_at + EXPORT_KEPT_SECONDS


async def _rows(request: Request) -> list[dict[str, Any]]:
    require_key(request)
    body = await read_json(request)
    start, end = _period(body)
    words = {"type": tuple(TYPES), "status": STATUSES, "reseau": FILTER_CODES}
    refuse({name: word_errors(name, body.get(name, "ALL"), words[name]) for name in words})
    require_shop(request, body.get("shop"))
    sandbox = sandbox_of(request)
    shown_until = clock.time() - sandbox.settings.history_late_seconds * sandbox.options.time_scale
    found = sandbox.store.created_between(start.timestamp(), min(end.timestamp(), shown_until))
    as_object = sandbox.settings.history_object
    return [bodies.history_row(payment, echo_as_object=as_object) for payment in found if _matches(payment, body)]


def _matches(payment: Payment, body: dict[str, Any]) -> bool:
    return (
        TYPES[body.get("type", "ALL")] in (None, payment.is_payout)
        and body.get("status", "ALL") in ("ALL", payment.status)
        and body.get("reseau", "ALL") in ("ALL", payment.network.reseau)
    )


def _period(body: dict[str, Any]) -> tuple[datetime, datetime]:
    """From the start of the first day to the end of the last, UTC."""
    first, last = (_day(name, body.get(name)) for name in ("start_date", "end_date"))
    if last < first or last - first > timedelta(days=HISTORY_DAYS):
        refuse({"end_date": {"range": f"end_date must be at most {HISTORY_DAYS} days after start_date"}})
    return datetime.combine(first, time.min, UTC), datetime.combine(last, time.max, UTC)


def _day(name: str, value: object) -> date:
    try:
        return datetime.strptime(str(value), "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise validation_failed({name: {"isDate": f"{name} must be a date, YYYY-MM-DD"}}) from error


ROUTES = [
    Route("/api/transactions/history", history, methods=["POST"]),
    Route("/api/transactions/history/async", history_async, methods=["POST"]),
    Route("/api/transactions/history/async/{request_id}", export_status, methods=["GET"]),
    Route("/exports/{request_id}.json", export_file, methods=["GET"]),
]
