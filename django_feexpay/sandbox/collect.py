"""POST requesttopay: request money from a payer by push, with a one-time code, or on the operator's page."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies, scenarios
from django_feexpay.sandbox.bodies import ApiError
from django_feexpay.sandbox.context import ConnectionReset, Sandbox, page_url, sandbox_of
from django_feexpay.sandbox.guards import read_form_or_json, read_json, require_key, require_open, require_shop
from django_feexpay.sandbox.networks import BY_RESEAU, BY_SUFFIX, Flow, Network
from django_feexpay.sandbox.scenarios import Answer, Script, Step
from django_feexpay.sandbox.store import Payment
from django_feexpay.sandbox.validation import CollectRequest, read_collect
from django_feexpay.sandbox.webhooks import WebhookRequest

# The longest time a synchronous operator waits for the payer.
SYNCHRONOUS_SECONDS = 110.0

# These answers come before the one-time code is needed.
_BEFORE_OTP = (Answer.UNAVAILABLE_503, Answer.FAILED_202)


async def collect(request: Request) -> Response:
    """POST requesttopay/{suffix}: prompt the payer and answer at once. Two requests prompt twice."""
    network = BY_SUFFIX.get(request.path_params["suffix"])
    if network is None:
        raise bodies.no_such_path("POST", request.url.path)
    require_key(request)
    return await collect_from(request, network, await read_json(request))


async def integration(request: Request) -> Response:
    """POST requesttopay/integration: the older endpoint, with the network in a JSON or a form body."""
    require_key(request)
    body = await read_form_or_json(request)
    name = body.get("reseau")
    network = BY_RESEAU.get(name) if isinstance(name, str) else None
    if network is None:
        raise ApiError(400, "Network not supported", "NETWORK_UNAVAILABLE")
    for names in ("customId", "reference"):
        body.setdefault("custom_id", body.get(names))
    return await collect_from(request, network, body, echo_may_be_json=True)


async def collect_from(
    request: Request, network: Network, body: dict[str, Any], *, echo_may_be_json: bool = False
) -> Response:
    flow = sandbox_of(request).flow_of(network)
    valid = read_collect(
        body, network, otp_needed=flow == "otp" and not network.two_steps, echo_may_be_json=echo_may_be_json
    )
    require_shop(request, valid.shop)
    require_open(request, network)
    script = scenarios.script_for(valid.msisdn)
    if script.answer is Answer.UNAVAILABLE_503:
        raise ApiError(503, "Network under maintenance", "NETWORK_UNAVAILABLE")
    if flow == "otp" and script.answer not in _BEFORE_OTP:
        return await _collect_with_otp(request, network, valid, script)
    payment = _create(sandbox_of(request), network, valid, script, flow)
    return await _answer(request, script, payment)


async def _collect_with_otp(request: Request, network: Network, valid: CollectRequest, script: Script) -> Response:
    """Collect with a one-time code: one request, as the payer has the code; two at Coris, which sends it by SMS."""
    sandbox = sandbox_of(request)
    waiting = None
    if network.two_steps and valid.otp:
        waiting = sandbox.store.waiting_for_otp(network.suffix, valid.msisdn, valid.amount, valid.callback_info)
    if network.two_steps and not valid.otp:
        payment = _create(sandbox, network, valid, Script(), "otp")
        return JSONResponse(bodies.otp_sent(payment), status_code=201)
    # At Coris a code without a first request cannot be correct.
    orphan = network.two_steps and waiting is None
    refusal = scenarios.INVALID_OTP if orphan else scenarios.otp_refusal(valid.otp)
    if refusal is not None:
        script = Script((scenarios.failed(refusal, 0.0),), Answer.FINAL)
    if waiting is None:
        payment = _create(sandbox, network, valid, script, "push")
    else:
        payment = sandbox.engine.accept_otp(waiting, script.steps)
    return await _answer(request, script, payment)


def _create(sandbox: Sandbox, network: Network, valid: CollectRequest, script: Script, flow: Flow) -> Payment:
    now = time.time()
    _refuse_duplicate(sandbox, network, valid, now)
    payment = Payment(
        reference=bodies.new_reference(network, now),
        suffix=network.suffix,
        msisdn=valid.msisdn,
        amount=valid.amount,
        prompts=1 if script.asks_payer else 0,
        odd_status_body=scenarios.script_for(valid.msisdn).odd_status_body,
        echo=valid.callback_info,
        details=valid.details,
        created_at=now,
        custom_id=valid.custom_id,
        echo_is_json=valid.echo_is_json,
        waits_for={"redirect": "page", "otp": "otp"}.get(flow, "phone"),
    )
    return sandbox.engine.accept(payment, _steps(sandbox, script, flow))


def _refuse_duplicate(sandbox: Sandbox, network: Network, valid: CollectRequest, now: float) -> None:
    """FeexPay documents the error code, not what makes two payments identical: this rule is our assumption."""
    since = now - sandbox.settings.duplicate_seconds
    if since < now and sandbox.store.is_duplicate(network.suffix, valid.msisdn, valid.amount, since):
        raise ApiError(409, "An identical transaction exists", "ERR_DUPLICATE_TRANSACTION")


def _steps(sandbox: Sandbox, script: Script, flow: Flow) -> tuple[Step, ...]:
    """The steps of the script; without any, an operator's page fails after `abandon_seconds`."""
    abandoned_after = sandbox.options.abandon_seconds
    if flow != "redirect" or script.steps or script.never_ends or not abandoned_after:
        return script.steps
    return (scenarios.failed(scenarios.EXPIRED, abandoned_after),)


async def _answer(request: Request, script: Script, payment: Payment) -> Response:
    sandbox = sandbox_of(request)
    if script.answer_after_seconds:
        await asyncio.sleep(script.answer_after_seconds * sandbox.options.time_scale)
    if sandbox.settings.webhook_before_answer:
        sandbox.engine.send(payment, [WebhookRequest()])
    if script.answer is Answer.AFTER_WEBHOOK or sandbox.settings.webhook_before_answer:
        await sandbox.timers.deliver_now(payment.reference)
    if payment.suffix == "moov" and sandbox.settings.moov_synchronous:
        payment = await _wait_for_decision(sandbox, payment)
        return _response(sandbox, script.answer, bodies.moov_synchronous(payment), payment)
    body = bodies.accepted(payment)
    if payment.waits_for == "page":
        body |= bodies.redirect_fields(payment, page_url(request, f"/pay/{payment.reference}"))
    return _response(sandbox, script.answer, body, payment)


def _response(sandbox: Sandbox, answer: Answer, body: dict[str, Any], payment: Payment) -> Response:
    """The response with `body`, or the fault of the magic number."""
    if answer is Answer.CONNECTION_RESET:
        return ConnectionReset()
    if answer is Answer.HTML_502:
        return HTMLResponse(bodies.HTML_502, status_code=502)
    if answer is Answer.TRUNCATED:
        whole = bytes(JSONResponse(body).body)
        return Response(whole[: len(whole) // 2], media_type="application/json")
    if answer is Answer.FINAL:
        body = bodies.final(payment)
    if answer is Answer.FAILED_202:
        return JSONResponse(bodies.final(payment), status_code=202)
    return JSONResponse(body, status_code=sandbox.settings.success_code)


async def _wait_for_decision(sandbox: Sandbox, payment: Payment) -> Payment:
    latest: Payment | None = payment
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + SYNCHRONOUS_SECONDS * sandbox.options.time_scale
    while latest and latest.status == scenarios.PENDING and loop.time() < give_up_at:
        await asyncio.sleep(0.02)
        latest = sandbox.store.payment(payment.reference)
    return latest or payment


ROUTES = [
    Route("/api/transactions/public/requesttopay/{suffix}", collect, methods=["POST"]),
    Route("/api/transactions/requesttopay/integration", integration, methods=["POST"]),
]
