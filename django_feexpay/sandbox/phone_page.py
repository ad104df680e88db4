"""The payer's phone: the prompt with its PIN, and the result."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import scenarios
from django_feexpay.sandbox.context import payment_of, read_form
from django_feexpay.sandbox.control import CHOICES
from django_feexpay.sandbox.networks import masked
from django_feexpay.sandbox.pages import EMPTY, Markup, Viewer, join, not_found, page, version_of, viewer_of
from django_feexpay.sandbox.payment_list import PAGE_ROWS, number_in_query
from django_feexpay.sandbox.store import Payment
from django_feexpay.sandbox.texts import MAGIC_NUMBERS, grouped, magic_number, money, reason_in_words

_FAILURE_TITLES = {scenarios.DECLINED: "declined", scenarios.EXPIRED: "expired"}


@dataclass(frozen=True, slots=True)
class Screen:
    """The screen of the phone: its HTML, its payment if there is one, and the page to load after a change.

    `query`: names the page of the list of prompts.
    """

    body: Markup
    reference: str | None
    next_url: str
    query: dict[str, str] = field(default_factory=dict)


async def phone(request: Request) -> Response:
    viewer = viewer_of(request)
    screen = _screen(viewer, _payment_in_query(viewer, request), after=number_in_query(request, "after") or 0)
    return _phone_page(viewer, screen, version_of(screen.body))


async def state(request: Request) -> Response:
    """GET phone/state: the current version of the phone's screen."""
    viewer = viewer_of(request)
    screen = _screen(viewer, _payment_in_query(viewer, request), after=number_in_query(request, "after") or 0)
    return JSONResponse({"version": version_of(screen.body)})


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


def _payment_in_query(viewer: Viewer, request: Request) -> Payment | None:
    return viewer.sandbox.store.payment(request.query_params.get("payment", ""))


def _screen(viewer: Viewer, payment: Payment | None, *, pin_is_wrong: bool = False, after: int = 0) -> Screen:
    """The payment in the address; otherwise the only prompt, a choice of several, or nothing to pay."""
    store = viewer.sandbox.store
    if payment is None and store.prompt_count() == 1:
        payment = next(iter(store.prompts(1)), None)
    if payment is None or (payment.status == scenarios.PENDING and payment.waits_for == "page"):
        return _home(viewer, after)
    if payment.status == scenarios.PENDING:
        here = viewer.url("/", payment=payment.reference)
        if payment.waits_for == "otp":
            return Screen(_sms(viewer, payment), payment.reference, here)
        return Screen(_prompt(viewer, payment, pin_is_wrong), payment.reference, here)
    return Screen(_result(viewer, payment), payment.reference, viewer.url("/"))


def _home(viewer: Viewer, after: int) -> Screen:
    """The prompts that follow the payment with this number, or from the first when none follows it."""
    store = viewer.sandbox.store
    count = store.prompt_count()
    prompts = store.prompts(PAGE_ROWS, after)
    if not prompts and after:
        prompts, after = store.prompts(PAGE_ROWS), 0
    query = {"after": str(after)} if after else {}
    if not prompts:
        body = viewer.fill("empty", title=viewer.text("nothing_to_pay"), more=viewer.text("start_in_shop"))
        return Screen(body, None, viewer.url("/"))
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
    title = viewer.text("one_on_a_page" if count == 1 else "choose", count=grouped(viewer.language, count))
    pager = _pager(viewer, prompts, count, is_first=not after)
    body = viewer.fill("choices", title=title, choices=join(choices), pager=pager)
    return Screen(body, None, viewer.url("/", **query), query)


def _pager(viewer: Viewer, prompts: list[Payment], count: int, *, is_first: bool) -> Markup:
    following = viewer.sandbox.store.prompt_count(after=prompts[-1].number)
    if is_first and not following:
        return EMPTY
    newer = older = EMPTY
    if not is_first:
        newer = viewer.fill("pager_link", url=viewer.url("/"), rel="first", text=viewer.text("first_page"))
    if following:
        url = viewer.url("/", after=str(prompts[-1].number))
        older = viewer.fill("pager_link", url=url, rel="next", text=viewer.text("next_page"))
    last = count - following
    numbers = {"first": last - len(prompts) + 1, "last": last, "total": count}
    position = viewer.text("position", **{name: grouped(viewer.language, one) for name, one in numbers.items()})
    return viewer.fill("pager", position=position, newer=newer, older=older)


def _next_page_of(viewer: Viewer, prompt: Payment) -> str:
    """The phone, the operator's page, or the result page of a hosted link."""
    if prompt.waits_for != "page":
        return viewer.url("/", payment=prompt.reference)
    return viewer.url(f"/{'paid' if prompt.link else 'pay'}/{prompt.reference}")


def _fill(viewer: Viewer, template: str, payment: Payment, **values: object) -> Markup:
    """A screen about one payment, with a link to the other prompts."""
    line = {"network": payment.network.reseau, "msisdn": masked(payment.msisdn, payment.network)}
    action = viewer.url(f"/phone/{payment.reference}")
    return viewer.fill(template, **line, action=action, others=_others(viewer, payment), **values)


def _others(viewer: Viewer, payment: Payment) -> Markup:
    """The link to the oldest other prompt, with their count."""
    store = viewer.sandbox.store
    other = next((one for one in store.prompts(2) if one.reference != payment.reference), None)
    if other is None:
        return EMPTY
    is_prompt = payment.status == scenarios.PENDING and payment.prompts > 0
    count = store.prompt_count() - is_prompt
    text = viewer.text("waiting_one" if count == 1 else "waiting_many", count=grouped(viewer.language, count))
    return viewer.fill("others", url=_next_page_of(viewer, other), text=text)


def _sms(viewer: Viewer, payment: Payment) -> Markup:
    title = viewer.text("sms", network=payment.network.reseau.title(), otp=scenarios.RIGHT_OTP)
    return _fill(viewer, "sms", payment, title=title)


def _prompt(viewer: Viewer, payment: Payment, pin_is_wrong: bool) -> Markup:
    return _fill(
        viewer,
        "prompt",
        payment,
        question=viewer.question(payment.amount),
        description=payment.details["description"],
        pin_described_by="pin-error pin-hint" if pin_is_wrong else "pin-hint",
        pin_attributes=Markup(' aria-invalid="true"') if pin_is_wrong else EMPTY,
        pin_error=viewer.fill("pin_error", text=viewer.text("pin_wrong")) if pin_is_wrong else EMPTY,
    )


def _result(viewer: Viewer, payment: Payment) -> Markup:
    title = "approved" if payment.charged else _FAILURE_TITLES.get(payment.reason or "", "failed")
    more = viewer.text("not_paid")
    if payment.charged:
        amount, shop = money(payment.paid_amount), viewer.sandbox.options.shop_name
        more = viewer.text("approved_more", amount=amount, shop=shop)
    elif title == "failed":
        more = f"{reason_in_words(viewer.language, payment.reason or '').capitalize()}. {more}"
    kind = "paid" if payment.charged else "unpaid"
    values = {"kind": kind, "title": viewer.text(title), "more": more, "url": viewer.url("/")}
    return _fill(viewer, "result", payment, **values)


def _phone_page(viewer: Viewer, screen: Screen, version: str, status_code: int = 200) -> Response:
    query = {"payment": screen.reference} if screen.reference else screen.query
    meanings = {ending: magic_number(viewer.language, ending) for ending in MAGIC_NUMBERS}
    content = viewer.fill(
        "phone",
        body=screen.body,
        version=version,
        state_url=viewer.url("/phone/state", **query),
        next_url=screen.next_url,
        magic_numbers=join(viewer.fill("magic_number", ending=one, meaning=text) for one, text in meanings.items()),
    )
    here = "/" + "".join(f"?{name}={value}" for name, value in query.items())
    return page(viewer, "phone", here, content, status_code)


ROUTES = [
    Route("/", phone, methods=["GET"]),
    Route("/phone/state", state, methods=["GET"]),
    Route("/phone/{reference}", choose, methods=["POST"]),
]
