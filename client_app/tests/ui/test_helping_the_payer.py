"""What spares a payer typing, waiting and guessing: last choices, full numbers, codes to scan, focus, the balance."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from feexpay_client.core.states import Phase
from feexpay_client.ui.widgets.qr_code import FeexPayQrCode
from kivy.core.window import Window

from tests.ui.fake_shop import FakeShop
from tests.ui.scenes import to_form, to_status

NB = "\u00a0"


async def test_second_purchase_offers_the_last_way_to_pay_and_number(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_status(d)
    shop.settle()
    d.app.waiting.check_now()
    await d.until_showing("result")
    d.app.finish_payment()
    d.app.form._provider, d.app.form.phone = None, ""  # as after a restart

    d.app.home.choose_pack("mini")
    await d.until(lambda: d.app.form.can_pay)

    assert (d.app.form.provider_code, d.app.form.phone) == ("mtn_bj", "01 97 00 00 00")
    assert not d.root.screen.picking


async def test_waiting_shows_the_full_number_and_when_another_may_be_used(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_status(d)
    assert d.shows(f"+229{NB}01{NB}97{NB}00{NB}00{NB}00")
    assert not d.shows(f"14{NB}h{NB}47")

    d.tap(d.find("Ce n'est pas mon numéro"))
    d.frames(2)

    assert d.shows(f"Elle expire à 14{NB}h{NB}47")
    assert 0.9 < d.app.waiting.share <= 1
    d.app.clock.advance(450)
    d.app.waiting._tick(0)
    assert 0.4 < d.app.waiting.share < 0.6

    d.app.clock.advance(600)
    d.app.waiting._tick(0)
    assert not d.app.waiting.wrong_number, "the request has expired: the text would be wrong"


async def test_mtn_congo_is_paid_in_the_francs_of_congo(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_form(d, "mtn_cg", "060000000", "CG")
    d.app.form.pay()
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)

    assert json.loads(shop.posts()[0].content)["currency"] == "XAF"
    assert "CM" not in dict(d.app.providers.countries), "Cameroon has no way to pay"


async def test_number_of_another_country_offers_to_pay_from_there(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_form(d, phone="")
    entry = d.root.screen.form.ids.phone.ids.entry
    d.type(entry, "+22507")
    d.frames(2)

    assert d.app.form.phone == "+22507"
    d.app.form.take_suggestion()
    d.frames(2)

    assert (d.app.providers.country, d.app.form.provider_code, d.app.form.phone) == ("CI", "orange_ci", "07")


async def test_page_that_did_not_open_says_so_and_shows_a_code_to_scan(start: Any, shop: FakeShop) -> None:
    d = await start()
    d.app.session.flow._open_page = lambda url: False
    await to_status(d, Phase.REDIRECT, "wave_ci", "0700000000", "CI")
    d.frames(2)

    assert d.shows("n'a pas pu ouvrir la page")
    assert [code.text for code in d.visible(FeexPayQrCode)] == ["https://pay.example/s/4f2a"]
    d.app.clock.advance(31)
    d.app.waiting._tick(0)
    d.frames(2)
    assert d.shows("La page ne s'ouvre pas")


async def test_code_field_has_the_focus_when_it_appears(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_status(d, Phase.OTP, "coris_bj", "0100000000")
    d.frames(2)

    assert d.root.screen.ids.code.focused


async def test_result_shows_the_new_balance_once_the_coins_have_come(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_status(d)
    shop.settle()
    d.app.waiting.check_now()
    await d.until_showing("result")
    await d.until(lambda: not d.app.home.refreshing)
    assert d.app.result.balance_text == ""

    shop.coins += 650
    d.app.home.refresh()
    await d.until(lambda: d.app.result.balance_text)
    assert d.shows(f"Votre solde{NB}: 1{NB}900 pièces")


async def test_sign_in_of_a_fixed_server_hides_it_and_focuses_the_wrong_field(start: Any, shop: FakeShop) -> None:
    d = await start(signed_in=False, language="en")
    d.app.session.fixed_server = "https://shop.example"
    d.app.signin.shows_server = False
    d.frames(2)
    assert not d.shows("Server address")

    d.app.signin.username, d.app.signin.password = "awa", "wrong"
    d.app.signin.sign_in()
    await d.until(lambda: d.app.signin.password_error)
    d.frames(2)
    assert d.root.screen.ids.password.focused
    d.tap(d.find("Français"))
    d.frames(2)
    assert d.shows("Mot de passe")


@pytest.mark.parametrize("away", [True, False])
async def test_payment_that_ends_behind_another_window_is_announced(
    start: Any, shop: FakeShop, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    shown: list[dict[str, Any]] = []
    plyer = SimpleNamespace(notification=SimpleNamespace(notify=lambda **texts: shown.append(texts)))
    monkeypatch.setitem(sys.modules, "plyer", plyer)
    monkeypatch.setattr(Window, "_focus", not away)
    d = await start()
    await to_status(d)

    shop.settle()
    d.app.waiting.check_now()
    await d.until_showing("result")

    texts = [(each["title"], each["message"]) for each in shown]
    assert texts == ([("Paiement réussi.", f"5{NB}000{NB}F{NB}CFA")] if away else [])


# --- Android's permission for notifications ------------------------------------------------------------


class Android:
    """The modules of python-for-android, jnius and plyer that the notices use, with the payer's answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[list[str]] = []
        self.allowed = False
        self.version = 34
        self.error: Exception | None = None
        self._monkeypatch = monkeypatch

    def install(self) -> None:
        """The app runs on this phone from now on."""
        permissions = SimpleNamespace(check_permission=lambda _name: self.allowed, request_permissions=self._request)
        here = SimpleNamespace(getLanguage=lambda: "fr", getCountry=lambda: "BJ")
        classes = {
            "android.os.Build$VERSION": SimpleNamespace(SDK_INT=self.version),
            "java.util.Locale": SimpleNamespace(getDefault=lambda: here),
        }
        modules: dict[str, Any] = {
            "android": SimpleNamespace(permissions=permissions),
            "android.permissions": permissions,
            "jnius": SimpleNamespace(autoclass=classes.__getitem__),
            "plyer": SimpleNamespace(notification=SimpleNamespace()),
        }
        for name, module in modules.items():
            self._monkeypatch.setitem(sys.modules, name, module)
        self._monkeypatch.setattr(sys, "getandroidapilevel", lambda: self.version, raising=False)

    def _request(self, names: list[str]) -> None:
        self.asked.append(names)
        if self.error is not None:
            raise self.error


@pytest.fixture
def android(monkeypatch: pytest.MonkeyPatch) -> Android:
    return Android(monkeypatch)


def look_away_and_back(app: Any) -> None:
    assert app.on_pause()
    app.on_resume()


async def test_payer_is_asked_once_when_a_payment_first_goes_on_in_the_background(
    start: Any, shop: FakeShop, android: Android
) -> None:
    d = await start()
    android.install()
    look_away_and_back(d.app)
    assert android.asked == []  # nothing to tell yet

    await to_status(d)
    assert android.asked == []  # the payer looks at it
    look_away_and_back(d.app)
    assert android.asked == [["android.permission.POST_NOTIFICATIONS"]]

    look_away_and_back(d.app)  # so does the system's dialog
    d.app.leave_payment()
    assert len(android.asked) == 1
    stored = json.loads((d.app.session._folder / "preferences.json").read_text())
    assert stored["asked_to_notify"] is True


async def test_payer_who_leaves_the_waiting_screen_is_asked(start: Any, shop: FakeShop, android: Android) -> None:
    d = await start()
    android.install()
    await to_status(d)

    d.app.leave_payment()

    assert (len(android.asked), d.app.showing) == (1, "home")


async def test_refusal_or_an_error_of_the_system_does_not_disturb_the_payment(
    start: Any, shop: FakeShop, android: Android
) -> None:
    """The system tells no one of a refusal: the permission is missing afterwards, and plyer shows nothing."""
    android.error = RuntimeError("no activity")
    d = await start()
    android.install()
    await to_status(d)

    look_away_and_back(d.app)
    assert len(android.asked) == 1
    assert not d.app.session.preferences.value.asked_to_notify  # the payer saw no dialog
    android.error = None
    look_away_and_back(d.app)
    assert (len(android.asked), d.app.showing) == (2, "status")
    shop.settle()
    d.app.waiting.check_now()
    await d.until_showing("result")


async def test_payer_who_fetches_a_code_is_not_interrupted(start: Any, shop: FakeShop, android: Android) -> None:
    d = await start()
    android.install()
    await to_status(d, Phase.OTP, "coris_bj", "0100000000")

    look_away_and_back(d.app)

    assert android.asked == []


@pytest.mark.parametrize("change", ["allowed already", "Android 12", "a desktop", "ended meanwhile"])
async def test_payer_is_not_asked_without_need(
    start: Any, shop: FakeShop, android: Android, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    android.allowed = change == "allowed already"
    android.version = 32 if change == "Android 12" else 34
    d = await start()
    android.install()
    if change == "a desktop":
        monkeypatch.delattr(sys, "getandroidapilevel")
    await to_status(d)

    d.app.on_pause()
    if change == "ended meanwhile":
        shop.settle()
        d.app.waiting.check_now()
        await d.until_showing("result")
    d.app.on_resume()

    assert android.asked == []
    assert not d.app.session.preferences.value.asked_to_notify
