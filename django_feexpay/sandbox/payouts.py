"""Payouts: the amount leaves the balance at once, and returns after a failure."""

from __future__ import annotations

import re
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies, scenarios
from django_feexpay.sandbox.api import status_without_reference
from django_feexpay.sandbox.bodies import ApiError
from django_feexpay.sandbox.context import payment_of, sandbox_of
from django_feexpay.sandbox.guards import read_json, require_address, require_key, require_open, require_shop
from django_feexpay.sandbox.networks import BY_RESEAU, BY_SUFFIX, Network
from django_feexpay.sandbox.store import PAYOUT, Payment
from django_feexpay.sandbox.validation import (
    LARGEST_NUMBER,
    Constraints,
    amount_errors,
    phone_errors,
    refuse,
    shop_errors,
    word_errors,
)

# Routes shared by several networks: the body names the network.
SHARED_ROUTES = {"transfer/global": ("MTN", "MOOV"), "togo": ("TOGOCOM TG", "MOOV TG")}
OWN_ROUTES = (
    *("celtiis_bj", "mtn_ci", "orange_ci", "moov_ci", "wave_ci", "orange_sn", "free_sn", "wave_sn", "mtn_cg"),
    *("moov_bf", "orange_bf", "wave_bf", "orange_ml", "mobicash_ml"),
)

_STATUS = "/api/payouts/status/public"

MIN_IN_BENIN = 50
LONGEST_MOTIF = 30

# No payer decides on a payout: without a magic number it succeeds.
_PAID = (scenarios.approved(),)


async def payout(request: Request) -> Response:
    """POST payouts/public/{route}: always PENDING at first."""
    route = request.path_params["route"]
    if route not in SHARED_ROUTES and route not in OWN_ROUTES:
        raise bodies.no_such_path("POST", request.url.path)
    require_key(request)
    require_address(request, payout=True)
    body = await read_json(request)
    network = _network(route, body)
    _validate(body, network)
    require_shop(request, body["shop"])
    require_open(request, network)
    return JSONResponse(bodies.payout_accepted(_create(request, network, body)))


def _network(route: str, body: dict[str, Any]) -> Network:
    if route in OWN_ROUTES:
        return BY_SUFFIX[route]
    name = body.get("network")
    refuse({"network": word_errors("network", name, SHARED_ROUTES[route])})
    return BY_RESEAU[str(name)]


def _validate(body: dict[str, Any], network: Network) -> None:
    least = MIN_IN_BENIN if network.country == "BJ" else 100
    refuse(
        {
            "phoneNumber": phone_errors(body.get("phoneNumber"), network),
            # No source shows a largest payout.
            "amount": amount_errors(body.get("amount"), least, LARGEST_NUMBER),
            "shop": shop_errors(body.get("shop")),
            "motif": _motif_errors(body.get("motif")),
            "callback_info": {} if isinstance(body.get("callback_info"), str | None) else {"isString": "callback_info"},
        }
    )


def _motif_errors(value: object) -> Constraints:
    if not isinstance(value, str) or not value.strip():
        return {"isNotEmpty": "motif should not be empty"}
    if len(value) > LONGEST_MOTIF:
        return {"maxLength": f"motif must be shorter than or equal to {LONGEST_MOTIF} characters"}
    if not re.fullmatch("[A-Za-z0-9 ]+", value):
        return {"matches": "motif must not contain special characters"}
    return {}


def _create(request: Request, network: Network, body: dict[str, Any]) -> Payment:
    """Store the payout; its amount leaves the balance at once."""
    sandbox = sandbox_of(request)
    if not sandbox.settings.payouts_enabled:
        raise ApiError(403, "Payout is not enabled for this shop", "ERR_PAYOUT_NOT_ENABLED")
    balance = sandbox.settings.opening_balance + sandbox.store.balances().get(network.suffix, 0)
    if balance < body["amount"]:
        raise ApiError(400, "Insufficient balance", "ERR_INSUFFICIENT_BALANCE")
    now = time.time()
    msisdn = str(body["phoneNumber"])
    payment = Payment(
        reference=bodies.new_reference(network, now),
        suffix=network.suffix,
        msisdn=msisdn,
        amount=body["amount"],
        echo=body.get("callback_info"),
        details={"description": body["motif"], "first_name": "", "last_name": "", "email": ""},
        created_at=now,
        kind=PAYOUT,
        waits_for="nothing",
    )
    script = scenarios.SCRIPTS.get(msisdn[-2:])
    steps = tuple(step for step in script.steps if step.after_seconds) if script else _PAID
    return sandbox.engine.accept(payment, steps or _PAID)


async def payout_status(request: Request) -> Response:
    """GET payouts/status/public/{reference}: a payment's status without `comment` and `operator_id`."""
    require_key(request)
    found = payment_of(request)
    if found is None or not found.is_payout:
        raise ApiError(404, "Transaction not found", "NOT_FOUND")
    body = bodies.status(found)
    return JSONResponse({name: value for name, value in body.items() if name not in ("comment", "operator_id")})


ROUTES = [
    Route(_STATUS, status_without_reference, methods=["GET"]),
    Route(f"{_STATUS}/", status_without_reference, methods=["GET"]),
    Route(f"{_STATUS}/{{reference}}", payout_status, methods=["GET"]),
    Route("/api/payouts/public/{route:path}", payout, methods=["POST"]),
]
