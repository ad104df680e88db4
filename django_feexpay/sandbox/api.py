"""FeexPay's read-only endpoints: status, balance, shop, fees."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies
from django_feexpay.sandbox.bodies import ApiError
from django_feexpay.sandbox.context import payment_of, sandbox_of
from django_feexpay.sandbox.guards import read_json, require_key, require_shop
from django_feexpay.sandbox.networks import BY_RESEAU, CARDS, fee_of
from django_feexpay.sandbox.validation import amount_errors, refuse, shop_errors

_WITH_FEE = BY_RESEAU | {card.reseau: card for card in CARDS}


async def status(request: Request) -> Response:
    require_key(request)
    sandbox, payment = sandbox_of(request), payment_of(request)
    if payment is None or payment.is_payout:
        raise ApiError(404, "Transaction not found", "NOT_FOUND")
    settings = sandbox.settings
    unknown_until = payment.created_at + settings.status_unknown_seconds * sandbox.options.time_scale
    if time.time() < unknown_until:
        raise ApiError(404, "Transaction not found", "NOT_FOUND")
    return JSONResponse(bodies.status(payment, in_pending_state=settings.in_pending_state))


async def status_without_reference(request: Request) -> Response:
    require_key(request)
    raise ApiError(400, "Reference is required", "MISSING_REFERENCE")


async def v1_status(request: Request) -> Response:
    """GET getrequesttopay, the status of v1: without a key, and only if the setting `v1_status` is on."""
    payment = payment_of(request)
    if not sandbox_of(request).settings.v1_status:
        raise bodies.no_such_path("GET", request.url.path)
    if payment is None:
        raise ApiError(404, "Transaction not found", "NOT_FOUND")
    return JSONResponse(bodies.v1_status(payment))


async def balance(request: Request) -> Response:
    require_key(request)
    require_shop(request, request.path_params["shop"])
    sandbox = sandbox_of(request)
    options = sandbox.options
    by_suffix = sandbox.store.balances()
    return JSONResponse(bodies.balance(options.shop_id, options.shop_name, by_suffix, sandbox.settings.opening_balance))


async def shop(request: Request) -> Response:
    """GET get_shop: needs no key, as FeexPay's own SDK sends none."""
    sandbox = sandbox_of(request)
    options = sandbox.options
    if request.path_params["shop"] != options.shop_id:
        raise ApiError(404, "Shop introuvable")
    if sandbox.settings.shop_disabled:
        raise ApiError(400, "Shop is disabled")
    return JSONResponse({"name": options.shop_name, "reference": options.shop_id, "systemCardPay": None})


async def details(request: Request) -> Response:
    """POST transactions/details: what the payer would be charged."""
    require_key(request)
    body = await read_json(request)
    name = body.get("network", body.get("reseau"))
    refuse({"amount": amount_errors(body.get("amount")), "shop": shop_errors(body.get("shop"))})
    require_shop(request, body["shop"])
    network = _WITH_FEE.get(name) if isinstance(name, str) else None
    if network is None:
        raise ApiError(400, "Network not supported", "NETWORK_UNAVAILABLE")
    amount = body["amount"]
    total = amount + fee_of(network, amount)
    return JSONResponse({"iffees": True, "amount": amount, "total": total, "message": "Fees are paid by the customer"})


_TRANSACTIONS = "/api/transactions"
_STATUS = f"{_TRANSACTIONS}/public/single/status"

ROUTES = [
    Route(_STATUS, status_without_reference, methods=["GET"]),
    Route(f"{_STATUS}/", status_without_reference, methods=["GET"]),
    Route(f"{_STATUS}/{{reference}}", status, methods=["GET"]),
    Route(f"{_TRANSACTIONS}/getrequesttopay/integration/{{reference}}", v1_status, methods=["GET"]),
    Route(f"{_TRANSACTIONS}/details", details, methods=["POST"]),
    Route("/api/balance/public/getByShop/{shop}", balance, methods=["GET"]),
    Route("/api/shop/{shop}/get_shop", shop, methods=["GET"]),
]
