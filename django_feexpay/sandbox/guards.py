"""Checks of every FeexPay endpoint: the key, the shop, the network, a JSON body."""

from __future__ import annotations

import hmac
import json
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from django_feexpay.sandbox import bodies
from django_feexpay.sandbox.context import BodyTooLargeError, read_body, sandbox_of
from django_feexpay.sandbox.networks import Network
from django_feexpay.sandbox.validation import ValidationFailedError


class ApiError(Exception):
    """An error answer with FeexPay's body."""

    def __init__(self, status_code: int, body: dict[str, object]) -> None:
        super().__init__(body.get("message"))
        self.status_code = status_code
        self.body = body


async def api_error(request: Request, error: Exception) -> Response:
    if isinstance(error, ApiError):
        return JSONResponse(error.body, status_code=error.status_code)
    if isinstance(error, BodyTooLargeError):
        return JSONResponse(bodies.error(413, "request entity too large"), status_code=413)
    if isinstance(error, ValidationFailedError):
        body = bodies.error(400, "Validation failed") | {"errors": error.errors}
        return JSONResponse(body, status_code=400)
    raise error


def require_key(request: Request) -> None:
    given = request.headers.get("authorization", "").encode()
    if not hmac.compare_digest(given, f"Bearer {sandbox_of(request).options.api_key}".encode()):
        raise ApiError(401, bodies.unauthorized())
    require_address(request)


def require_shop(request: Request, shop_id: object) -> None:
    if shop_id != sandbox_of(request).options.shop_id:
        raise ApiError(404, bodies.error(404, "Merchant or Shop not found", "ERR_SHOP_NOT_FOUND"))
    if sandbox_of(request).settings.shop_disabled:
        raise ApiError(404, bodies.error(404, "Shop is disabled"))


def require_address(request: Request, *, payout: bool = False) -> None:
    """Apply the shop's list of addresses, which covers payouts or every call."""
    settings = sandbox_of(request).settings
    covered = payout or settings.addresses_for_all
    address = request.client.host if request.client else ""
    if covered and settings.allowed_addresses and address not in settings.allowed_addresses:
        raise ApiError(403, bodies.error(403, "IP address is not allowed", "IP_NOT_ALLOWED"))


def require_open(request: Request, network: Network) -> None:
    """Refuse a network that this shop cannot use now."""
    settings = sandbox_of(request).settings
    if network.suffix in settings.not_activated:
        raise ApiError(404, bodies.error(404, f"{network.reseau} channel not configured"))
    if network.suffix in settings.blocked:
        raise ApiError(403, bodies.error(403, "Access denied for this country or network", "ACCESS_DENIED"))
    if network.suffix in settings.maintenance:
        raise ApiError(503, bodies.error(503, "Network under maintenance", "NETWORK_UNAVAILABLE"))
    if network.suffix == "celtiis_bj" and settings.celtiis_down:
        raise ApiError(400, bodies.error(400, "Celtiis BJ API Error"))


async def read_json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await read_body(request))
    except (ValueError, RecursionError) as error:
        refusal = bodies.error(400, "Unexpected token in JSON") | {"error": "Bad Request"}
        raise ApiError(400, refusal) from error
    return body if isinstance(body, dict) else {}


async def read_form_or_json(request: Request) -> dict[str, Any]:
    """The fields of a form, its amount as an integer, or of a JSON body."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return await read_json(request)
    form = parse_qs((await read_body(request)).decode("utf-8", "replace"))
    body: dict[str, Any] = {name: values[0] for name, values in form.items()}
    amount = str(body.get("amount", ""))
    return body | {"amount": int(amount)} if amount.isascii() and amount.isdigit() and len(amount) < 12 else body
