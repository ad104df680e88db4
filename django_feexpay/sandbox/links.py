"""FeexLinks: hosted pages on which a payer pays by card or mobile money, without a phone prompt.

`generate` is FeexPay's endpoint. The page (`hosted.py`) and the control interface call the other functions.
"""

from __future__ import annotations

import re
import secrets
import string
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import bodies, scenarios
from django_feexpay.sandbox.bodies import ApiError
from django_feexpay.sandbox.context import Sandbox, page_url, sandbox_of
from django_feexpay.sandbox.guards import read_json, require_key, require_shop
from django_feexpay.sandbox.networks import CARDS, NETWORKS, Network
from django_feexpay.sandbox.scenarios import Script, approved, failed
from django_feexpay.sandbox.store import Link, Payment, Store
from django_feexpay.sandbox.validation import (
    phone_errors,
    refuse,
    shop_errors,
    text_errors,
    well_formed,
    whole_errors,
    word_errors,
)

# FeexPay's `paymentMethod`.
METHODS = {"ALL": (*CARDS, *NETWORKS), "CARD": CARDS, "MOBILE": NETWORKS}

_CODE_CHARACTERS = string.ascii_letters + string.digits
_CODE_LENGTH = 8

_FAILED_ON_THE_PAGE = Script((failed(scenarios.INSUFFICIENT, 0.0),))
_CANCELLED_ON_THE_PAGE = Script((failed(scenarios.DECLINED, 0.0),))
_PAID_ON_THE_PAGE = Script((approved(0.0),))


class FormError(ValueError):
    """A wrong field of the page's form; `key` names its text in texts.py."""

    def __init__(self, key: str) -> None:
        super().__init__(key.replace("_", " "))
        self.key = key


async def generate(request: Request) -> Response:
    """POST feexlinks/generate: a new link. Only a payer who pays on its page creates a transaction."""
    require_key(request)
    body = await read_json(request)
    _validate(body)
    require_shop(request, body["shop"])
    now, custom_id = time.time(), body.get("custom_id")
    link = Link(
        code="".join(secrets.choice(_CODE_CHARACTERS) for _ in range(_CODE_LENGTH)),
        amount=body["amount"],
        description=body.get("description") or "",
        methods=body["paymentMethod"],
        uses=body.get("range", 0),
        expires_at=now + 60 * body["expireIn"],
        active=True,
        custom_id=None if custom_id is None else well_formed(custom_id),
        success_url=well_formed(body.get("callback_url") or ""),
        error_url=well_formed(body.get("callback_error") or ""),
        created_at=now,
    )
    sandbox_of(request).store.add_link(link)
    return JSONResponse(bodies.link(link, url_of(request, link), body), status_code=201)


def _validate(body: dict[str, Any]) -> None:
    """Raises ApiError. No source gives limits of the amount: any positive integer is accepted."""
    description = body.get("description")
    plain = description is None or (isinstance(description, str) and re.fullmatch("[A-Za-z0-9 _-]*", description))
    found = {
        "shop": shop_errors(body.get("shop")),
        "amount": whole_errors("amount", body.get("amount"), 1),
        "description": {} if plain else {"matches": "description must hold letters, digits, spaces, _ and - only"},
        "paymentMethod": word_errors("paymentMethod", body.get("paymentMethod"), METHODS),
        "range": whole_errors("range", body.get("range", 0), 0),
        "expireIn": whole_errors("expireIn", body.get("expireIn"), 1),
    }
    refuse(
        found | {name: text_errors(name, body.get(name)) for name in ("custom_id", "callback_url", "callback_error")}
    )


def url_of(request: Request, link: Link) -> str:
    slug = re.sub("[^a-z0-9]+", "-", link.description.lower()).strip("-")
    return page_url(request, f"/link/{link.code}/{slug or 'pay'}")


def open_link(sandbox: Sandbox, code: str) -> Link:
    """The link if it can be paid now. Raises ApiError with FeexPay's answer."""
    link = sandbox.store.link(code)
    if link is None:
        raise ApiError(404, "FeexLink not found", "FEEXLINK_NOT_FOUND")
    if not link.active:
        raise ApiError(400, "FeexLink is not active")
    if link.expires_at <= time.time():
        raise ApiError(410, "FeexLink has expired", "FEEXLINK_EXPIRED")
    if link.uses and sandbox.store.uses_of(link.code) >= link.uses:
        raise ApiError(400, "FeexLink usage limit reached")
    return link


def pay(sandbox: Sandbox, link: Link, network: Network, script: Script, msisdn: str = "") -> Payment:
    """Start a transaction of type FEEX_LINK with its own reference."""
    now = time.time()
    payment = Payment(
        reference=bodies.new_reference(network, now),
        suffix=network.suffix,
        msisdn=msisdn,
        amount=link.amount,
        prompts=1 if script.asks_payer else 0,
        odd_status_body=script.odd_status_body,
        details={"description": link.description, "first_name": "", "last_name": "", "email": ""},
        created_at=now,
        kind="FEEX_LINK",
        waits_for="page" if network in CARDS else "phone",
        custom_id=link.custom_id,
        link=link.code,
    )
    return sandbox.engine.accept(payment, script.steps)


def script_of(form: Mapping[str, str]) -> Script:
    """The script of a button. Pay runs the magic number chosen on the page, otherwise that of the phone number."""
    fixed = {"fail": _FAILED_ON_THE_PAGE, "cancel": _CANCELLED_ON_THE_PAGE}
    ending, phone, choice = form.get("ending", ""), form.get("phone", ""), form.get("choice", "")
    if choice in fixed:
        return fixed[choice]
    if choice != "pay":
        raise FormError("choice_wrong")
    if ending in scenarios.SCRIPTS:
        return scenarios.SCRIPTS[ending]
    return scenarios.script_for(phone) if phone else _PAID_ON_THE_PAGE


def submit(sandbox: Sandbox, link: Link, form: Mapping[str, str]) -> Payment:
    """Start a payment on an open link with the card or network of the form's `method`. Raises FormError."""
    script, name = script_of(form), form.get("method", "")
    network = next((one for one in METHODS[link.methods] if one.reseau == name), None)
    if network is None:
        raise FormError("method_wrong")
    msisdn = "" if network in CARDS else form.get("phone", "").replace(" ", "")
    if network not in CARDS and phone_errors(msisdn, network):
        raise FormError("phone_wrong")
    return pay(sandbox, link, network, script, msisdn)


SWITCHES: dict[str, Callable[[Store, Link], None]] = {
    "expire": lambda store, link: store.end_link(link.code, link.created_at),
    "activate": lambda store, link: store.switch_link(link.code, active=True),
    "deactivate": lambda store, link: store.switch_link(link.code, active=False),
}

ROUTES = [Route("/api/feexlinks/generate", generate, methods=["POST"])]
