"""Every screen in every state, by name, for the golden pictures and the tests of all screens.

A scene is a coroutine that leads a new app to that state. `signed_in`: the app starts signed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from feexpay_client.core.states import Phase

from tests.ui.driver import Driver
from tests.ui.fake_shop import FakeShop

Act = Callable[[Driver, FakeShop], Awaitable[None]]


@dataclass(frozen=True)
class Scene:
    name: str
    act: Act
    signed_in: bool
    prepare: Callable[[FakeShop], None]


SCENES: dict[str, Scene] = {}


def scene(
    name: str, *, signed_in: bool = True, prepare: Callable[[FakeShop], None] = lambda shop: None
) -> Callable[[Act], Act]:
    def keep(act: Act) -> Act:
        SCENES[name] = Scene(name, act, signed_in, prepare)
        return act

    return keep


# --- steps that scenes share ---


async def to_pay(d: Driver, pack: str = "Champion") -> None:
    await d.until(lambda: d.app.home.packs)
    d.app.home.choose_pack(pack.lower())
    await d.until_showing("pay")
    await d.until(lambda: d.app.providers.tiles)


async def to_form(d: Driver, provider: str = "mtn_bj", phone: str = "0197000000", country: str = "BJ") -> None:
    await to_pay(d)
    d.app.providers.country = country
    d.root.screen._pick(provider)
    d.frames(3)  # the empty field takes the focus
    if phone:
        d.app.form.phone = d.app.form.group(phone)
    await d.until(lambda: d.app.form.can_pay)


async def to_status(
    d: Driver, phase: Phase = Phase.WAITING, provider: str = "mtn_bj", phone: str = "0197000000", country: str = "BJ"
) -> None:
    await to_form(d, provider, phone, country)
    d.app.form.pay()
    await d.until_showing("status")
    await d.until(lambda: d.app.context.state.phase is phase)
    await d.settle()


async def to_result(d: Driver, shop: FakeShop, status: str, reason: str | None = None) -> None:
    await to_status(d)
    shop.settle(status, reason)
    d.app.waiting.check_now()
    await d.until_showing("result")
    await d.settle()


def add_history(shop: FakeShop) -> None:
    """Add some weeks of past payments."""
    shop.add(0.05)
    shop.add(
        0.2,
        status="failed",
        detail="declined",
        can_retry=True,
        _reason="payer_declined",
        amount=2000,
        metadata={"pack": "standard"},
    )
    shop.add(1.1, provider="moov_bj", provider_name="Moov Money", amount=500, metadata={"pack": "mini"})
    shop.add(
        1.3,
        status="pending",
        detail="under_review",
        amount=10000,
        metadata={"pack": "maxi"},
        settled_at=None,
        next_poll_seconds=60,
    )
    shop.add(6, provider="wave_ci", provider_name="Wave", amount=3500, metadata={})
    shop.add(6.1)
    for days in range(8, 30):
        shop.add(days)


# --- the scenes ---


@scene("signin", signed_in=False)
async def _signin(d: Driver, shop: FakeShop) -> None:
    await d.until_showing("signin")


@scene("signin-wrong", signed_in=False)
async def _signin_wrong(d: Driver, shop: FakeShop) -> None:
    await d.until_showing("signin")
    d.app.signin.server, d.app.signin.username, d.app.signin.password = "http://shop.example", "awa", ""
    d.app.signin.sign_in()
    d.app.signin.problem = d.app.tr("signin.offline")


@scene("home")
async def _home(d: Driver, shop: FakeShop) -> None:
    await d.until(lambda: d.app.home.state == "ready")


@scene("home-loading", prepare=lambda shop: setattr(shop, "held", asyncio.Event()))
async def _home_loading(d: Driver, shop: FakeShop) -> None:
    await d.until_showing("home")


@scene("home-empty", prepare=lambda shop: setattr(shop, "packs_shown", False))
async def _home_empty(d: Driver, shop: FakeShop) -> None:
    await d.until(lambda: d.app.home.state == "empty")


@scene("home-offline", prepare=lambda shop: setattr(shop, "offline", True))
async def _home_offline(d: Driver, shop: FakeShop) -> None:
    await d.until(lambda: d.app.home.state == "trouble")


@scene("home-open")
async def _home_open(d: Driver, shop: FakeShop) -> None:
    await to_status(d)
    d.app.leave_payment()
    await d.until_showing("home")


@scene("providers")
async def _providers(d: Driver, shop: FakeShop) -> None:
    await to_pay(d)


@scene("providers-none")
async def _providers_none(d: Driver, shop: FakeShop) -> None:
    await to_pay(d)
    d.app.providers.search = "zzz"


@scene("countries")
async def _countries(d: Driver, shop: FakeShop) -> None:
    await to_pay(d)
    d.root.screen.picker.open_countries()


@scene("form")
async def _form(d: Driver, shop: FakeShop) -> None:
    await to_form(d)


@scene("form-wrong")
async def _form_wrong(d: Driver, shop: FakeShop) -> None:
    await to_form(d, phone="01 45 00")
    d.app.form.pay()


@scene("form-code")
async def _form_code(d: Driver, shop: FakeShop) -> None:
    await to_form(d, "orange_bf", "05000000", "BF")


@scene("sending")
async def _sending(d: Driver, shop: FakeShop) -> None:
    await to_form(d)
    shop.held = asyncio.Event()
    d.app.form.pay()
    await d.until_showing("status")


@scene("waiting")
async def _waiting(d: Driver, shop: FakeShop) -> None:
    await to_status(d)


@scene("waiting-help")
async def _waiting_help(d: Driver, shop: FakeShop) -> None:
    await to_status(d)
    shop.passed = 240
    d.app.clock.advance(240)
    d.app.waiting.check_now()
    await d.settle()
    d.app.waiting._tick(0)


@scene("waiting-offline")
async def _waiting_offline(d: Driver, shop: FakeShop) -> None:
    await to_status(d)
    shop.offline = True
    d.app.waiting.check_now()
    await d.until(lambda: not d.app.context.state.online)


@scene("code")
async def _code(d: Driver, shop: FakeShop) -> None:
    await to_status(d, Phase.OTP, "coris_bj", "0100000000")
    d.app.waiting.code = "000000"
    d.app.waiting.enter_code()
    await d.until(lambda: d.app.waiting.code_error)


@scene("page")
async def _page(d: Driver, shop: FakeShop) -> None:
    await to_status(d, Phase.REDIRECT, "wave_ci", "0700000000", "CI")


@scene("unknown")
async def _unknown(d: Driver, shop: FakeShop) -> None:
    await to_form(d)
    shop.answers["initiate/"] = 500
    shop.answers["history/"] = 500
    d.app.form.pay()
    await d.until(lambda: d.app.context.state.phase is Phase.UNKNOWN)
    await d.settle()


@scene("overdue")
async def _overdue(d: Driver, shop: FakeShop) -> None:
    await to_status(d)
    shop.passed = 1000
    d.app.clock.advance(1000)
    await d.settle()
    d.app.waiting._tick(0)


@scene("paid")
async def _paid(d: Driver, shop: FakeShop) -> None:
    await to_result(d, shop, "successful")


@scene("failed")
async def _failed(d: Driver, shop: FakeShop) -> None:
    await to_result(d, shop, "failed", "low_balance")


@scene("form-fee", prepare=lambda shop: setattr(shop, "fee_payer", "payer"))
async def _form_fee(d: Driver, shop: FakeShop) -> None:
    await to_form(d)


@scene("paid-fee", prepare=lambda shop: setattr(shop, "fee_payer", "payer"))
async def _paid_fee(d: Driver, shop: FakeShop) -> None:
    await to_result(d, shop, "successful")


@scene("unconfirmed")
async def _unconfirmed(d: Driver, shop: FakeShop) -> None:
    await to_status(d)
    shop.expire()
    d.app.waiting.check_now()
    await d.until_showing("result")


@scene("code-refused")
async def _code_refused(d: Driver, shop: FakeShop) -> None:
    await to_form(d, "orange_bf", "05000000", "BF")
    d.app.form.code = "000000"
    await d.until(lambda: d.app.form.can_pay)
    d.app.form.pay()
    await d.until_showing("result")
    await d.settle()
    d.root.screen.ids.page.scroll_to(d.root.screen.receipt.ids.code, animate=False)


@scene("history", prepare=add_history)
async def _history(d: Driver, shop: FakeShop) -> None:
    await d.until(lambda: d.app.home.packs and d.app.providers.all)
    d.app.go("history")
    await d.until(lambda: d.app.history.state == "ready")
    if d.root.wide:
        d.root.screen.open(d.app.history.rows[1]["id"])
    await d.settle()


@scene("history-empty")
async def _history_empty(d: Driver, shop: FakeShop) -> None:
    d.app.go("history")
    await d.until(lambda: d.app.history.state == "empty")


@scene("receipt", prepare=add_history)
async def _receipt(d: Driver, shop: FakeShop) -> None:
    await d.until(lambda: d.app.home.packs and d.app.providers.all)
    d.app.go("history")
    await d.until(lambda: d.app.history.state == "ready")
    d.app.open_receipt(d.app.history.rows[4]["id"])


@scene("settings")
async def _settings(d: Driver, shop: FakeShop) -> None:
    d.app.go("settings")


@scene("signout")
async def _signout(d: Driver, shop: FakeShop) -> None:
    d.app.go("settings")
    d.app.ask_sign_out()
