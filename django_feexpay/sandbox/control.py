"""Ours, not FeexPay's: look at what was collected, decide for the payer, send a webhook again, start over.

For tests and demos on this machine: a caller that is not on the loopback gets 403.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies, rules
from django_feexpay.sandbox.context import Sandbox, payment_of, sandbox_of
from django_feexpay.sandbox.networks import masked
from django_feexpay.sandbox.postbox import Wish
from django_feexpay.sandbox.store import Payment

Endpoint = Callable[[Request], Awaitable[Response]]

CHOICES = {
    "approve": (rules.SUCCESSFUL, None),
    "decline": (rules.FAILED, rules.DECLINED),
    "expire": (rules.FAILED, rules.EXPIRED),
}


def loopback_only(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        if request.client is None or not ip_address(request.client.host).is_loopback:
            return _problem(403, "the control interface answers only callers on this machine")
        return await endpoint(request)

    return guarded


@loopback_only
async def payments(request: Request) -> Response:
    """GET payments: newest first; `?echo=` keeps those with exactly this `callback_info`.

    `prompts` counts how often the payer was asked, `charges` how often money was taken.
    """
    sandbox = sandbox_of(request)
    rows = [as_json(sandbox, one) for one in sandbox.store.payments(request.query_params.get("echo"))]
    charges = sum(row["charged"] for row in rows)
    return JSONResponse({"payments": rows, "prompts": sum(row["prompts"] for row in rows), "charges": charges})


@loopback_only
async def payment(request: Request) -> Response:
    found = payment_of(request)
    if found is None:
        return _problem(404, "no such payment")
    return JSONResponse(as_json(sandbox_of(request), found))


@loopback_only
async def choose(request: Request) -> Response:
    """POST approve, decline or expire. A failed payment may still be approved: a late success."""
    found = payment_of(request)
    choice = CHOICES.get(request.path_params["choice"])
    if found is None or choice is None:
        return _problem(404, "no such payment or choice")
    sandbox = sandbox_of(request)
    if not sandbox.till.choose(found.reference, *choice):
        return _problem(409, f"the payment is already {found.status}")
    return JSONResponse(as_json(sandbox, sandbox.store.payment(found.reference) or found))


@loopback_only
async def resend(request: Request) -> Response:
    """POST resend: the webhook of the present status goes out once more, even that of a pending one."""
    found = payment_of(request)
    if found is None:
        return _problem(404, "no such payment")
    sandbox = sandbox_of(request)
    sandbox.till.send(found, [Wish()])
    return JSONResponse(as_json(sandbox, found))


@loopback_only
async def reset(request: Request) -> Response:
    """POST reset: every payment, step and delivery is forgotten."""
    sandbox_of(request).store.reset()
    return JSONResponse({"reset": True})


def as_json(sandbox: Sandbox, one: Payment) -> dict[str, Any]:
    deliveries = sandbox.store.deliveries_of(one.reference)
    return {
        "id": one.number,
        "reference": one.reference,
        "suffix": one.suffix,
        "msisdn": masked(one.msisdn, one.network),
        "amount": one.amount,
        "paid_amount": one.paid_amount,
        "currency": one.network.currency,
        "status": one.status,
        "reason": one.reason,
        "echo": one.echo,
        "charged": one.charged,
        "prompts": one.prompts,
        "created_at": bodies.iso(one.created_at),
        "settled_at": None if one.settled_at is None else bodies.iso(one.settled_at),
        "webhooks": [
            {
                "status": delivery.status,
                "attempts": delivery.attempts,
                "outcome": delivery.outcome,
                "delivered": delivery.delivered,
            }
            for delivery in deliveries
        ],
    }


def _problem(status_code: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status_code)


ROUTES = [
    Route("/control/payments", payments, methods=["GET"]),
    Route("/control/payments/{reference}", payment, methods=["GET"]),
    Route("/control/payments/{reference}/resend", resend, methods=["POST"]),
    Route("/control/payments/{reference}/{choice}", choose, methods=["POST"]),
    Route("/control/reset", reset, methods=["POST"]),
]
