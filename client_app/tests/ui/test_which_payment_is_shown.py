"""Several payments in one run of the app: the end shown is that of the payment just made, and of no other."""

from __future__ import annotations

from typing import Any

import pytest
from feexpay_client.core.states import Phase

from tests.ui.scenes import past, to_form, to_pay, to_status
from tests.ui.shop import Shop

NB = "\u00a0"


async def pay(d: Any, pack: str = "champion") -> None:
    """From the shop to waiting for the payer."""
    await to_pay(d, pack)
    d.root.screen._pick("mtn_bj")
    d.app.form.phone = d.app.form.group("0197000000")
    await d.until(lambda: d.app.form.can_pay)
    d.app.form.pay()
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)


async def see_the_end(d: Any) -> None:
    d.app.waiting.check_now()
    await d.until_showing("result")
    await d.settle()


async def open_history(d: Any) -> None:
    d.app.go("history")
    await d.until(lambda: d.app.history.state == "ready" and not d.app.history.refreshing)


async def test_a_failure_after_a_paid_one_is_shown_as_the_failure_it_is(start: Any, shop: Shop) -> None:
    d = await start()
    await pay(d, "mini")
    shop.settle()
    await see_the_end(d)
    assert d.shows("Paiement réussi")
    d.tap(d.find("Terminé"))

    await pay(d, "standard")
    shop.settle("failed", "low_balance")
    await see_the_end(d)

    assert d.shows("Paiement non abouti")
    assert d.shows(f"2{NB}000{NB}F{NB}CFA")
    assert not d.shows("Paiement réussi")


async def test_a_success_after_a_refusal_is_shown_and_nothing_invites_to_pay_again(start: Any, shop: Shop) -> None:
    d = await start()
    await pay(d)
    shop.settle("failed", "payer_declined")
    await see_the_end(d)
    d.tap(d.find("Payer autrement"))
    await d.until_showing("pay")
    await d.until(lambda: d.app.form.can_pay)
    d.tap(d.find(d.app.form.pay_text))
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)
    shop.settle()
    await see_the_end(d)

    assert d.shows("Paiement réussi")
    assert not d.shows("Réessayer ce paiement")
    d.app.result.retry()
    await d.settle()
    assert shop.posts(f"retry/{shop.payments[0]['id']}/") == []
    assert [payment["attempt_count"] for payment in shop.payments] == [1, 1]


async def test_a_receipt_looked_at_before_does_not_stand_in_for_the_end(start: Any, shop: Shop) -> None:
    past(shop)
    d = await start()
    await open_history(d)
    d.app.open_receipt(d.app.history.rows[1]["id"])
    await d.settle()
    assert d.shows("Paiement réussi")
    d.app.back()
    d.app.back()

    await pay(d, "mini")
    shop.settle("failed", "low_balance")
    await see_the_end(d)

    assert d.shows("Paiement non abouti")
    assert d.shows(shop.payments[0]["id"])


async def test_a_receipt_stays_the_one_asked_for_while_another_payment_ends(start: Any, shop: Shop) -> None:
    past(shop)
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
    assert d.shows(asked)
    assert d.shows("Le paiement n'a pas abouti.")  # the banner tells of the other one
    d.tap(d.find("Voir"))
    assert d.shows(shop.payments[0]["id"])


async def test_a_receipt_of_the_payment_under_way_follows_it(start: Any, shop: Shop) -> None:
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


async def test_while_one_is_open_no_receipt_offers_another_try(start: Any, shop: Shop) -> None:
    past(shop)
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


async def test_another_way_asks_for_what_that_payment_was_for(start: Any, shop: Shop) -> None:
    """Not for what was last chosen in the form, and with a button that lives."""
    past(shop)
    d = await start()
    await to_form(d)  # 5 000
    await open_history(d)
    d.app.open_receipt(shop.payments[1]["id"])  # 2 000, refused
    d.tap(d.find("Réessayer ce paiement"))
    await d.until(lambda: d.app.context.state.phase is Phase.WAITING)
    shop.payments[1] |= {"status": "failed", "_reason": "low_balance", "can_retry": True, "next_poll_seconds": None}
    shop.payments[1]["updated_at"] = "2026-11-23T15:00:00.000Z"
    await see_the_end(d)
    d.tap(d.find("Payer autrement"))
    await d.until_showing("pay")
    await d.until(lambda: d.app.form.can_pay)

    assert d.app.form.pay_text == f"Payer 2{NB}000{NB}F{NB}CFA"
    assert not d.find(d.app.form.pay_text).disabled


async def test_title_and_words_of_a_failure_are_no_receipt(start: Any, shop: Shop) -> None:
    d = await start()
    await pay(d)
    shop.settle("failed", "low_balance")
    await see_the_end(d)

    assert "Reçu" not in d.texts()


# --- an expired payment: its money may still come ---


async def test_unconfirmed_says_what_it_means_for_the_money_and_offers_no_retry(start: Any, shop: Shop) -> None:
    d = await start()
    await pay(d)
    shop.expire()
    await see_the_end(d)

    assert d.shows("Paiement non confirmé")
    assert d.shows("Ne payez pas une seconde fois sans avoir vérifié")
    assert not d.shows("Réessayer ce paiement")
    assert not d.shows("Rien n'a été")
    assert d.find("Payer autrement").kind == "secondary"

    shop.settle()
    d.tap(d.find("Vérifier maintenant"))
    await d.until(lambda: d.shows("Paiement réussi"))


async def test_expired_before_it_was_sent_may_be_tried_again_as_the_server_says(start: Any, shop: Shop) -> None:
    d = await start()
    await pay(d)
    shop.expire()
    shop.payments[0]["can_retry"] = True
    await see_the_end(d)

    assert d.shows("Réessayer ce paiement")


async def test_history_names_the_unconfirmed_one_so(start: Any, shop: Shop) -> None:
    shop.add(status="failed", detail="expired", can_retry=False, _reason="expired")
    d = await start()
    await open_history(d)

    assert d.app.history.rows[1]["state_text"] == "Non confirmé"


# --- a code that was refused ---


async def refused_code(d: Any, shop: Shop) -> None:
    await to_form(d, "orange_bf", "05000000", "BF")
    d.app.form.code = "000000"
    await d.until(lambda: d.app.form.can_pay)
    d.app.form.pay()
    await d.until_showing("result")
    await d.settle()


async def test_refused_code_is_tried_again_with_a_new_one(start: Any, shop: Shop) -> None:
    d = await start()
    await refused_code(d, shop)
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


async def test_server_that_asks_for_a_code_or_a_number_gets_a_field_for_it(start: Any, shop: Shop) -> None:
    """It may want what the catalogue did not announce: a number that was erased meanwhile."""
    from tests.ui.shop import invalid

    past(shop)
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


async def test_another_number_may_be_given_for_the_retry(start: Any, shop: Shop) -> None:
    d = await start()
    await pay(d)
    shop.settle("failed", "low_balance")
    await see_the_end(d)
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
async def test_what_is_shown_adds_up_whoever_pays_the_fee(start: Any, shop: Shop, fee_payer: str) -> None:
    shop.fee_payer = fee_payer
    d = await start()
    total = f"5{NB}000{NB}F{NB}CFA" if fee_payer == "merchant" else f"5{NB}085{NB}F{NB}CFA"
    await to_status(d)
    assert d.app.waiting.amount_text == total
    shop.settle()
    await see_the_end(d)
    names = dict(d.app.result.facts)

    assert d.app.result.amount_text == total
    assert names.get("Frais") == (None if fee_payer == "merchant" else f"85{NB}F{NB}CFA")
    assert names.get("Total") == (None if fee_payer == "merchant" else total)
    assert names["Montant"] == f"5{NB}000{NB}F{NB}CFA"
    d.app.result.copy()
    assert ("Frais" in d.app.copied[-1]) is (fee_payer == "payer")


async def test_fee_that_the_shop_bears_is_no_line_of_the_form(start: Any, shop: Shop) -> None:
    d = await start()
    await to_form(d)

    assert "Frais" not in d.texts()
    assert d.find(f"Payer 5{NB}000{NB}F{NB}CFA")
