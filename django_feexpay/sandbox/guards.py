"""What every endpoint of FeexPay asks first: the key, the shop, a body that is JSON. And how it refuses."""

from __future__ import annotations

import hmac
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from django_feexpay.sandbox import bodies
from django_feexpay.sandbox.context import BodyTooLargeError, read_body, sandbox_of
from django_feexpay.sandbox.validation import ValidationFailedError


class ApiError(Exception):
    """An answer other than success, with FeexPay's body for it."""

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


def require_shop(request: Request, shop_id: object) -> None:
    if shop_id != sandbox_of(request).options.shop_id:
        raise ApiError(404, bodies.error(404, "Merchant or Shop not found", "ERR_SHOP_NOT_FOUND"))


async def read_json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await read_body(request))
    except (ValueError, RecursionError) as error:
        refusal = bodies.error(400, "Unexpected token in JSON") | {"error": "Bad Request"}
        raise ApiError(400, refusal) from error
    return body if isinstance(body, dict) else {}
