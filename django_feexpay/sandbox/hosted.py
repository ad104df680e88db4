"""The pages a payer's browser is sent to: the operator's page of a redirect network, the hosted page of a link.

Both send the browser back to the shop's page with the reference in `?ref=`. That proves nothing to the shop: it has to
ask for the status.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies, links, scenarios
from django_feexpay.sandbox.bodies import ApiError
from django_feexpay.sandbox.context import ConnectionReset, error_response, payment_of, read_form
from django_feexpay.sandbox.fault_settings import is_http_url
from django_feexpay.sandbox.networks import masked
from django_feexpay.sandbox.pages import EMPTY, Markup, Viewer, join, not_found, page, version_of, viewer_of
from django_feexpay.sandbox.scenarios import Answer, Script
from django_feexpay.sandbox.store import Link, Payment
from django_feexpay.sandbox.texts import MAGIC_NUMBERS, magic_number, money, reason_in_words

_OPERATOR_CHOICES = {
    "pay": (scenarios.SUCCESSFUL, None),
    "cancel": (scenarios.FAILED, scenarios.DECLINED),
    "fail": (scenarios.FAILED, scenarios.INSUFFICIENT),
}


# --- the operator's page of a redirect network ----------------------------------------------------------------


async def operator_page(request: Request) -> Response:
    viewer, payment = viewer_of(request), payment_of(request)
    if payment is None or payment.waits_for != "page" or payment.link:
        return not_found(request)
    body, here = _operator_body(viewer, payment), f"/pay/{payment.reference}"
    leads = (payment.details["return_url"], payment.details["cancel_url"])
    return page(viewer, "operator_page", here, _checkout(viewer, body, here), form_leads_to=leads)


async def operator_state(request: Request) -> Response:
    """GET pay/{reference}/state: the current version of the page."""
    viewer, payment = viewer_of(request), payment_of(request)
    body = EMPTY if payment is None else _operator_body(viewer, payment)
    return JSONResponse({"version": version_of(body)})


async def operator_choose(request: Request) -> Response:
    """POST pay/{reference}: Pay, Cancel or Fail; redirects to the shop."""
    viewer, payment = viewer_of(request), payment_of(request)
    choice = _OPERATOR_CHOICES.get((await read_form(request)).get("choice", ""))
    if payment is None or payment.waits_for != "page" or payment.link or choice is None:
        return not_found(request)
    if payment.status == scenarios.PENDING:
        viewer.sandbox.engine.choose(payment.reference, *choice)
        payment = viewer.sandbox.store.payment(payment.reference) or payment
    back = _shop_url(payment)
    return RedirectResponse(back or viewer.url(f"/pay/{payment.reference}"), status_code=303)


def _operator_body(viewer: Viewer, payment: Payment) -> Markup:
    line = {"network": payment.network.reseau, "msisdn": masked(payment.msisdn, payment.network)}
    if payment.status != scenarios.PENDING:
        url = _shop_url(payment)
        back = viewer.fill("others", url=url, text=viewer.text("back_to_shop")) if url else EMPTY
        return viewer.fill("checkout_result", **line, **_outcome(viewer, payment), back=back)
    return viewer.fill(
        "operator_page",
        **line,
        question=viewer.question(payment.amount),
        description=payment.details["description"],
        action=viewer.url(f"/pay/{payment.reference}"),
    )


def _shop_url(payment: Payment) -> str:
    """Where the browser is sent back to; "" when the shop gave no usable address."""
    name = "cancel_url" if payment.status == scenarios.FAILED else "return_url"
    return with_reference(payment.details.get(name, ""), payment.reference)


# --- the hosted page of a link ----------------------------------------------------------------------------------


async def link_page(request: Request) -> Response:
    viewer = viewer_of(request)
    try:
        link = links.open_link(viewer.sandbox, request.path_params["code"])
    except ApiError as error:
        return _closed_link(request, viewer, error)
    return _link_page(request, viewer, link)


async def link_choose(request: Request) -> Response:
    """POST link/{code}/{slug}: Pay, Fail, Cancel or Expire. Pay runs the magic number that was chosen, if any."""
    viewer, form = viewer_of(request), await read_form(request)
    try:
        link = links.open_link(viewer.sandbox, request.path_params["code"])
    except ApiError as error:
        return _closed_link(request, viewer, error)
    if form.get("choice") == "expire":
        links.SWITCHES["expire"](viewer.sandbox.store, link)
        return RedirectResponse(viewer.url(request.url.path), status_code=303)
    try:
        script = links.script_of(form)
        if script.answer is Answer.UNAVAILABLE_503:
            return HTMLResponse(bodies.HTML_503, status_code=503)
        payment = links.submit(viewer.sandbox, link, form)
    except links.FormError as error:
        return _link_page(request, viewer, link, error=error.key)
    return await _answer_browser(viewer, link, script, payment)


async def _answer_browser(viewer: Viewer, link: Link, script: Script, payment: Payment) -> Response:
    """Answer the payer's browser, which meets the faults of the magic number here."""
    sandbox = viewer.sandbox
    if script.answer_after_seconds:
        await asyncio.sleep(script.answer_after_seconds * sandbox.options.time_scale)
    if script.answer is Answer.AFTER_WEBHOOK:
        await sandbox.timers.deliver_now(payment.reference)
    if script.answer is Answer.CONNECTION_RESET:
        return ConnectionReset()
    if script.answer in (Answer.HTML_502, Answer.TRUNCATED):
        return HTMLResponse(bodies.HTML_502, status_code=502)
    target = link.error_url if payment.status == scenarios.FAILED else link.success_url
    back = with_reference(target, payment.reference)
    return RedirectResponse(back or viewer.url(f"/paid/{payment.reference}"), status_code=303)


async def link_result(request: Request) -> Response:
    """GET paid/{reference}: the result, for a link without an address to go back to."""
    viewer, payment = viewer_of(request), payment_of(request)
    if payment is None or payment.link is None:
        return not_found(request)
    here = f"/paid/{payment.reference}"
    return page(viewer, "link_page", here, _checkout(viewer, _link_result(viewer, payment), here))


async def link_result_state(request: Request) -> Response:
    viewer, payment = viewer_of(request), payment_of(request)
    body = EMPTY if payment is None else _link_result(viewer, payment)
    return JSONResponse({"version": version_of(body)})


def _link_result(viewer: Viewer, payment: Payment) -> Markup:
    msisdn = masked(payment.msisdn, payment.network)
    outcome = _outcome(viewer, payment)
    return viewer.fill("checkout_result", network=payment.network.reseau, msisdn=msisdn, **outcome, back=EMPTY)


def _link_page(request: Request, viewer: Viewer, link: Link, *, error: str = "") -> Response:
    methods = [(one.reseau, one.reseau.title()) for one in links.METHODS[link.methods]]
    endings = [("", viewer.text("ending_none"))]
    endings += [(ending, f"{ending} · {magic_number(viewer.language, ending)}") for ending in MAGIC_NUMBERS]
    body = viewer.fill(
        "link_page",
        question=viewer.question(link.amount),
        description=link.description,
        action=viewer.url(request.url.path),
        error=viewer.fill("pin_error", text=viewer.text(error)) if error else EMPTY,
        methods=join(viewer.fill("option", value=value, text=text) for value, text in methods),
        phone_field=viewer.fill("link_phone") if link.methods != "CARD" else EMPTY,
        endings=join(viewer.fill("option", value=value, text=text) for value, text in endings),
    )
    leads = (link.success_url, link.error_url)
    content = viewer.fill("checkout_still", body=body)
    return page(viewer, "link_page", request.url.path, content, 422 if error else 200, form_leads_to=leads)


def _closed_link(request: Request, viewer: Viewer, error: ApiError) -> Response:
    """FeexPay's refusal, as a page for browsers and as JSON for other callers."""
    if "text/html" not in request.headers.get("accept", ""):
        return error_response(error)
    message, code = str(error.body["message"]), str(error.body.get("code", error.status_code))
    titles = {"FeexLink has expired": "link_expired", "FeexLink usage limit reached": "link_used"}
    title = viewer.text(titles.get(message, "link_closed"))
    content = viewer.fill("checkout_still", body=viewer.fill("empty", title=title, more=code))
    return page(viewer, "link_page", request.url.path, content, error.status_code)


# --- shared -----------------------------------------------------------------------------------------------


def with_reference(url: str, reference: str) -> str:
    """`url` with `?ref=`; "" for anything but an http or https address."""
    if not is_http_url(url):
        return ""
    parts = urlsplit(url)
    query = f"{parts.query}&ref={reference}" if parts.query else f"ref={reference}"
    return urlunsplit(parts._replace(query=query))


def _checkout(viewer: Viewer, body: Markup, here: str) -> Markup:
    urls = {"state_url": viewer.url(f"{here}/state"), "next_url": viewer.url(here)}
    return viewer.fill("checkout", body=body, version=version_of(body), **urls)


def _outcome(viewer: Viewer, payment: Payment) -> dict[str, str]:
    if payment.charged:
        more = viewer.text("approved_more", amount=money(payment.paid_amount), shop=viewer.sandbox.options.shop_name)
        return {"kind": "paid", "title": viewer.text("approved"), "more": more}
    if payment.status == scenarios.PENDING:
        return {"kind": "waiting", "title": viewer.text("still_open"), "more": viewer.text("still_open_more")}
    if payment.status in scenarios.REVERSED_STATUSES:
        return {"kind": "unpaid", "title": viewer.text(payment.status), "more": viewer.text("reversed_more")}
    reason = reason_in_words(viewer.language, payment.reason or "").capitalize()
    return {"kind": "unpaid", "title": viewer.text("failed"), "more": f"{reason}. {viewer.text('not_paid')}"}


ROUTES = [
    Route("/pay/{reference}", operator_page, methods=["GET"]),
    Route("/pay/{reference}", operator_choose, methods=["POST"]),
    Route("/pay/{reference}/state", operator_state, methods=["GET"]),
    Route("/link/{code}/{slug}", link_page, methods=["GET"]),
    Route("/link/{code}/{slug}", link_choose, methods=["POST"]),
    Route("/paid/{reference}", link_result, methods=["GET"]),
    Route("/paid/{reference}/state", link_result_state, methods=["GET"]),
]
