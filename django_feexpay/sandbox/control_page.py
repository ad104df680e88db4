"""The control page: one payment with what can be done to it, and the conditions the sandbox works under.

A page over the control interface: the same functions do the work, and it is for callers on this machine, too.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import fault_settings, scenarios
from django_feexpay.sandbox.context import payment_of, read_body
from django_feexpay.sandbox.control import CHOICES, force_status, loopback_only, send_webhooks, shown_body
from django_feexpay.sandbox.fault_settings import GROUPS, ConditionError, as_text, every_condition
from django_feexpay.sandbox.markup import EMPTY, Markup, fill, join
from django_feexpay.sandbox.networks import masked
from django_feexpay.sandbox.pages import Viewer, not_found, page, viewer_of
from django_feexpay.sandbox.store import Delivery, Payment
from django_feexpay.sandbox.texts import money, reason_in_words

_UNKNOWN_REFERENCE = "00000000-0000-4000-8000-000000000000"

_SWITCHES = ("true", "false")


# One payment


@loopback_only
async def payment(request: Request) -> Response:
    viewer, found = viewer_of(request), payment_of(request)
    return not_found(request) if found is None else _payment_page(viewer, found)


@loopback_only
async def act(request: Request) -> Response:
    """POST payments/{reference}: a choice of the payer, a forced status, or a webhook."""
    viewer, found = viewer_of(request), payment_of(request)
    form = {name: values[0] for name, values in parse_qs((await read_body(request)).decode("utf-8", "replace")).items()}
    if found is None:
        return not_found(request)
    try:
        if not _acted(viewer, found, form):
            return not_found(request)
    except ConditionError as error:
        return _payment_page(viewer, found, error=str(error))
    return RedirectResponse(viewer.url(f"/payments/{found.reference}"), status_code=303)


def _acted(viewer: Viewer, found: Payment, form: dict[str, str]) -> bool:
    """Was there something to do? What cannot be done any more is not done, and no fault of the form."""
    sandbox, wish = viewer.sandbox, form.get("act", "")
    if wish in CHOICES:
        sandbox.till.choose(found.reference, *CHOICES[wish])
    elif wish == "reverse":
        sandbox.till.take_back(found.reference, scenarios.REVERSED, announce=True)
    elif wish == "charge_again":
        sandbox.till.charge_again(found.reference, announce=True)
    elif wish == "force":
        paid = form.get("paid_amount", "").strip()
        wishes: dict[str, object] = {"status": form.get("status"), "reason": form.get("reason") or None}
        wishes |= {"paid_amount": _whole(paid)} if paid else {}
        force_status(sandbox, found, wishes | {"webhook": "webhook" in form})
    elif wish in _WEBHOOKS:
        delay = form.get("delay_seconds", "").strip()
        send_webhooks(sandbox, found, _webhook(wish, found) | ({"delay_seconds": _whole(delay)} if delay else {}))
    else:
        return False
    return True


# What each button sends; "resend" tells the truth.
_WEBHOOKS = ("resend", "twice", "forge_success", "forge_failure", "forge_amount", "forge_reference", "forge_unsigned")


def _webhook(wish: str, found: Payment) -> dict[str, object]:
    wishes: dict[str, dict[str, object]] = {
        "resend": {},
        "twice": {"count": 2},
        "forge_success": {"status": scenarios.SUCCESSFUL},
        "forge_failure": {"status": scenarios.FAILED},
        "forge_amount": {"status": scenarios.SUCCESSFUL, "amount": found.amount + 1},
        "forge_reference": {"reference": _UNKNOWN_REFERENCE},
        "forge_unsigned": {"status": scenarios.SUCCESSFUL, "signed": False},
    }
    return wishes[wish]


def _whole(text: str) -> object:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else text


def _payment_page(viewer: Viewer, found: Payment, *, error: str = "") -> Response:
    here = f"/payments/{found.reference}"
    deliveries = viewer.sandbox.store.deliveries_of(found.reference)
    content = fill(
        "desk_payment",
        title=viewer.say("payment_desk"),
        error=fill("desk_error", text=error) if error else EMPTY,
        facts=join(fill("fact", name=viewer.say(name), value=value) for name, value in _facts(viewer, found)),
        action=viewer.url(here),
        choices=_choices(viewer, found),
        statuses=join(fill("option", value=one, text=viewer.say(one)) for one in scenarios.STATUSES),
        reasons=join(
            fill("option", value=one, text=reason_in_words(viewer.language, one)) for one in scenarios.REASONS
        ),
        amount_placeholder=str(found.amount),
        buttons=join(fill("desk_button", value=one, text=viewer.say(one)) for one in _WEBHOOKS),
        webhooks=join(_webhook_row(viewer, found, one) for one in deliveries) or Markup(viewer.say("no_webhook")),
        refresh_url=viewer.url(here),
        **_say(viewer, "force_title", "force_more", "status", "force_reason", "force_amount", "force_webhook"),
        **_say(viewer, "force", "send_title", "delay_seconds", "webhooks_title", "look_again"),
    )
    return page(viewer, "payment_desk", here, content, 400 if error else 200)


def _choices(viewer: Viewer, found: Payment) -> Markup:
    """What may still be done: the payer's choice, or what goes wrong after the payer paid."""
    if found.charged:
        return fill("desk_paid", **_say(viewer, "after_paid", "reverse", "charge_again"))
    if found.is_payout or found.status in scenarios.TAKEN_BACK:
        return EMPTY
    return fill("desk_choices", **_say(viewer, "for_the_payer", *CHOICES))


def _facts(viewer: Viewer, found: Payment) -> list[tuple[str, str]]:
    reason = f" · {reason_in_words(viewer.language, found.reason)}" if found.reason else ""
    paid = f" · {viewer.say('paid')} {money(found.paid_amount)}" if found.paid_amount else ""
    facts = [
        ("status", viewer.say(found.status) + reason),
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
    outcome = viewer.say(delivery.outcome) if delivery.outcome == "lost" else delivery.outcome
    return fill(
        "desk_webhook",
        status=delivery.status,
        outcome=outcome or viewer.say("waiting"),
        attempts=viewer.say("attempts", count=delivery.attempts) if delivery.attempts > 1 else "",
        body=json.dumps(shown_body(found, delivery), ensure_ascii=False, indent=1),
    )


# The conditions


@loopback_only
async def desk(request: Request) -> Response:
    viewer = viewer_of(request)
    saved = fill("desk_saved", text=viewer.say("saved")) if "saved" in request.query_params else EMPTY
    return _conditions_page(viewer, saved)


@loopback_only
async def change(request: Request) -> Response:
    """POST control: every condition as the form has it, or all of them as at the start."""
    viewer = viewer_of(request)
    text = (await read_body(request)).decode("utf-8", "replace")
    form = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
    act = form.pop("act", "")
    try:
        if act == "reset_conditions":
            viewer.sandbox.switchboard.reset()
        elif act == "change":
            viewer.sandbox.switchboard.change(form)
        else:
            return not_found(request)
    except ConditionError as error:
        return _conditions_page(viewer, fill("desk_error", text=str(error)), 400)
    return RedirectResponse(viewer.url("/control", saved="1"), status_code=303)


def _conditions_page(viewer: Viewer, said: Markup, status_code: int = 200) -> Response:
    content = fill(
        "desk",
        title=viewer.say("control"),
        more=viewer.say("control_more"),
        said=said,
        action=viewer.url("/control"),
        groups=join(_group(viewer, group) for group in GROUPS),
        **_say(viewer, "change", "reset_conditions"),
    )
    return page(viewer, "control", "/control", content, status_code)


def _group(viewer: Viewer, group: str) -> Markup:
    names = [name for name, one in every_condition().items() if one.metadata["group"] == group]
    return fill("desk_group", title=viewer.say(f"group_{group}"), rows=join(_row(viewer, name) for name in names))


def _row(viewer: Viewer, name: str) -> Markup:
    now = viewer.sandbox.conditions
    value, at_start = getattr(now, name), getattr(fault_settings.Conditions(), name)
    text = every_condition()[name].metadata[viewer.language]
    marked = "changed" if value != at_start else ""
    if isinstance(value, bool):
        checked = Markup(" checked") if value else EMPTY
        return fill("desk_switch", name=name, text=text, checked=checked, kind=marked)
    return fill("desk_field", name=name, text=text, value=as_text(value), kind=marked)


def _say(viewer: Viewer, *keys: str) -> dict[str, str]:
    return {key: viewer.say(key) for key in keys}


ROUTES = [
    Route("/payments/{reference}", payment, methods=["GET"]),
    Route("/payments/{reference}", act, methods=["POST"]),
    Route("/control", desk, methods=["GET"]),
    Route("/control", change, methods=["POST"]),
]
