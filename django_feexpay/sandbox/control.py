"""Ours, not FeexPay's: look at what was collected, decide for the payer, force, forge, break, start over.

For tests and demos on this machine: a caller that is not on the loopback gets 403. Bodies are JSON objects;
what a body leaves out keeps its default, and a wrong one is a 400 that says why and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies, links, scenarios
from django_feexpay.sandbox.context import Sandbox, payment_of, read_body, sandbox_of
from django_feexpay.sandbox.fault_settings import ConditionError
from django_feexpay.sandbox.fault_settings import as_json as conditions_as_json
from django_feexpay.sandbox.guards import ApiError
from django_feexpay.sandbox.networks import CARDS, masked
from django_feexpay.sandbox.store import Delivery, Link, Payment
from django_feexpay.sandbox.webhook_queue import Wish

_LONGEST_DELAY_SECONDS = 86_400
_MOST_WEBHOOKS = 100

Endpoint = Callable[[Request], Awaitable[Response]]

CHOICES = {
    "approve": (scenarios.SUCCESSFUL, None),
    "decline": (scenarios.FAILED, scenarios.DECLINED),
    "expire": (scenarios.FAILED, scenarios.EXPIRED),
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
async def force(request: Request) -> Response:
    """POST force `{"status", "reason"?, "paid_amount"?, "webhook"?}`: any status over any other."""
    found, sandbox = payment_of(request), sandbox_of(request)
    if found is None:
        return _problem(404, "no such payment")
    try:
        force_status(sandbox, found, await _wishes(request, ("status", "reason", "paid_amount", "webhook")))
    except ConditionError as error:
        return _problem(400, str(error))
    return JSONResponse(as_json(sandbox, sandbox.store.payment(found.reference) or found))


@loopback_only
async def reverse(request: Request) -> Response:
    """POST reverse `{"status"?, "webhook"?}`: the money of a payment that was paid is taken back."""
    found, sandbox = payment_of(request), sandbox_of(request)
    if found is None:
        return _problem(404, "no such payment")
    try:
        wishes = await _wishes(request, ("status", "webhook"))
        status = wishes.get("status", scenarios.REVERSED)
        if status not in (*scenarios.TAKEN_BACK, scenarios.FAILED):
            raise ConditionError(f"status must be one of {', '.join((*scenarios.TAKEN_BACK, scenarios.FAILED))}")
        announce = _announce(wishes)
    except ConditionError as error:
        return _problem(400, str(error))
    if not take_back(sandbox, found, str(status), announce=announce):
        return _problem(409, f"the payment is {found.status}: only one that was paid can be taken back")
    return JSONResponse(as_json(sandbox, sandbox.store.payment(found.reference) or found))


@loopback_only
async def charge_again(request: Request) -> Response:
    """POST charge_again `{"webhook"?}`: the same payer is charged once more, under another reference."""
    found, sandbox = payment_of(request), sandbox_of(request)
    if found is None:
        return _problem(404, "no such payment")
    try:
        announce = _announce(await _wishes(request, ("webhook",)))
    except ConditionError as error:
        return _problem(400, str(error))
    second = sandbox.till.charge_again(found.reference, announce=announce)
    if second is None:
        return _problem(409, f"the payment is {found.status}: only one that was paid can be charged again")
    return JSONResponse(as_json(sandbox, second))


@loopback_only
async def webhook(request: Request) -> Response:
    """POST webhook `{"status"?, "amount"?, "reference"?, "delay_seconds"?, "count"?, "signed"?}`: true or not."""
    found, sandbox = payment_of(request), sandbox_of(request)
    names = ("status", "amount", "reference", "delay_seconds", "count", "signed")
    if found is None:
        return _problem(404, "no such payment")
    try:
        send_webhooks(sandbox, found, await _wishes(request, names))
    except ConditionError as error:
        return _problem(400, str(error))
    return JSONResponse(as_json(sandbox, found))


@loopback_only
async def webhooks(request: Request) -> Response:
    """GET webhooks: every webhook about the payment with its body, oldest first."""
    found = payment_of(request)
    if found is None:
        return _problem(404, "no such payment")
    deliveries = sandbox_of(request).store.deliveries_of(found.reference)
    return JSONResponse({"webhooks": [_with_body(found, delivery) for delivery in deliveries]})


@loopback_only
async def conditions(request: Request) -> Response:
    """GET conditions, or POST the ones to change: all of them or, when one is wrong, none."""
    switchboard = sandbox_of(request).switchboard
    if request.method == "POST":
        try:
            switchboard.change(await _wishes(request))
        except ConditionError as error:
            return _problem(400, str(error))
    return JSONResponse({"conditions": conditions_as_json(switchboard.now)})


@loopback_only
async def reset_conditions(request: Request) -> Response:
    """POST conditions/reset: as at the start."""
    switchboard = sandbox_of(request).switchboard
    switchboard.reset()
    return JSONResponse({"conditions": conditions_as_json(switchboard.now)})


@loopback_only
async def all_links(request: Request) -> Response:
    """GET links: newest first; `?custom_id=` keeps those with exactly this one."""
    sandbox, wanted = sandbox_of(request), request.query_params.get("custom_id")
    found = [link for link in sandbox.store.links() if wanted in (None, link.custom_id)]
    return JSONResponse({"links": [_link_as_json(request, link) for link in found]})


@loopback_only
async def play_link(request: Request) -> Response:
    """POST links/{code}/{choice}: pay, fail, cancel, expire, activate or deactivate, as on its page.

    `pay` takes `{"method"?, "ending"?, "phone"?}` and answers with the payment.
    """
    sandbox, code, choice = sandbox_of(request), request.path_params["code"], request.path_params["choice"]
    link = sandbox.store.link(code)
    if link is None or choice not in (*links.SWITCHES, "pay", "fail", "cancel"):
        return _problem(404, "no such link or choice")
    if choice in links.SWITCHES:
        links.SWITCHES[choice](sandbox.store, link)
        return JSONResponse(_link_as_json(request, sandbox.store.link(code) or link))
    try:
        form = {name: str(value) for name, value in (await _wishes(request, ("method", "ending", "phone"))).items()}
        payment = links.play(
            sandbox, links.open_link(sandbox, code), {"method": CARDS[0].reseau, "choice": choice} | form
        )
    except (ConditionError, links.FormError) as error:
        return _problem(400, str(error))
    except ApiError as error:
        return _problem(error.status_code, str(error))
    return JSONResponse(as_json(sandbox, payment))


@loopback_only
async def run_scripts(request: Request) -> Response:
    """POST run_scripts: every payer with a magic number decides now."""
    return JSONResponse({"steps": sandbox_of(request).till.run_scripts()})


@loopback_only
async def reset(request: Request) -> Response:
    """POST reset: every payment, step, link and delivery is forgotten, every condition as at the start."""
    sandbox = sandbox_of(request)
    sandbox.store.reset()
    sandbox.switchboard.reset()
    return JSONResponse({"reset": True})


async def _wishes(request: Request, names: tuple[str, ...] | None = None) -> dict[str, object]:
    """The JSON object of the body, `{}` for none; `ConditionError` for anything else, or a name not in `names`."""
    raw = await read_body(request)
    try:
        body = json.loads(raw) if raw else {}
    except (ValueError, RecursionError) as error:
        raise ConditionError("the body must be JSON") from error
    if not isinstance(body, dict):
        raise ConditionError("the body must be a JSON object")
    unknown = [name for name in body if names is not None and name not in names]
    if unknown:
        raise ConditionError(f"{unknown[0]!r} is none of {', '.join(names or ())}")
    return body


def force_status(sandbox: Sandbox, payment: Payment, wishes: Mapping[str, object]) -> None:
    """`ConditionError` says what is wrong with the wishes."""
    status, reason = wishes.get("status"), wishes.get("reason")
    if status not in scenarios.STATUSES:
        raise ConditionError(f"status must be one of {', '.join(scenarios.STATUSES)}")
    if reason is not None and not isinstance(reason, str):
        raise ConditionError("reason must be a text")
    paid = _whole("paid_amount", wishes.get("paid_amount", payment.amount if status == scenarios.SUCCESSFUL else 0))
    announce = _announce(wishes)
    reason = None if status != scenarios.FAILED else reason or scenarios.DECLINED
    sandbox.till.force(payment, str(status), reason, paid, announce=announce)


def take_back(sandbox: Sandbox, payment: Payment, status: str, *, announce: bool) -> bool:
    """Take the money of a payment back; False when it was not paid. FAILED is a word FeexPay has for this, too."""
    if status in scenarios.TAKEN_BACK:
        return sandbox.till.take_back(payment.reference, status, announce=announce)
    if not payment.charged:
        return False
    sandbox.till.force(payment, status, scenarios.OPERATOR_ERROR, 0, announce=announce)
    return True


def _announce(wishes: Mapping[str, object]) -> bool:
    announce = wishes.get("webhook", True)
    if not isinstance(announce, bool):
        raise ConditionError("webhook must be true or false")
    return announce


def send_webhooks(sandbox: Sandbox, payment: Payment, wishes: Mapping[str, object]) -> None:
    """`ConditionError` says what is wrong with the wishes."""
    status, reference = (wishes.get(name) for name in ("status", "reference"))
    signed, amount = wishes.get("signed", True), wishes.get("amount")
    delay, count = wishes.get("delay_seconds", 0), wishes.get("count", 1)
    if not isinstance(status, str | None) or not isinstance(reference, str | None):
        raise ConditionError("status and reference must be texts")
    if not isinstance(signed, bool):
        raise ConditionError("signed must be true or false")
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= _LONGEST_DELAY_SECONDS:
        raise ConditionError(f"delay_seconds must be a number from 0 to {_LONGEST_DELAY_SECONDS}")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MOST_WEBHOOKS:
        raise ConditionError(f"count must be a whole number from 1 to {_MOST_WEBHOOKS}")
    wish = Wish(status, None if amount is None else _whole("amount", amount), reference, delay, signed)
    sandbox.till.send(payment, [wish] * count)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**15:
        raise ConditionError(f"{name} must be a whole number")
    return value


def _link_as_json(request: Request, link: Link) -> dict[str, Any]:
    return {
        "code": link.code,
        "url": links.url_of(request, link),
        "amount": link.amount,
        "methods": link.methods,
        "range": link.uses,
        "uses": sandbox_of(request).store.uses_of(link.code),
        "active": link.active,
        "custom_id": link.custom_id,
        "expires_at": bodies.iso(link.expires_at),
    }


def _with_body(payment: Payment, delivery: Delivery) -> dict[str, Any]:
    return _as_listed(delivery) | {"signed": delivery.signed, "body": shown_body(payment, delivery)}


def shown_body(payment: Payment, delivery: Delivery) -> dict[str, Any]:
    """What was sent, the number masked as everywhere."""
    body: dict[str, Any] = json.loads(delivery.body)
    return body | {"phoneNumber": masked(payment.msisdn, payment.network)} if "phoneNumber" in body else body


def _as_listed(delivery: Delivery) -> dict[str, Any]:
    return {
        "status": delivery.status,
        "attempts": delivery.attempts,
        "outcome": delivery.outcome,
        "delivered": delivery.delivered,
    }


def as_json(sandbox: Sandbox, one: Payment) -> dict[str, Any]:
    deliveries = sandbox.store.deliveries_of(one.reference)
    return {
        "id": one.number,
        "reference": one.reference,
        "type": one.kind,
        "suffix": one.suffix,
        "msisdn": masked(one.msisdn, one.network),
        "amount": one.amount,
        "paid_amount": one.paid_amount,
        "currency": one.network.currency,
        "status": one.status,
        "reason": one.reason,
        "echo": one.echo,
        "custom_id": one.custom_id,
        "link": one.link,
        "waits_for": one.waits_for if one.status == scenarios.PENDING else None,
        "charged": one.charged,
        "prompts": one.prompts,
        "created_at": bodies.iso(one.created_at),
        "settled_at": None if one.settled_at is None else bodies.iso(one.settled_at),
        "webhooks": [_as_listed(delivery) for delivery in deliveries],
    }


def _problem(status_code: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status_code)


ROUTES = [
    Route("/control/payments/{reference}/webhooks", webhooks, methods=["GET"]),
    Route("/control/payments/{reference}/force", force, methods=["POST"]),
    Route("/control/payments/{reference}/webhook", webhook, methods=["POST"]),
    Route("/control/payments/{reference}/reverse", reverse, methods=["POST"]),
    Route("/control/payments/{reference}/charge_again", charge_again, methods=["POST"]),
    Route("/control/conditions", conditions, methods=["GET", "POST"]),
    Route("/control/conditions/reset", reset_conditions, methods=["POST"]),
    Route("/control/links", all_links, methods=["GET"]),
    Route("/control/links/{code}/{choice}", play_link, methods=["POST"]),
    Route("/control/payments", payments, methods=["GET"]),
    Route("/control/payments/{reference}", payment, methods=["GET"]),
    Route("/control/payments/{reference}/resend", resend, methods=["POST"]),
    Route("/control/payments/{reference}/{choice}", choose, methods=["POST"]),
    Route("/control/run_scripts", run_scripts, methods=["POST"]),
    Route("/control/reset", reset, methods=["POST"]),
]
