"""The payer's phone: the prompt with its PIN, Approve / Decline / Let it expire, and the result."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import scenarios
from django_feexpay.sandbox.context import payment_of, read_form
from django_feexpay.sandbox.control import CHOICES
from django_feexpay.sandbox.networks import masked
from django_feexpay.sandbox.pages import EMPTY, Markup, Viewer, join, not_found, page, version_of, viewer_of
from django_feexpay.sandbox.store import Payment
from django_feexpay.sandbox.texts import MAGIC_NUMBERS, magic_number, money, reason_in_words

_FAILURE_TITLES = {scenarios.DECLINED: "declined", scenarios.EXPIRED: "expired"}


@dataclass(frozen=True, slots=True)
class Screen:
    """What the phone shows: its HTML, its payment if there is one, and the page to load after a change."""

    body: Markup
    reference: str | None
    next_url: str


async def phone(request: Request) -> Response:
    viewer = viewer_of(request)
    screen = _screen(viewer, _asked_payment(viewer, request))
    return _phone_page(viewer, screen, version_of(screen.body))


async def state(request: Request) -> Response:
    """GET phone/state: the current version of the phone's screen."""
    viewer = viewer_of(request)
    return JSONResponse({"version": version_of(_screen(viewer, _asked_payment(viewer, request)).body)})


async def choose(request: Request) -> Response:
    """POST phone/{reference}: the payer's decision. The PIN is checked for its form and not kept."""
    viewer = viewer_of(request)
    payment = payment_of(request)
    form = await read_form(request)
    choice = CHOICES.get(form.get("choice", ""))
    if payment is None or choice is None:
        return not_found(request)
    if payment.waits_for == "otp" and choice[0] == scenarios.SUCCESSFUL:
        # Paying needs the code, which the payer enters in the shop.
        return not_found(request)
    if payment.status == scenarios.PENDING:
        if choice[0] == scenarios.SUCCESSFUL and not re.fullmatch("[0-9]{4}", form.get("pin", "")):
            # The page's script compares versions with a fresh screen, which has no error.
            version = version_of(_screen(viewer, payment).body)
            return _phone_page(viewer, _screen(viewer, payment, pin_is_wrong=True), version, status_code=422)
        viewer.sandbox.engine.choose(payment.reference, *choice)
    return RedirectResponse(viewer.url("/", payment=payment.reference), status_code=303)


def _asked_payment(viewer: Viewer, request: Request) -> Payment | None:
    return viewer.sandbox.store.payment(request.query_params.get("payment", ""))


def _screen(viewer: Viewer, payment: Payment | None, *, pin_is_wrong: bool = False) -> Screen:
    """The payment in the address; otherwise the only prompt, a choice of several, or nothing to pay."""
    prompts = viewer.sandbox.store.prompts()
    if payment is None and len(prompts) == 1:
        payment = prompts[0]
    if payment is None or (payment.status == scenarios.PENDING and payment.waits_for == "page"):
        return Screen(_home(viewer, prompts), None, viewer.url("/"))
    others = [prompt for prompt in prompts if prompt.reference != payment.reference]
    if payment.status == scenarios.PENDING:
        here = viewer.url("/", payment=payment.reference)
        if payment.waits_for == "otp":
            return Screen(_sms(viewer, payment, others), payment.reference, here)
        return Screen(_prompt(viewer, payment, others, pin_is_wrong), payment.reference, here)
    return Screen(_result(viewer, payment, others), payment.reference, viewer.url("/"))


def _home(viewer: Viewer, prompts: list[Payment]) -> Markup:
    if not prompts:
        return viewer.fill("empty", title=viewer.text("nothing_to_pay"), more=viewer.text("start_in_shop"))
    choices = [
        viewer.fill(
            "choice",
            url=_next_page_of(viewer, prompt),
            amount=money(prompt.amount),
            shop=viewer.text("to_shop", shop=viewer.sandbox.options.shop_name),
            network=prompt.network.reseau,
            where=viewer.text("on_a_page") if prompt.waits_for == "page" else masked(prompt.msisdn, prompt.network),
        )
        for prompt in prompts
    ]
    title = viewer.text("one_on_a_page" if len(prompts) == 1 else "choose", count=len(prompts))
    return viewer.fill("choices", title=title, choices=join(choices))


def _next_page_of(viewer: Viewer, prompt: Payment) -> str:
    """The phone, the operator's page, or the result page of a hosted link."""
    if prompt.waits_for != "page":
        return viewer.url("/", payment=prompt.reference)
    return viewer.url(f"/{'paid' if prompt.link else 'pay'}/{prompt.reference}")


def _fill(viewer: Viewer, template: str, payment: Payment, others: list[Payment], **values: object) -> Markup:
    """A screen about one payment, with a link to the other prompts."""
    line = {"network": payment.network.reseau, "msisdn": masked(payment.msisdn, payment.network)}
    link = EMPTY
    if others:
        text = viewer.text("waiting_one" if len(others) == 1 else "waiting_many", count=len(others))
        link = viewer.fill("others", url=_next_page_of(viewer, others[0]), text=text)
    action = viewer.url(f"/phone/{payment.reference}")
    return viewer.fill(template, **line, action=action, others=link, **values)


def _sms(viewer: Viewer, payment: Payment, others: list[Payment]) -> Markup:
    title = viewer.text("sms", network=payment.network.reseau.title(), otp=scenarios.RIGHT_OTP)
    return _fill(viewer, "sms", payment, others, title=title)


def _prompt(viewer: Viewer, payment: Payment, others: list[Payment], pin_is_wrong: bool) -> Markup:
    return _fill(
        viewer,
        "prompt",
        payment,
        others,
        question=viewer.question(payment.amount),
        description=payment.details["description"],
        pin_described_by="pin-error pin-hint" if pin_is_wrong else "pin-hint",
        pin_attributes=Markup(' aria-invalid="true"') if pin_is_wrong else EMPTY,
        pin_error=viewer.fill("pin_error", text=viewer.text("pin_wrong")) if pin_is_wrong else EMPTY,
    )


def _result(viewer: Viewer, payment: Payment, others: list[Payment]) -> Markup:
    title = "approved" if payment.charged else _FAILURE_TITLES.get(payment.reason or "", "failed")
    more = viewer.text("not_paid")
    if payment.charged:
        amount, shop = money(payment.paid_amount), viewer.sandbox.options.shop_name
        more = viewer.text("approved_more", amount=amount, shop=shop)
    elif title == "failed":
        more = f"{reason_in_words(viewer.language, payment.reason or '').capitalize()}. {more}"
    kind = "paid" if payment.charged else "unpaid"
    values = {"kind": kind, "title": viewer.text(title), "more": more, "url": viewer.url("/")}
    return _fill(viewer, "result", payment, others, **values)


def _phone_page(viewer: Viewer, screen: Screen, version: str, status_code: int = 200) -> Response:
    query = {} if screen.reference is None else {"payment": screen.reference}
    meanings = {ending: magic_number(viewer.language, ending) for ending in MAGIC_NUMBERS}
    content = viewer.fill(
        "phone",
        body=screen.body,
        version=version,
        state_url=viewer.url("/phone/state", **query),
        next_url=screen.next_url,
        magic_numbers=join(viewer.fill("magic_number", ending=one, meaning=text) for one, text in meanings.items()),
    )
    here = "/" if screen.reference is None else f"/?payment={screen.reference}"
    return page(viewer, "phone", here, content, status_code)


ROUTES = [
    Route("/", phone, methods=["GET"]),
    Route("/phone/state", state, methods=["GET"]),
    Route("/phone/{reference}", choose, methods=["POST"]),
]
