"""The developer's pages: the payments, one payment, the fault settings.

All but the list call the functions of the control interface and, like it, answer callers on this machine only.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies, scenarios
from django_feexpay.sandbox.context import payment_of, read_form
from django_feexpay.sandbox.control import CHOICES, force_status, loopback_only, send_webhooks, shown_body
from django_feexpay.sandbox.fault_settings import GROUPS, FaultSettings, SettingError, as_text, every_setting
from django_feexpay.sandbox.networks import masked
from django_feexpay.sandbox.pages import EMPTY, Markup, Viewer, join, not_found, page, version_of, viewer_of
from django_feexpay.sandbox.store import PAYOUT, Delivery, Payment
from django_feexpay.sandbox.texts import money, reason_in_words
from django_feexpay.sandbox.webhooks import LOST

SHOWN_PAYMENTS = 200

_COLUMNS = ("status", "amount", "network", "msisdn", "time", "reference", "webhooks")

_UNKNOWN_REFERENCE = "00000000-0000-4000-8000-000000000000"

# The webhook of each button; "resend" sends the true webhook, "forge_amount" one unit too much.
_WEBHOOKS: dict[str, dict[str, object]] = {
    "resend": {},
    "twice": {"count": 2},
    "forge_success": {"status": scenarios.SUCCESSFUL},
    "forge_failure": {"status": scenarios.FAILED},
    "forge_amount": {"status": scenarios.SUCCESSFUL},
    "forge_reference": {"reference": _UNKNOWN_REFERENCE},
    "forge_unsigned": {"status": scenarios.SUCCESSFUL, "signed": False},
}


# --- the list of payments, newest first --------------------------------------------------------------------------


async def payments(request: Request) -> Response:
    viewer = viewer_of(request)
    body = _list_body(viewer)
    urls = {"state_url": viewer.url("/payments/state"), "next_url": viewer.url("/payments")}
    content = viewer.fill("payments", body=body, version=version_of(body), **urls)
    return page(viewer, "payments", "/payments", content)


async def payments_state(request: Request) -> Response:
    """GET payments/state: the current version of the list."""
    return JSONResponse({"version": version_of(_list_body(viewer_of(request)))})


def _list_body(viewer: Viewer) -> Markup:
    every = viewer.sandbox.store.payments()
    if not every:
        return viewer.fill("empty", title=viewer.text("no_payments"), more=viewer.text("start_in_shop"))
    shown = every[:SHOWN_PAYMENTS]
    note = viewer.text("newest_only", shown=len(shown), total=len(every)) if len(shown) < len(every) else ""
    heads = join(viewer.fill("table_head", text=viewer.text(column)) for column in _COLUMNS)
    return viewer.fill("table", heads=heads, rows=join(_list_row(viewer, one) for one in shown), note=note)


def _list_row(viewer: Viewer, payment: Payment) -> Markup:
    deliveries = viewer.sandbox.store.deliveries_of(payment.reference)
    return viewer.fill(
        "table_row",
        **{f"label_{column}": viewer.text(column) for column in _COLUMNS},
        kind=payment.status.lower(),
        status=viewer.text(payment.status),
        reason=reason_in_words(viewer.language, payment.reason or ""),
        amount=money(payment.paid_amount or payment.amount),
        network=" · ".join([payment.network.reseau, *([viewer.text(PAYOUT)] if payment.is_payout else [])]),
        msisdn=masked(payment.msisdn, payment.network),
        instant=bodies.iso(payment.created_at),
        time=_created_at(payment),
        reference=payment.reference,
        url=viewer.url(f"/payments/{payment.reference}"),
        webhooks=join(_list_webhook(viewer, one) for one in deliveries) or Markup(viewer.text("no_webhook")),
    )


def _list_webhook(viewer: Viewer, delivery: Delivery) -> Markup:
    parts = [f"{delivery.status} → {_outcome(viewer, delivery)}"]
    if delivery.attempts > 1:
        parts.append(viewer.text("attempts", count=delivery.attempts))
    if delivery.attempts and delivery.outcome and not delivery.delivered:
        parts.append(viewer.text("given_up" if delivery.due_at is None else "again"))
    return viewer.fill("webhook", text=" · ".join(parts))


def _outcome(viewer: Viewer, delivery: Delivery) -> str:
    return viewer.text(LOST) if delivery.outcome == LOST else delivery.outcome or viewer.text("waiting")


def _created_at(payment: Payment) -> str:
    return f"{datetime.fromtimestamp(payment.created_at, UTC):%Y-%m-%d %H:%M:%S} UTC"


# --- one payment -------------------------------------------------------------------------------------------------


@loopback_only
async def payment(request: Request) -> Response:
    viewer, found = viewer_of(request), payment_of(request)
    return not_found(request) if found is None else _payment_page(viewer, found)


@loopback_only
async def act(request: Request) -> Response:
    """POST payments/{reference}: decide for the payer, force a status, or send a webhook."""
    viewer, found = viewer_of(request), payment_of(request)
    form = await read_form(request)
    if found is None:
        return not_found(request)
    try:
        if not _act(viewer, found, form):
            return not_found(request)
    except SettingError as error:
        return _payment_page(viewer, found, error=str(error))
    return RedirectResponse(viewer.url(f"/payments/{found.reference}"), status_code=303)


def _act(viewer: Viewer, found: Payment, form: dict[str, str]) -> bool:
    """Do what the button says, if the payment still allows it; False for an unknown button. Raises SettingError."""
    sandbox, action = viewer.sandbox, form.get("act", "")
    if action in CHOICES:
        sandbox.engine.choose(found.reference, *CHOICES[action])
    elif action == "reverse":
        sandbox.engine.reverse(found.reference, scenarios.REVERSED, announce=True)
    elif action == "charge_again":
        sandbox.engine.charge_again(found.reference, announce=True)
    elif action == "force":
        fields: dict[str, object] = {name: form.get(name) for name in ("status", "reason")}
        force_status(sandbox, found, fields | {"webhook": "webhook" in form} | _whole("paid_amount", form))
    elif action in _WEBHOOKS:
        fields = _WEBHOOKS[action] | ({"amount": found.amount + 1} if action == "forge_amount" else {})
        send_webhooks(sandbox, found, fields | _whole("delay_seconds", form))
    else:
        return False
    return True


def _whole(name: str, form: dict[str, str]) -> dict[str, object]:
    """The field as an integer; left out when empty. The caller refuses a text that is no number."""
    text = form.get(name, "").strip()
    is_whole = text.isascii() and text.isdigit() and len(text) < 12
    return {name: int(text) if is_whole else text} if text else {}


def _payment_page(viewer: Viewer, found: Payment, *, error: str = "") -> Response:
    here = f"/payments/{found.reference}"
    reasons = {one: reason_in_words(viewer.language, one) for one in scenarios.REASONS}
    webhooks = [
        viewer.fill(
            "control_webhook",
            status=one.status,
            outcome=_outcome(viewer, one),
            attempts=viewer.text("attempts", count=one.attempts) if one.attempts > 1 else "",
            body=json.dumps(shown_body(found, one), ensure_ascii=False, indent=1),
        )
        for one in viewer.sandbox.store.deliveries_of(found.reference)
    ]
    content = viewer.fill(
        "control_payment",
        error=viewer.fill("control_error", text=error) if error else EMPTY,
        facts=join(viewer.fill("fact", name=viewer.text(name), value=value) for name, value in _facts(viewer, found)),
        action=viewer.url(here),
        choices=_choices(viewer, found),
        statuses=join(viewer.fill("option", value=one, text=viewer.text(one)) for one in scenarios.STATUSES),
        reasons=join(viewer.fill("option", value=one, text=text) for one, text in reasons.items()),
        amount_placeholder=str(found.amount),
        buttons=join(viewer.fill("control_button", value=one, text=viewer.text(one)) for one in _WEBHOOKS),
        webhooks=join(webhooks) or Markup(viewer.text("no_webhook")),
        refresh_url=viewer.url(here),
    )
    return page(viewer, "payment_control", here, content, 400 if error else 200)


def _choices(viewer: Viewer, found: Payment) -> Markup:
    """The buttons this status allows: the payer's decision, or what may go wrong after the payment."""
    if found.charged:
        return viewer.fill("control_paid")
    if found.is_payout or found.status in scenarios.REVERSED_STATUSES:
        return EMPTY
    return viewer.fill("control_choices")


def _facts(viewer: Viewer, found: Payment) -> list[tuple[str, str]]:
    reason = f" · {reason_in_words(viewer.language, found.reason)}" if found.reason else ""
    paid = f" · {viewer.text('paid')} {money(found.paid_amount)}" if found.paid_amount else ""
    facts = [
        ("status", viewer.text(found.status) + reason),
        ("amount", money(found.amount) + paid),
        ("network", found.network.reseau),
        ("msisdn", masked(found.msisdn, found.network)),
        ("type", found.kind),
        ("reference", found.reference),
        ("echo", found.echo or ""),
        ("custom_id", found.custom_id or ""),
        ("time", _created_at(found)),
    ]
    return [(name, value) for name, value in facts if value]


# --- the fault settings ------------------------------------------------------------------------------------------


@loopback_only
async def control(request: Request) -> Response:
    viewer = viewer_of(request)
    return _settings_page(viewer, viewer.fill("control_saved") if "saved" in request.query_params else EMPTY)


@loopback_only
async def change(request: Request) -> Response:
    """POST control: save every setting of the form, or restore the initial settings."""
    viewer, form = viewer_of(request), await read_form(request, keep_blank=True)
    action = form.pop("act", "")
    try:
        if action == "reset_settings":
            viewer.sandbox.current_settings.reset()
        elif action == "change":
            viewer.sandbox.current_settings.change(form)
        else:
            return not_found(request)
    except SettingError as error:
        return _settings_page(viewer, viewer.fill("control_error", text=str(error)), 400)
    return RedirectResponse(viewer.url("/control", saved="1"), status_code=303)


def _settings_page(viewer: Viewer, message: Markup, status_code: int = 200) -> Response:
    groups = []
    for group in GROUPS:
        names = [name for name, one in every_setting().items() if one.metadata["group"] == group]
        rows = join(_setting_row(viewer, name) for name in names)
        groups.append(viewer.fill("control_group", title=viewer.text(f"group_{group}"), rows=rows))
    content = viewer.fill("control", message=message, action=viewer.url("/control"), groups=join(groups))
    return page(viewer, "control", "/control", content, status_code)


def _setting_row(viewer: Viewer, name: str) -> Markup:
    value, default = getattr(viewer.sandbox.settings, name), getattr(FaultSettings(), name)
    text = every_setting()[name].metadata[viewer.language]
    kind = "changed" if value != default else ""
    if isinstance(value, bool):
        checked = Markup(" checked") if value else EMPTY
        return viewer.fill("control_switch", name=name, text=text, checked=checked, kind=kind)
    return viewer.fill("control_field", name=name, text=text, value=as_text(value), kind=kind)


ROUTES = [
    Route("/payments", payments, methods=["GET"]),
    Route("/payments/state", payments_state, methods=["GET"]),
    Route("/payments/{reference}", payment, methods=["GET"]),
    Route("/payments/{reference}", act, methods=["POST"]),
    Route("/control", control, methods=["GET"]),
    Route("/control", change, methods=["POST"]),
]
