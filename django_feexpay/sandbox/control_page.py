"""The developer's pages: one payment, the named scenarios, the fault settings.

They call the functions of the control interface and, like it, answer callers on this machine only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies, fault_scenarios, scenarios
from django_feexpay.sandbox.context import payment_of, read_form
from django_feexpay.sandbox.control import (
    CHOICES,
    force_status,
    loopback_only,
    send_webhooks,
    shown_body,
    switch_scenario,
)
from django_feexpay.sandbox.fault_settings import (
    GROUPS,
    FaultSettings,
    SettingError,
    as_text,
    every_setting,
    maintenance_of,
)
from django_feexpay.sandbox.networks import masked
from django_feexpay.sandbox.options import LANGUAGES
from django_feexpay.sandbox.pages import EMPTY, Markup, Viewer, join, not_found, page, viewer_of
from django_feexpay.sandbox.payment_list import created_at, instant_text, outcome
from django_feexpay.sandbox.store import Payment
from django_feexpay.sandbox.texts import money, reason_in_words

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
            outcome=outcome(viewer, one),
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
        ("time", created_at(found)),
    ]
    return [(name, value) for name, value in facts if value]


# --- the scenarios and the fault settings ------------------------------------------------------------------------


@loopback_only
async def control(request: Request) -> Response:
    viewer = viewer_of(request)
    return _settings_page(viewer, viewer.fill("control_saved") if "saved" in request.query_params else EMPTY)


@loopback_only
async def change(request: Request) -> Response:
    """POST control: start or end a scenario, save every setting of the form, or restore the initial settings."""
    viewer, form = viewer_of(request), await read_form(request, keep_blank=True)
    choice, _, scenario = form.pop("act", "").partition(":")
    try:
        if scenario:
            if not switch_scenario(viewer.sandbox, scenario, choice):
                return not_found(request)
        elif choice == "reset_settings":
            viewer.sandbox.current_settings.reset()
        elif choice == "change":
            viewer.sandbox.current_settings.change(form)
        else:
            return not_found(request)
    except SettingError as error:
        return _settings_page(viewer, viewer.fill("control_error", text=str(error)), 400)
    query = {} if scenario else {"saved": "1"}
    return RedirectResponse(viewer.url("/control", **query), status_code=303)


def _settings_page(viewer: Viewer, message: Markup, status_code: int = 200) -> Response:
    groups = []
    for group in GROUPS:
        names = [name for name, one in every_setting().items() if one.metadata["group"] == group]
        rows = join(_setting_row(viewer, name) for name in names)
        groups.append(_group(viewer, group, names, rows))
    content = viewer.fill(
        "control",
        message=message,
        action=viewer.url("/control"),
        now=_faults_now(viewer),
        scenarios=join(_scenario(viewer, name) for name in fault_scenarios.FAULT_SCENARIOS),
        groups=join(groups),
    )
    return page(viewer, "control", "/control", content, status_code)


def _group(viewer: Viewer, group: str, names: Sequence[str], rows: Markup) -> Markup:
    """The settings of one kind, closed so that the page is short on a phone, and open where one was changed."""
    default = FaultSettings()
    changed_count = sum(getattr(viewer.sandbox.settings, name) != getattr(default, name) for name in names)
    return viewer.fill(
        "control_group",
        title=viewer.text(f"group_{group}"),
        count=viewer.text("settings_changed", count=changed_count) if changed_count else str(len(names)),
        state=Markup(" open") if changed_count else EMPTY,
        rows=rows,
    )


def _faults_now(viewer: Viewer) -> Markup:
    """Which faults are on, each with what ends it."""
    now = viewer.sandbox.settings
    running, others = fault_scenarios.scenarios_on(now), fault_scenarios.other_faults(now)
    if not running and not others:
        return viewer.fill("faults_none")
    lines = [_scenario_line(viewer, name) for name in running]
    lines += [_fault_line(viewer, name) for name in others]
    return viewer.fill("faults_on", lines=join(lines), action=viewer.url("/control"))


def _scenario_line(viewer: Viewer, name: str) -> Markup:
    scenario = fault_scenarios.FAULT_SCENARIOS[name]
    since = _since(viewer, [*scenario.values, *map(maintenance_of, scenario.networks)])
    return viewer.fill("fault_scenario", title=_title(viewer, name), name=name, since=since)


def _fault_line(viewer: Viewer, name: str) -> Markup:
    sentence = every_setting()[name].metadata[viewer.language]
    settings = viewer.sandbox.settings
    value = as_text(getattr(settings, name)).lower()
    names = map(maintenance_of, settings.maintenance) if name == "maintenance" else [name]
    text = sentence.removesuffix(".")
    return viewer.fill("fault_setting", text=text, name=name, value=value, since=_since(viewer, names))


def _since(viewer: Viewer, names: Iterable[str]) -> Markup:
    """Since when a fault is on."""
    at = viewer.sandbox.current_settings.since(names)
    if at is None:
        return viewer.fill("since_start")
    return viewer.fill("since", instant=bodies.iso(at), time=instant_text(at))


def _scenario(viewer: Viewer, name: str) -> Markup:
    scenario = fault_scenarios.FAULT_SCENARIOS[name]
    is_on = scenario.is_on(viewer.sandbox.settings)
    return viewer.fill(
        "scenario",
        name=name,
        action=viewer.url("/control"),
        title=_title(viewer, name),
        effect=scenario.effect[LANGUAGES.index(viewer.language)],
        kind="on" if is_on else "",
        state=viewer.fill("scenario_on") if is_on else EMPTY,
        choice="end" if is_on else "start",
        button=viewer.text("end_scenario" if is_on else "start_scenario"),
    )


def _title(viewer: Viewer, name: str) -> str:
    return fault_scenarios.FAULT_SCENARIOS[name].title[LANGUAGES.index(viewer.language)]


def _setting_row(viewer: Viewer, name: str) -> Markup:
    value, default = getattr(viewer.sandbox.settings, name), getattr(FaultSettings(), name)
    text = every_setting()[name].metadata[viewer.language]
    kind = "changed" if value != default else ""
    if isinstance(value, bool):
        checked = Markup(" checked") if value else EMPTY
        return viewer.fill("control_switch", name=name, text=text, checked=checked, kind=kind)
    return viewer.fill("control_field", name=name, text=text, value=as_text(value), kind=kind)


ROUTES = [
    Route("/payments/{reference}", payment, methods=["GET"]),
    Route("/payments/{reference}", act, methods=["POST"]),
    Route("/control", control, methods=["GET"]),
    Route("/control", change, methods=["POST"]),
]
