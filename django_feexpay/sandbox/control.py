"""The control interface: decide for the payer, force, forge, inject faults, reset.

For tests and demos on this machine: other callers get 403. Bodies are JSON objects; a field that is left out keeps its
default, a wrong one is a 400 that says why and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies, fault_scenarios, links, scenarios
from django_feexpay.sandbox.bodies import ApiError
from django_feexpay.sandbox.context import Sandbox, is_from_this_machine, payment_of, read_body, sandbox_of
from django_feexpay.sandbox.fault_settings import SettingError
from django_feexpay.sandbox.fault_settings import as_json as settings_as_json
from django_feexpay.sandbox.networks import CARDS, masked
from django_feexpay.sandbox.store import Delivery, Link, Payment
from django_feexpay.sandbox.webhooks import WebhookRequest

_LONGEST_DELAY_SECONDS = 86_400
_MAX_WEBHOOKS = 100

Endpoint = Callable[[Request], Awaitable[Response]]

CHOICES = {
    "approve": (scenarios.SUCCESSFUL, None),
    "decline": (scenarios.FAILED, scenarios.DECLINED),
    "expire": (scenarios.FAILED, scenarios.EXPIRED),
}


def loopback_only(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        if not is_from_this_machine(request):
            return _problem(403, "the control interface answers only callers on this machine")
        return await endpoint(request)

    return guarded


def _endpoint(answer: Callable[[Request], Awaitable[dict[str, Any]]]) -> Endpoint:
    """An endpoint of the control interface: JSON out, errors as `{"error": …}`, callers on this machine only."""

    @loopback_only
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await answer(request))
        except SettingError as error:
            return _problem(400, str(error))
        except ApiError as error:
            return _problem(error.status_code, str(error))

    return endpoint


def _problem(status_code: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status_code)


# --- payments ----------------------------------------------------------------------------------------------------


@_endpoint
async def payments(request: Request) -> dict[str, Any]:
    """GET payments: newest first; `?echo=` filters by exactly this `callback_info`.

    `prompts` counts how often payers were asked, `charges` how often money was taken.
    """
    sandbox = sandbox_of(request)
    rows = [as_json(sandbox, one) for one in sandbox.store.payments(request.query_params.get("echo"))]
    charges = sum(row["charged"] for row in rows)
    return {"payments": rows, "prompts": sum(row["prompts"] for row in rows), "charges": charges}


@_endpoint
async def payment(request: Request) -> dict[str, Any]:
    return as_json(sandbox_of(request), _payment(request))


@_endpoint
async def choose(request: Request) -> dict[str, Any]:
    """POST approve, decline or expire. A failed payment may still be approved: a late success."""
    found = _payment(request)
    choice = CHOICES.get(request.path_params["choice"])
    if choice is None:
        raise ApiError(404, "no such payment or choice")
    if not sandbox_of(request).engine.choose(found.reference, *choice):
        raise ApiError(409, f"the payment is already {found.status}")
    return _reread(request, found)


@_endpoint
async def resend(request: Request) -> dict[str, Any]:
    """POST resend: send the webhook of the current status once more, also of a pending payment."""
    found = _payment(request)
    sandbox_of(request).engine.send(found, [WebhookRequest()])
    return _reread(request, found)


@_endpoint
async def force(request: Request) -> dict[str, Any]:
    """POST force `{"status", "reason"?, "paid_amount"?, "webhook"?}`: set any of the sandbox's statuses."""
    found = _payment(request)
    fields = await _read_fields(request, ("status", "reason", "paid_amount", "webhook"))
    force_status(sandbox_of(request), found, fields)
    return _reread(request, found)


@_endpoint
async def reverse(request: Request) -> dict[str, Any]:
    """POST reverse `{"status"?, "webhook"?}`: give the money of a paid payment back to the payer."""
    found, engine = _payment(request), sandbox_of(request).engine
    fields = await _read_fields(request, ("status", "webhook"))
    status, announce = fields.get("status", scenarios.REVERSED), _wants_webhook(fields)
    if status not in (*scenarios.REVERSED_STATUSES, scenarios.FAILED):
        raise SettingError(f"status must be one of {', '.join((*scenarios.REVERSED_STATUSES, scenarios.FAILED))}")
    if status == scenarios.FAILED and found.charged:
        engine.force(found, scenarios.FAILED, scenarios.OPERATOR_ERROR, 0, announce=announce)
    elif status == scenarios.FAILED or not engine.reverse(found.reference, str(status), announce=announce):
        raise ApiError(409, f"the payment is {found.status}: only a paid payment can be reversed")
    return _reread(request, found)


@_endpoint
async def charge_again(request: Request) -> dict[str, Any]:
    """POST charge_again `{"webhook"?}`: charge the same payer a second time, under another reference."""
    found, sandbox = _payment(request), sandbox_of(request)
    announce = _wants_webhook(await _read_fields(request, ("webhook",)))
    second = sandbox.engine.charge_again(found.reference, announce=announce)
    if second is None:
        raise ApiError(409, f"the payment is {found.status}: only a paid payment can be charged again")
    return as_json(sandbox, second)


@_endpoint
async def webhook(request: Request) -> dict[str, Any]:
    """POST webhook `{"status"?, "amount"?, "reference"?, "delay_seconds"?, "count"?, "signed"?}`: true or forged."""
    found = _payment(request)
    names = ("status", "amount", "reference", "delay_seconds", "count", "signed")
    send_webhooks(sandbox_of(request), found, await _read_fields(request, names))
    return _reread(request, found)


@_endpoint
async def webhooks(request: Request) -> dict[str, Any]:
    """GET webhooks: every webhook about the payment with its body, oldest first."""
    found = _payment(request)
    deliveries = sandbox_of(request).store.deliveries_of(found.reference)
    return {
        "webhooks": [
            _delivery_as_json(delivery) | {"signed": delivery.signed, "body": shown_body(found, delivery)}
            for delivery in deliveries
        ]
    }


# --- settings, links, reset --------------------------------------------------------------------------------------


@_endpoint
async def settings(request: Request) -> dict[str, Any]:
    """GET conditions; POST the settings to change: all of them or, when one is wrong, none."""
    current = sandbox_of(request).current_settings
    if request.method == "POST":
        current.change(await _read_fields(request))
    return {"conditions": settings_as_json(current.now)}


@_endpoint
async def reset_settings(request: Request) -> dict[str, Any]:
    """POST conditions/reset: restore the initial settings."""
    current = sandbox_of(request).current_settings
    current.reset()
    return {"conditions": settings_as_json(current.now)}


@_endpoint
async def all_scenarios(request: Request) -> dict[str, Any]:
    """GET scenarios: each named scenario and whether it is on, and the names of other faults in force."""
    now = sandbox_of(request).settings
    rows = [
        {"name": name, "title": one.title[1], "effect": one.effect[1], "on": one.is_on(now)}
        for name, one in fault_scenarios.FAULT_SCENARIOS.items()
    ]
    return {"scenarios": rows, "other_faults": fault_scenarios.other_faults(now)}


@_endpoint
async def play_scenario(request: Request) -> dict[str, Any]:
    """POST scenarios/{name}/{choice}: start or end one; `scenarios/normal/start` ends every fault."""
    if not switch_scenario(sandbox_of(request), request.path_params["name"], request.path_params["choice"]):
        raise ApiError(404, "no such scenario or choice")
    return {"conditions": settings_as_json(sandbox_of(request).settings)}


@_endpoint
async def all_links(request: Request) -> dict[str, Any]:
    """GET links: newest first; `?custom_id=` filters by exactly this one."""
    sandbox, wanted = sandbox_of(request), request.query_params.get("custom_id")
    found = [link for link in sandbox.store.links() if wanted in (None, link.custom_id)]
    return {"links": [_link_as_json(request, link) for link in found]}


@_endpoint
async def act_on_link(request: Request) -> dict[str, Any]:
    """POST links/{code}/{choice}: pay, fail, cancel, expire, activate or deactivate, as on its page.

    `pay` takes `{"method"?, "ending"?, "phone"?}` and answers with the payment.
    """
    sandbox, code, choice = sandbox_of(request), request.path_params["code"], request.path_params["choice"]
    link = sandbox.store.link(code)
    if link is None or choice not in (*links.SWITCHES, "pay", "fail", "cancel"):
        raise ApiError(404, "no such link or choice")
    if choice in links.SWITCHES:
        links.SWITCHES[choice](sandbox.store, link)
        return _link_as_json(request, sandbox.store.link(code) or link)
    fields = await _read_fields(request, ("method", "ending", "phone"))
    form = {"method": CARDS[0].reseau, "choice": choice} | {name: str(value) for name, value in fields.items()}
    try:
        return as_json(sandbox, links.submit(sandbox, links.open_link(sandbox, code), form))
    except links.FormError as error:
        raise ApiError(400, str(error)) from error


@_endpoint
async def run_scripts(request: Request) -> dict[str, Any]:
    """POST run_scripts: every payer with a magic number decides now."""
    return {"decisions": sandbox_of(request).engine.run_scripts()}


@_endpoint
async def reset(request: Request) -> dict[str, Any]:
    """POST reset: forget every payment, step, link and delivery, and restore the initial settings."""
    sandbox = sandbox_of(request)
    sandbox.store.reset()
    sandbox.current_settings.reset()
    return {"reset": True}


# --- shared with the control page --------------------------------------------------------------------------------


def switch_scenario(sandbox: Sandbox, name: str, choice: str) -> bool:
    """Start or end a named scenario, or with "normal" end every fault; False for an unknown name or choice."""
    if (name, choice) == ("normal", "start"):
        sandbox.current_settings.change(fault_scenarios.normal())
        return True
    scenario = fault_scenarios.FAULT_SCENARIOS.get(name)
    if scenario is None or choice not in ("start", "end"):
        return False
    now = sandbox.settings
    sandbox.current_settings.change(scenario.started(now) if choice == "start" else scenario.ended(now))
    return True


def force_status(sandbox: Sandbox, payment: Payment, fields: Mapping[str, object]) -> None:
    """Raises SettingError."""
    status, reason = fields.get("status"), fields.get("reason")
    if status not in scenarios.STATUSES:
        raise SettingError(f"status must be one of {', '.join(scenarios.STATUSES)}")
    if reason is not None and not isinstance(reason, str):
        raise SettingError("reason must be a text")
    paid = _whole("paid_amount", fields.get("paid_amount", payment.amount if status == scenarios.SUCCESSFUL else 0))
    announce = _wants_webhook(fields)
    reason = None if status != scenarios.FAILED else reason or scenarios.DECLINED
    sandbox.engine.force(payment, str(status), reason, paid, announce=announce)


def send_webhooks(sandbox: Sandbox, payment: Payment, fields: Mapping[str, object]) -> None:
    """Raises SettingError."""
    status, reference = (fields.get(name) for name in ("status", "reference"))
    signed, amount = fields.get("signed", True), fields.get("amount")
    delay, count = fields.get("delay_seconds", 0), fields.get("count", 1)
    if not isinstance(status, str | None) or not isinstance(reference, str | None):
        raise SettingError("status and reference must be texts")
    if not isinstance(signed, bool):
        raise SettingError("signed must be true or false")
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= _LONGEST_DELAY_SECONDS:
        raise SettingError(f"delay_seconds must be a number from 0 to {_LONGEST_DELAY_SECONDS}")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MAX_WEBHOOKS:
        raise SettingError(f"count must be a whole number from 1 to {_MAX_WEBHOOKS}")
    request = WebhookRequest(status, None if amount is None else _whole("amount", amount), reference, delay, signed)
    sandbox.engine.send(payment, [request] * count)


def shown_body(payment: Payment, delivery: Delivery) -> dict[str, Any]:
    """The body that was sent, with the number masked."""
    body: dict[str, Any] = json.loads(delivery.body)
    return body | {"phoneNumber": masked(payment.msisdn, payment.network)} if "phoneNumber" in body else body


# --- reading and writing -----------------------------------------------------------------------------------------


def _payment(request: Request) -> Payment:
    found = payment_of(request)
    if found is None:
        raise ApiError(404, "no such payment")
    return found


def _reread(request: Request, payment: Payment) -> dict[str, Any]:
    sandbox = sandbox_of(request)
    return as_json(sandbox, sandbox.store.payment(payment.reference) or payment)


async def _read_fields(request: Request, names: tuple[str, ...] | None = None) -> dict[str, object]:
    """The JSON object of the body; `{}` for an empty body. Raises SettingError, also for a name not in `names`."""
    raw = await read_body(request)
    try:
        body = json.loads(raw) if raw else {}
    except (ValueError, RecursionError) as error:
        raise SettingError("the body must be JSON") from error
    if not isinstance(body, dict):
        raise SettingError("the body must be a JSON object")
    unknown = [name for name in body if names is not None and name not in names]
    if unknown:
        raise SettingError(f"{unknown[0]!r} is none of {', '.join(names or ())}")
    return body


def _wants_webhook(fields: Mapping[str, object]) -> bool:
    announce = fields.get("webhook", True)
    if not isinstance(announce, bool):
        raise SettingError("webhook must be true or false")
    return announce


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**15:
        raise SettingError(f"{name} must be a whole number")
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


def _delivery_as_json(delivery: Delivery) -> dict[str, Any]:
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
        "webhooks": [_delivery_as_json(delivery) for delivery in deliveries],
    }


ROUTES = [
    Route("/control/payments/{reference}/webhooks", webhooks, methods=["GET"]),
    Route("/control/payments/{reference}/force", force, methods=["POST"]),
    Route("/control/payments/{reference}/webhook", webhook, methods=["POST"]),
    Route("/control/payments/{reference}/reverse", reverse, methods=["POST"]),
    Route("/control/payments/{reference}/charge_again", charge_again, methods=["POST"]),
    Route("/control/conditions", settings, methods=["GET", "POST"]),
    Route("/control/conditions/reset", reset_settings, methods=["POST"]),
    Route("/control/scenarios", all_scenarios, methods=["GET"]),
    Route("/control/scenarios/{name}/{choice}", play_scenario, methods=["POST"]),
    Route("/control/links", all_links, methods=["GET"]),
    Route("/control/links/{code}/{choice}", act_on_link, methods=["POST"]),
    Route("/control/payments", payments, methods=["GET"]),
    Route("/control/payments/{reference}", payment, methods=["GET"]),
    Route("/control/payments/{reference}/resend", resend, methods=["POST"]),
    Route("/control/payments/{reference}/{choice}", choose, methods=["POST"]),
    Route("/control/run_scripts", run_scripts, methods=["POST"]),
    Route("/control/reset", reset, methods=["POST"]),
]
