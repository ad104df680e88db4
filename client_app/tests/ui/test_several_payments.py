"""Several payments in one run: each screen shows the right one."""

from __future__ import annotations

from typing import Any

import pytest
from feexpay_client.core.states import Phase

from tests.ui.fake_shop import FakeShop
from tests.ui.scenes import add_history, to_form, to_pay, to_status

NB = "\u00a0"


def shows_id(d: Any, payment_id: str) -> bool:
    """The payment's id is among the details, which are folded away."""
    d.tap(d.find("Détails"))
    d.frames(2)
    return bool(d.shows(payment_id))


async def pay(d: Any, pack: str = "champion") -> None:
    """Pay for a pack and wait until the payer must confirm."""
    await to_pay(d, pack)
    d.root.screen._pick("mtn_bj")
    d.app.form.phone = d.app.form.group("0197000000")
    await d.until(lambda: d.app.form.can_pay)
    d.app.form.pay()
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)


async def wait_for_result(d: Any) -> None:
    d.app.waiting.check_now()
    await d.until_showing("result")
    await d.settle()


async def open_history(d: Any) -> None:
    d.app.go("history")
    await d.until(lambda: d.app.history.state == "ready" and not d.app.history.refreshing)


async def test_failure_after_a_success_is_shown_as_failure(start: Any, shop: FakeShop) -> None:
    d = await start()
    await pay(d, "mini")
    shop.settle()
    await wait_for_result(d)
    assert d.shows("Paiement réussi")
    d.tap(d.find("Terminé"))

    await pay(d, "standard")
    shop.settle("failed", "low_balance")
    await wait_for_result(d)

    assert d.shows("Paiement non abouti")
    assert d.shows(f"2{NB}000{NB}F{NB}CFA")
    assert not d.shows("Paiement réussi")


async def test_success_after_a_refusal_is_shown_without_a_retry_button(start: Any, shop: FakeShop) -> None:
    d = await start()
    await pay(d)
    shop.settle("failed", "payer_declined")
    await wait_for_result(d)
    d.tap(d.find("Payer autrement"))
    await d.until_showing("pay")
    await d.until(lambda: d.app.form.can_pay)
    d.tap(d.find(d.app.form.pay_text))
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)
    shop.settle()
    await wait_for_result(d)

    assert d.shows("Paiement réussi")
    assert not d.shows("Réessayer ce paiement")
    d.app.result.retry()
    await d.settle()
    assert shop.posts(f"retry/{shop.payments[0]['id']}/") == []
    assert [payment["attempt_count"] for payment in shop.payments] == [1, 1]


async def test_result_shows_the_new_payment_after_a_receipt_was_opened(start: Any, shop: FakeShop) -> None:
    add_history(shop)
    d = await start()
    await open_history(d)
    d.app.open_receipt(d.app.history.rows[1]["id"])
    await d.settle()
    assert d.shows("Paiement réussi")
    d.app.back()
    d.app.back()

    await pay(d, "mini")
    shop.settle("failed", "low_balance")
    await wait_for_result(d)

    assert d.shows("Paiement non abouti")
    assert shows_id(d, shop.payments[0]["id"])


async def test_opened_receipt_stays_while_another_payment_ends(start: Any, shop: FakeShop) -> None:
    add_history(shop)
    d = await start(size=(1280, 800))
    await pay(d, "mini")
    d.app.leave_payment()
    await open_history(d)
    asked = shop.payments[1]["id"]
    d.root.screen.open(asked)
    shop.settle("failed", "low_balance")
    d.app.waiting.check_now()
    await d.until(lambda: d.app.context.state.phase is Phase.FAILED)
    await d.settle()

    assert d.app.receipt.payment_id == asked
    assert shows_id(d, asked)
    assert d.shows("Le paiement n'a pas abouti.")  # the banner about the other payment
    d.tap(d.find("Voir"))
    assert shows_id(d, shop.payments[0]["id"])


async def test_receipt_of_the_open_payment_is_updated(start: Any, shop: FakeShop) -> None:
    d = await start()
    await pay(d, "mini")
    d.app.leave_payment()
    await open_history(d)
    d.app.open_receipt(shop.payments[0]["id"])
    await d.settle()
    assert d.shows("Ce paiement n'est pas encore terminé.")

    shop.settle()
    d.app.waiting.check_now()
    await d.until(lambda: d.shows("Paiement réussi"))

    assert d.root.banner_text == ""


async def test_receipts_offer_no_retry_while_a_payment_is_open(start: Any, shop: FakeShop) -> None:
    add_history(shop)
    d = await start()
    await open_history(d)
    refused = shop.payments[1]["id"]
    d.app.open_receipt(refused)
    await d.settle()
    assert d.shows("Réessayer ce paiement")
    d.app.go("home")
    await pay(d, "mini")
    d.app.leave_payment()
    await open_history(d)
    d.app.open_receipt(refused)
    await d.settle()

    assert not d.shows("Réessayer ce paiement")
    d.app.receipt.retry()
    await d.settle()
    assert shop.posts(f"retry/{refused}/") == []


async def test_pay_another_way_keeps_the_amount_of_the_failed_payment(start: Any, shop: FakeShop) -> None:
    """The form must not keep the amount of the previous purchase."""
    add_history(shop)
    d = await start()
    await to_form(d)  # 5 000
    await open_history(d)
    d.app.open_receipt(shop.payments[1]["id"])  # 2 000, refused
    d.tap(d.find("Réessayer ce paiement"))
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)
    shop.payments[1] |= {"status": "failed", "_reason": "low_balance", "can_retry": True, "next_poll_seconds": None}
    shop.payments[1]["updated_at"] = "2026-11-23T15:00:00.000Z"
    await wait_for_result(d)
    d.tap(d.find("Payer autrement"))
    await d.until_showing("pay")
    await d.until(lambda: d.app.form.can_pay)

    assert d.app.form.pay_text == f"Payer 2{NB}000{NB}F{NB}CFA"
    assert not d.find(d.app.form.pay_text).disabled


async def test_failure_is_not_titled_receipt(start: Any, shop: FakeShop) -> None:
    d = await start()
    await pay(d)
    shop.settle("failed", "low_balance")
    await wait_for_result(d)

    assert "Reçu" not in d.texts()


# --- an expired payment that may still be charged ---


async def test_unconfirmed_payment_explains_what_to_do_and_offers_no_retry(start: Any, shop: FakeShop) -> None:
    d = await start()
    await pay(d)
    shop.expire()
    await wait_for_result(d)

    assert d.shows("Paiement non confirmé")
    assert d.shows("Ne payez pas une seconde fois sans avoir vérifié")
    assert not d.shows("Réessayer ce paiement")
    assert not d.shows("Rien n'a été")
    assert d.find("Payer autrement").kind == "secondary"

    shop.settle()
    d.tap(d.find("Vérifier maintenant"))
    await d.until(lambda: d.shows("Paiement réussi"))


async def test_expired_payment_can_be_retried_if_the_server_allows_it(start: Any, shop: FakeShop) -> None:
    d = await start()
    await pay(d)
    shop.expire()
    shop.payments[0]["can_retry"] = True
    await wait_for_result(d)

    assert d.shows("Réessayer ce paiement")


async def test_history_shows_unconfirmed(start: Any, shop: FakeShop) -> None:
    shop.add(status="failed", detail="expired", can_retry=False, _reason="expired")
    d = await start()
    await open_history(d)

    assert d.app.history.rows[1]["state_text"] == "Non confirmé"


# --- a code that was refused ---


async def pay_with_refused_code(d: Any, shop: FakeShop) -> None:
    await to_form(d, "orange_bf", "05000000", "BF")
    d.app.form.code = "000000"
    await d.until(lambda: d.app.form.can_pay)
    d.app.form.pay()
    await d.until_showing("result")
    await d.settle()


async def test_refused_code_is_retried_with_a_new_code(start: Any, shop: FakeShop) -> None:
    d = await start()
    await pay_with_refused_code(d, shop)
    assert d.shows("Le code n'a pas été accepté")
    assert d.shows("*144*4*6*5000#")

    d.tap(d.find("Réessayer ce paiement"))
    assert d.shows("Entrez le code que vous avez reçu.")
    retries = f"retry/{shop.payments[0]['id']}/"
    assert shop.posts(retries) == []

    d.type(d.root.screen.receipt.ids.code.ids.entry, "000000")
    d.tap(d.find("Réessayer ce paiement"))
    await d.until(lambda: len(shop.posts(retries)) == 1 and d.app.showing == "result")
    await d.settle()
    assert d.app.result.code == ""

    d.type(d.root.screen.receipt.ids.code.ids.entry, "123 456")
    d.tap(d.find("Réessayer ce paiement"))
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)

    assert [request.content for request in shop.posts(retries)] == [b'{"otp": "000000"}', b'{"otp": "123456"}']
    assert len(shop.payments) == 1


async def test_retry_shows_a_field_for_a_number_the_server_asks_for(start: Any, shop: FakeShop) -> None:
    """The server may have erased the number meanwhile."""
    from tests.ui.fake_shop import invalid

    add_history(shop)
    d = await start()
    await open_history(d)
    refused = shop.payments[1]["id"]
    shop.answers[f"retry/{refused}/"] = lambda _request: invalid("phone", "Donnez ce numéro à nouveau.")
    d.app.open_receipt(refused)
    d.tap(d.find("Réessayer ce paiement"))
    await d.until(lambda: d.app.showing == "result" and d.shows("Donnez ce numéro à nouveau."))

    del shop.answers[f"retry/{refused}/"]
    d.type(d.root.screen.receipt.ids.phone.ids.entry, "0197000042")
    d.tap(d.find("Réessayer ce paiement"))
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)

    assert shop.posts(f"retry/{refused}/")[-1].content == b'{"phone": "+2290197000042"}'


async def test_retry_with_another_number(start: Any, shop: FakeShop) -> None:
    d = await start()
    await pay(d)
    shop.settle("failed", "low_balance")
    await wait_for_result(d)
    d.tap(d.find("Utiliser un autre numéro"))
    d.type(d.root.screen.receipt.ids.phone.ids.entry, "0197")
    d.tap(d.find("Réessayer ce paiement"))
    assert d.shows("Il manque des chiffres.")

    d.type(d.root.screen.receipt.ids.phone.ids.entry, "000042")
    d.tap(d.find("Réessayer ce paiement"))
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)

    assert shop.posts(f"retry/{shop.payments[0]['id']}/")[0].content == b'{"phone": "+2290197000042"}'


# --- price, fee and total add up ---


@pytest.mark.parametrize("fee_payer", ["merchant", "payer"])
async def test_amounts_add_up_for_each_fee_payer(start: Any, shop: FakeShop, fee_payer: str) -> None:
    shop.fee_payer = fee_payer
    d = await start()
    total = f"5{NB}000{NB}F{NB}CFA" if fee_payer == "merchant" else f"5{NB}085{NB}F{NB}CFA"
    await to_status(d)
    assert d.app.waiting.amount_text == total
    shop.settle()
    await wait_for_result(d)
    names = dict(d.app.result.facts)

    assert d.app.result.amount_text == total
    assert names.get("Frais") == (None if fee_payer == "merchant" else f"85{NB}F{NB}CFA")
    assert names.get("Total") == (None if fee_payer == "merchant" else total)
    assert names["Montant"] == f"5{NB}000{NB}F{NB}CFA"
    d.app.result.copy()
    assert ("Frais" in d.app.copied[-1]) is (fee_payer == "payer")


async def test_fee_paid_by_the_shop_is_not_shown(start: Any, shop: FakeShop) -> None:
    d = await start()
    await to_form(d)

    assert "Frais" not in d.texts()
    assert d.find(f"Payer 5{NB}000{NB}F{NB}CFA")
