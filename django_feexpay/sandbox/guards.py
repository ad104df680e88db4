"""Checks of every FeexPay endpoint: the key, the shop, the network, a JSON body."""

from __future__ import annotations

import hmac
import json
from typing import Any

from starlette.requests import Request

from django_feexpay.sandbox.bodies import ApiError
from django_feexpay.sandbox.context import read_body, read_form, sandbox_of
from django_feexpay.sandbox.networks import Network


def require_key(request: Request) -> None:
    given = request.headers.get("authorization", "").encode()
    if not hmac.compare_digest(given, f"Bearer {sandbox_of(request).options.api_key}".encode()):
        # `success` is not in the documented format, but FeexPay sent it.
        raise ApiError(401, "Unauthorized", "UNAUTHORIZED", success=False)
    require_address(request)


def require_shop(request: Request, shop_id: object) -> None:
    if shop_id != sandbox_of(request).options.shop_id:
        raise ApiError(404, "Merchant or Shop not found", "ERR_SHOP_NOT_FOUND")
    if sandbox_of(request).settings.shop_disabled:
        raise ApiError(404, "Shop is disabled")


def require_address(request: Request, *, payout: bool = False) -> None:
    """Apply the shop's list of addresses, which covers payouts or every call."""
    settings = sandbox_of(request).settings
    covered = payout or settings.addresses_for_all
    address = request.client.host if request.client else ""
    if covered and settings.allowed_addresses and address not in settings.allowed_addresses:
        raise ApiError(403, "IP address is not allowed", "IP_NOT_ALLOWED")


def require_open(request: Request, network: Network) -> None:
    """Refuse a network that this shop cannot use now."""
    settings = sandbox_of(request).settings
    if network.suffix in settings.not_activated:
        raise ApiError(404, f"{network.reseau} channel not configured")
    if network.suffix in settings.blocked:
        raise ApiError(403, "Access denied for this country or network", "ACCESS_DENIED")
    if network.suffix in settings.maintenance:
        raise ApiError(503, "Network under maintenance", "NETWORK_UNAVAILABLE")
    if network.suffix == "celtiis_bj" and settings.celtiis_down:
        raise ApiError(400, "Celtiis BJ API Error")


async def read_json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await read_body(request))
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "Unexpected token in JSON", error="Bad Request") from error
    return body if isinstance(body, dict) else {}


async def read_form_or_json(request: Request) -> dict[str, Any]:
    """The fields of a form, its amount as an integer, or of a JSON body."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return await read_json(request)
    form = await read_form(request)
    amount = form.get("amount", "")
    return form | {"amount": int(amount)} if amount.isascii() and amount.isdigit() and len(amount) < 12 else dict(form)
