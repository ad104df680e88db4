"""The behaviour of the screens: paying, errors, sign-in, history, receipts and settings."""

from __future__ import annotations

import asyncio
from typing import Any

from feexpay_client.core.states import Phase

from tests.ui.fake_shop import FakeShop
from tests.ui.scenes import add_history, to_form, to_pay, to_result, to_status


async def test_two_taps_start_one_payment(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_form(d)
    button = d.find(d.app.form.pay_text)

    d.tap(button)
    button.dispatch("on_release")
    d.app.form.pay()
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)

    assert len(shop.posts()) == 1


async def test_total_and_fee_are_shown_before_paying(start: Any, shop: FakeShop) -> None:
    shop.fee_payer = "payer"
    d = await start()
    await to_form(d)

    assert d.shows("85\u00a0F\u00a0CFA")
    assert d.find("Payer 5\u00a0085\u00a0F\u00a0CFA")
    assert shop.posts() == []


async def test_pay_is_disabled_without_a_quote(start: Any, shop: FakeShop) -> None:
    d = await start()
    shop.answers["quote/"] = 503
    await to_pay(d)
    d.root.screen._pick("mtn_bj")
    await d.settle()

    assert d.find("Payer").disabled


async def test_prefix_suggests_a_provider_and_does_not_switch(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_form(d, phone="")
    d.type(d.root.screen.form.ids.phone.ids.entry, "0145000000")
    assert d.shows("Ce numéro ressemble à un numéro Moov Money.")

    d.tap(d.find(d.app.form.pay_text))
    await d.until(lambda: shop.payments)

    assert shop.payments[0]["provider"] == "mtn_bj"


async def test_accepting_the_suggestion_keeps_the_number(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_form(d, phone="0145000000")

    d.app.form.take_suggestion()
    await d.until(lambda: d.app.form.can_pay)

    assert (d.app.form.provider_code, d.app.form.phone) == ("moov_bj", "01 45 00 00 00")
    assert d.app.form.suggestion == ""


async def test_number_is_grouped_while_typed_and_pasted(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_form(d, phone="")
    entry = d.root.screen.form.ids.phone.ids.entry
    d.type(entry, "019712")
    assert entry.text == "01 97 12"

    entry.cursor = entry.get_cursor_from_index(2)
    d.type(entry, "5")
    assert (entry.text, entry.cursor_index()) == ("01 59 71 2", 4)

    entry.do_backspace()
    assert (entry.text, entry.cursor_index()) == ("01 97 12", 2)

    entry.select_all()
    entry.delete_selection()
    entry.insert_text("+229 01-97.00 00 50")
    assert entry.text == "01 97 00 00 50"


async def test_incomplete_form_shows_the_error_and_sends_nothing(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_form(d, phone="0197")

    d.tap(d.find(d.app.form.pay_text))

    assert d.shows("Il manque des chiffres.")
    assert d.root.screen.form.ids.phone.ids.entry.focus
    assert shop.posts() == []


async def test_form_shows_the_providers_limits(start: Any, shop: FakeShop) -> None:
    d = await start()
    await d.until(lambda: d.app.home.packs)
    d.app.home.amount_text = "50"
    d.app.home.choose_amount()
    await d.until(lambda: d.app.providers.tiles)
    d.root.screen._pick("mtn_bj")
    await d.settle()

    assert d.shows("100\u00a0F\u00a0CFA")
    assert not d.app.form.can_pay


async def test_lost_connection_is_shown_and_the_same_key_is_sent_again(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_form(d)
    shop.offline = True
    d.app.form.pay()
    await d.until(lambda: d.root.banner_text)
    assert d.app.showing == "status"
    assert "Rien n'est perdu" in d.root.banner_text

    shop.offline = False
    d.tap(d.find("Réessayer"))
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)

    keys = {request.headers["idempotency-key"] for request in shop.posts()}
    assert len(keys) == 1
    assert len(shop.payments) == 1
    assert d.root.banner_text == ""


async def test_payment_continues_after_signing_in_again(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_status(d)
    shop.answers["status/"] = 401
    d.app.waiting.check_now()
    await d.until_showing("signin")
    assert d.shows("Reconnectez-vous")

    del shop.answers["status/"]
    d.app.signin.username, d.app.signin.password = "awa", "secret"
    d.app.signin.sign_in()
    await d.until_showing("status")

    assert len(shop.posts()) == 1


async def test_sign_in_returns_to_the_form(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_form(d)
    shop.answers["quote/"] = 401
    d.app.form.choose("moov_bj")
    await d.until_showing("signin")

    del shop.answers["quote/"]
    d.app.signin.username, d.app.signin.password = "awa", "secret"
    d.app.signin.sign_in()
    await d.until_showing("pay")
    await d.until(lambda: d.app.form.can_pay)

    assert d.app.form.phone == "01 97 00 00 00"


async def test_open_payment_is_shown_after_a_restart(start: Any, shop: FakeShop) -> None:
    first = await start()
    await to_status(first)
    await first.settle(40)
    await first.app.session.close()

    second = await start()
    await second.until_showing("status")
    shop.settle()
    second.app.on_resume()
    await second.until_showing("result")

    assert len(shop.posts()) == 1


async def test_polling_continues_after_leaving_and_the_banner_shows_the_result(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_status(d)
    d.tap(d.find("Quitter, nous continuons de vérifier"))
    assert d.app.showing == "home"
    assert d.shows("Confirmez sur votre téléphone")

    d.app.home.choose_pack("mini")  # shows the open payment instead
    assert d.app.showing == "status"
    d.app.leave_payment()
    shop.settle()
    d.app.clock.advance(5)
    await d.until(lambda: d.root.banner_text == "Paiement réussi.")
    d.tap(d.find("Voir"))

    assert d.app.showing == "result"


async def test_help_is_shown_after_thirty_seconds(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_status(d)
    assert not d.shows("Rien reçu\u00a0?")

    d.app.clock.advance(31)
    d.app.waiting._tick(0)
    d.frames(2)

    assert d.shows("Rien reçu\u00a0?")


async def test_expired_countdown_is_not_shown_as_failure(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_status(d)
    shop.passed = 2000
    d.app.clock.advance(2000)
    d.app.waiting._tick(0)
    d.frames(2)

    assert d.shows("Vérification toujours en cours")
    assert d.app.showing == "status"


async def test_payment_page_opens_once_and_again_on_request(start: Any, shop: FakeShop) -> None:
    opened: list[str] = []
    d = await start(opened=opened)
    await to_status(d, Phase.REDIRECT, "wave_ci", "0700000000", "CI")
    assert opened == ["https://pay.example/s/4f2a"]

    d.tap(d.find("Ouvrir Wave"))

    assert len(opened) == 2


async def test_wrong_code_is_shown_and_the_right_one_continues(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_status(d, Phase.OTP, "coris_bj", "0100000000")
    d.type(d.root.screen.ids.code.ids.entry, "000000")
    d.tap(d.find("Valider le code"))
    await d.until(lambda: d.shows("Le code n'est pas le bon"))

    d.app.waiting.code = "123456"
    d.tap(d.find("Valider le code"))
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)


async def test_refused_payment_shows_the_reason_and_can_be_retried(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_result(d, shop, "failed", "low_balance")
    assert d.shows("pas assez d'argent")

    d.tap(d.find("Réessayer ce paiement"))
    await d.until_showing("status")
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)

    assert len(shop.payments) == 1
    assert shop.payments[0]["attempt_count"] == 2


async def test_retry_is_hidden_if_the_server_forbids_it(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_status(d)
    shop.settle("failed", "low_balance", can_retry=False)
    d.app.waiting.check_now()
    await d.until_showing("result")

    assert not d.shows("Réessayer ce paiement")
    d.tap(d.find("Payer autrement"))
    await d.until_showing("pay")
    await d.until(lambda: d.app.form.can_pay)


async def test_refused_payment_of_the_history_can_be_retried(start: Any, shop: FakeShop) -> None:
    add_history(shop)
    d = await start()
    d.app.go("history")
    await d.until(lambda: d.app.history.state == "ready")
    d.app.open_receipt(d.app.history.rows[2]["id"])
    d.frames(2)
    d.tap(d.find("Réessayer ce paiement"))
    await d.until_showing("status")
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)

    assert len(shop.posts(f"retry/{shop.payments[1]['id']}/")) == 1


async def test_history_loads_the_next_page_once(start: Any, shop: FakeShop) -> None:
    add_history(shop)
    d = await start()
    d.app.go("history")
    await d.until(lambda: d.app.history.state == "ready")
    payments = [row for row in d.app.history.rows if "id" in row]
    assert len(payments) == 20

    d.app.history.load_more()
    d.app.history.load_more()
    await d.until(lambda: not d.app.history.more)

    assert len([row for row in d.app.history.rows if "id" in row]) == len(shop.payments)
    assert len([r for r in shop.requests if "cursor" in str(r.url)]) == 1


async def test_filter_chosen_while_loading_is_applied(start: Any, shop: FakeShop) -> None:
    add_history(shop)
    d = await start()
    shop.held = asyncio.Event()
    d.app.go("history")
    d.app.history.status = "failed"
    shop.held.set()
    await d.until(lambda: d.app.history.state == "ready")

    assert [row["variant"] for row in d.app.history.rows if "id" in row] == ["danger"]


async def test_language_changes_at_once_and_is_stored(start: Any, shop: FakeShop) -> None:
    d = await start()
    d.app.go("settings")
    d.tap(d.find("English"))
    await d.settle()

    assert d.shows("Settings")
    assert d.root.navigation_items[0][2] == "Shop"
    assert d.app.context.preferences.language == "en"


async def test_receipt_is_copied_and_saved(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_result(d, shop, "successful")
    d.tap(d.find("Copier"))
    assert shop.payments[0]["id"] in d.app.copied[-1]

    d.tap(d.find("Enregistrer"))
    await d.until(lambda: "Enregistré" in d.app.result.feedback)

    kept = sorted(path.suffix for path in d.app.context.documents.iterdir())
    assert kept == [".png", ".txt"]


async def test_country_choice_filters_providers_and_is_stored(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_pay(d)
    d.tap(d.find("Bénin"))
    d.tap(d.find("Togo"))

    assert d.app.context.preferences.country == "TG"
    assert {tile["code"] for tile in d.app.providers.tiles} >= {"togocom_tg", "moov_tg"}
    assert d.root.sheets() == []


async def test_unavailable_provider_is_shown_and_cannot_be_chosen(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_pay(d)

    assert d.shows("Celtiis est en maintenance.")
    assert not d.shows("American Express")
    d.app.providers.show_unavailable()
    d.frames(2)
    assert d.shows("American Express")
    assert "celtiis_bj" not in {tile["code"] for tile in d.app.providers.tiles}


async def test_signing_out_asks_for_confirmation(start: Any, shop: FakeShop) -> None:
    d = await start()
    d.app.go("settings")
    d.tap(d.find("Se déconnecter"))
    assert d.app.session.signed_in

    d.tap(d.find("Se déconnecter"))  # the one in the sheet, which is on top
    await d.until_showing("signin")
    assert shop.posts("auth/logout/")


async def test_pulling_the_history_down_reloads_it(start: Any, shop: FakeShop) -> None:
    add_history(shop)
    d = await start()
    d.app.go("history")
    await d.until(lambda: d.app.history.state == "ready")
    asked = len(shop.requests)

    d.drag((200, 100), (200, 600))
    await d.settle()
    assert len(shop.requests) == asked  # dragging upwards only scrolls

    d.root.screen.children[-1].scroll_y = 1
    d.drag((200, 600), (200, 100))
    await d.until(lambda: len(shop.requests) > asked)
