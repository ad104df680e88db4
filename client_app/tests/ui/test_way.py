"""The whole way of a payment through the window, by taps."""

from __future__ import annotations

from typing import Any

from feexpay_client.core.states import Phase

from tests.ui.shop import Shop


async def test_sign_in_buy_pay_and_see_it_done(start: Any, shop: Shop) -> None:
    d = await start(signed_in=False)
    assert d.app.showing == "signin"
    d.type(d.root.screen.ids.username.ids.entry, "awa")
    d.type(d.root.screen.ids.password.ids.entry, "secret")
    d.tap(d.find("Se connecter"))
    await d.until_showing("home")
    await d.until(lambda: d.app.home.packs)

    d.tap(d.find("Champion"))
    await d.until_showing("pay")
    await d.until(lambda: d.app.providers.tiles)
    d.tap(d.find("MTN Mobile Money"))
    d.type(d.root.screen.form.ids.phone.ids.entry, "0197000000")
    await d.until(lambda: d.app.form.can_pay)
    d.tap(d.find("Payer 5\u00a0000\u00a0F\u00a0CFA"))

    await d.until_showing("status")
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)
    shop.settle()
    d.tap(d.find("Vérifier maintenant"))
    await d.until_showing("result")

    assert d.shows("Paiement réussi"), d.texts()
    assert len(shop.posts()) == 1
