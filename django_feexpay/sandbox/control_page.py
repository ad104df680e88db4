"""The control pages: one payment with its actions, and the fault settings.

They call the functions of the control interface and, like it, answer callers on this machine only.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import scenarios
from django_feexpay.sandbox.context import payment_of, read_body
from django_feexpay.sandbox.control import CHOICES, force_status, loopback_only, send_webhooks, shown_body
from django_feexpay.sandbox.fault_settings import GROUPS, FaultSettings, SettingError, as_text, every_setting
from django_feexpay.sandbox.markup import EMPTY, Markup, fill, join
from django_feexpay.sandbox.networks import masked
from django_feexpay.sandbox.pages import Viewer, not_found, page, viewer_of
from django_feexpay.sandbox.store import Delivery, Payment
from django_feexpay.sandbox.texts import money, reason_in_words

_UNKNOWN_REFERENCE = "00000000-0000-4000-8000-000000000000"

# What each button sends; "resend" sends the true webhook.
_WEBHOOKS = ("resend", "twice", "forge_success", "forge_failure", "forge_amount", "forge_reference", "forge_unsigned")


# --- one payment -------------------------------------------------------------------------------------------------


@loopback_only
async def payment(request: Request) -> Response:
    viewer, found = viewer_of(request), payment_of(request)
    return not_found(request) if found is None else _payment_page(viewer, found)


@loopback_only
async def act(request: Request) -> Response:
    """POST payments/{reference}: decide for the payer, force a status, or send a webhook."""
    viewer, found = viewer_of(request), payment_of(request)
    form = {name: values[0] for name, values in parse_qs((await read_body(request)).decode("utf-8", "replace")).items()}
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
        paid = form.get("paid_amount", "").strip()
        fields: dict[str, object] = {"status": form.get("status"), "reason": form.get("reason") or None}
        fields |= {"paid_amount": _whole(paid)} if paid else {}
        force_status(sandbox, found, fields | {"webhook": "webhook" in form})
    elif action in _WEBHOOKS:
        delay = form.get("delay_seconds", "").strip()
        send_webhooks(sandbox, found, _webhook(action, found) | ({"delay_seconds": _whole(delay)} if delay else {}))
    else:
        return False
    return True


def _webhook(action: str, found: Payment) -> dict[str, object]:
    fields: dict[str, dict[str, object]] = {
        "resend": {},
        "twice": {"count": 2},
        "forge_success": {"status": scenarios.SUCCESSFUL},
        "forge_failure": {"status": scenarios.FAILED},
        "forge_amount": {"status": scenarios.SUCCESSFUL, "amount": found.amount + 1},
        "forge_reference": {"reference": _UNKNOWN_REFERENCE},
        "forge_unsigned": {"status": scenarios.SUCCESSFUL, "signed": False},
    }
    return fields[action]


def _whole(text: str) -> object:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else text


def _payment_page(viewer: Viewer, found: Payment, *, error: str = "") -> Response:
    here = f"/payments/{found.reference}"
    deliveries = viewer.sandbox.store.deliveries_of(found.reference)
    content = fill(
        "control_payment",
        title=viewer.text("payment_control"),
        error=fill("control_error", text=error) if error else EMPTY,
        facts=join(fill("fact", name=viewer.text(name), value=value) for name, value in _facts(viewer, found)),
        action=viewer.url(here),
        choices=_choices(viewer, found),
        statuses=join(fill("option", value=one, text=viewer.text(one)) for one in scenarios.STATUSES),
        reasons=join(
            fill("option", value=one, text=reason_in_words(viewer.language, one)) for one in scenarios.REASONS
        ),
        amount_placeholder=str(found.amount),
        buttons=join(fill("control_button", value=one, text=viewer.text(one)) for one in _WEBHOOKS),
        webhooks=join(_webhook_row(viewer, found, one) for one in deliveries) or Markup(viewer.text("no_webhook")),
        refresh_url=viewer.url(here),
        **viewer.texts("force_title", "force_more", "status", "force_reason", "force_amount", "force_webhook"),
        **viewer.texts("force", "send_title", "delay_seconds", "webhooks_title", "refresh"),
    )
    return page(viewer, "payment_control", here, content, 400 if error else 200)


def _choices(viewer: Viewer, found: Payment) -> Markup:
    """The buttons this status allows: the payer's decision, or what may go wrong after the payment."""
    if found.charged:
        return fill("control_paid", **viewer.texts("after_paid", "reverse", "charge_again"))
    if found.is_payout or found.status in scenarios.REVERSED_STATUSES:
        return EMPTY
    return fill("control_choices", **viewer.texts("for_the_payer", *CHOICES))


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
        ("time", f"{datetime.fromtimestamp(found.created_at, UTC):%Y-%m-%d %H:%M:%S} UTC"),
    ]
    return [(name, value) for name, value in facts if value]


def _webhook_row(viewer: Viewer, found: Payment, delivery: Delivery) -> Markup:
    outcome = viewer.text(delivery.outcome) if delivery.outcome == "lost" else delivery.outcome
    return fill(
        "control_webhook",
        status=delivery.status,
        outcome=outcome or viewer.text("waiting"),
        attempts=viewer.text("attempts", count=delivery.attempts) if delivery.attempts > 1 else "",
        body=json.dumps(shown_body(found, delivery), ensure_ascii=False, indent=1),
    )


# --- the fault settings ------------------------------------------------------------------------------------------


@loopback_only
async def control(request: Request) -> Response:
    viewer = viewer_of(request)
    saved = fill("control_saved", text=viewer.text("saved")) if "saved" in request.query_params else EMPTY
    return _settings_page(viewer, saved)


@loopback_only
async def change(request: Request) -> Response:
    """POST control: save every setting of the form, or restore those of the start."""
    viewer = viewer_of(request)
    text = (await read_body(request)).decode("utf-8", "replace")
    form = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
    action = form.pop("act", "")
    try:
        if action == "reset_settings":
            viewer.sandbox.current_settings.reset()
        elif action == "change":
            viewer.sandbox.current_settings.change(form)
        else:
            return not_found(request)
    except SettingError as error:
        return _settings_page(viewer, fill("control_error", text=str(error)), 400)
    return RedirectResponse(viewer.url("/control", saved="1"), status_code=303)


def _settings_page(viewer: Viewer, message: Markup, status_code: int = 200) -> Response:
    content = fill(
        "control",
        title=viewer.text("control"),
        more=viewer.text("control_more"),
        message=message,
        action=viewer.url("/control"),
        groups=join(_group(viewer, group) for group in GROUPS),
        **viewer.texts("change", "reset_settings"),
    )
    return page(viewer, "control", "/control", content, status_code)


def _group(viewer: Viewer, group: str) -> Markup:
    names = [name for name, one in every_setting().items() if one.metadata["group"] == group]
    return fill("control_group", title=viewer.text(f"group_{group}"), rows=join(_row(viewer, name) for name in names))


def _row(viewer: Viewer, name: str) -> Markup:
    value, default = getattr(viewer.sandbox.settings, name), getattr(FaultSettings(), name)
    text = every_setting()[name].metadata[viewer.language]
    kind = "changed" if value != default else ""
    if isinstance(value, bool):
        checked = Markup(" checked") if value else EMPTY
        return fill("control_switch", name=name, text=text, checked=checked, kind=kind)
    return fill("control_field", name=name, text=text, value=as_text(value), kind=kind)


ROUTES = [
    Route("/payments/{reference}", payment, methods=["GET"]),
    Route("/payments/{reference}", act, methods=["POST"]),
    Route("/control", control, methods=["GET"]),
    Route("/control", change, methods=["POST"]),
]
