"""The checkout over HTTP without JavaScript, against the sandbox on a real socket. The sandbox counts the charges."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import requests

from django_feexpay.lifecycle import Status
from django_feexpay.models import Checkout, Credit, Payment, PaymentEvent
from django_feexpay.payments import invariants
from tests.checkout.conftest import MakeAddress
from tests.checkout.payer import Payer
from tests.payments.fakes import Clock, next_due_at, sweep, sweep_at_next_poll
from tests.sandbox.running import RunningSandbox

pytestmark = pytest.mark.django_db(transaction=True)

#: A page shows its own browser the number that was typed there, also with an error status.
repeats_what_was_typed = pytest.mark.leaks

WAITS, DECLINES = "01 61 00 00 50", "01 61 00 00 03"
CHOOSE, CONFIRM, PAID, NOT_PAID = "How do you want to pay?", "Confirm on your phone", "Paid, thank you", "Not paid"


def reference() -> str:
    return str(Payment.objects.latest("created_at").latest_attempt.gateway_reference)  # type: ignore[union-attr]


def settle(clock: Clock, payer: Payer) -> str:
    """Poll until the page shows a result; return its heading."""
    for _ in range(20):
        if Payment.objects.latest("created_at").settled_at is not None:
            break
        sweep_at_next_poll(clock)
    return payer.reload().heading


def assert_paid_once(sandbox: RunningSandbox) -> None:
    assert (sandbox.charges(), Credit.objects.count()) == (1, 1)
    assert list(invariants.violations()) == []


def test_push_is_paid_once_and_leads_back(
    payer: Payer, address: MakeAddress, sandbox: RunningSandbox, clock: Clock
) -> None:
    page = payer.open(address())
    assert (page.heading, "5 000 F CFA 500 coins" in page.text or "500 coins 5 000 F CFA" in page.text) == (
        CHOOSE,
        True,
    )
    assert page.radios == ["mtn_bj", "moov_bj", "celtiis_bj", "coris_bj", "visa"]

    page = payer.press(provider="mtn_bj", phone=WAITS)

    assert (page.heading, page.status, bool(page.refresh)) == (CONFIRM, 200, True)
    assert "+229 01 61 00 00 50" in page.text  # in this browser, which typed it
    assert "+229 01 •• •• •• 50" in Payer().open(page.address).text
    sandbox.approve(reference())
    assert settle(clock, payer) == PAID
    payment = Payment.objects.get()
    [back] = [link for link, text in payer.page.links.items() if text == "Back to Coin shop"]
    assert back.startswith(f"/thanks/{payment.pk}/?feexpay=")
    assert (sandbox.prompts(), payer.page.refresh, payment.language) == (1, "", "en")
    assert_paid_once(sandbox)


def test_code_that_is_dialled_first_comes_with_the_start(
    payer: Payer, address: MakeAddress, sandbox: RunningSandbox, clock: Clock
) -> None:
    page = payer.open(f"{address()}?country=BF")
    assert page.links["tel:*144*4*6*5000%23"] == "Dial *144*4*6*5000#"
    page = payer.press(provider="orange_bf", phone="74 00 00 00")
    assert (page.status, sandbox.payments()) == (422, [])
    assert "This provider needs a code: dial first to get it" in page.text
    assert page.forms[0].fields["phone"] == "74 00 00 00"

    page = payer.press(code="123 456")

    assert page.heading == CONFIRM
    sandbox.run_scripts()
    assert settle(clock, payer) == PAID
    assert_paid_once(sandbox)


@repeats_what_was_typed
def test_code_after_the_start_may_be_wrong_once(
    payer: Payer, address: MakeAddress, sandbox: RunningSandbox, clock: Clock
) -> None:
    payer.open(address())
    page = payer.press(provider="coris_bj", phone="01 61 00 00 00")
    assert (page.heading, page.refresh) == ("Enter the code", "")  # a reload would take away what is being typed

    assert payer.press(code="").status == 422
    page = payer.press(code="000000")
    assert (page.status, page.heading, sandbox.charges()) == (200, NOT_PAID, 0)
    assert "The code was not accepted" in page.text
    assert "Nothing was sent yet" not in page.text, "the code was sent, and no field of this page is wrong"
    payer.press()
    payer.press(code="123456")
    sandbox.run_scripts()

    assert settle(clock, payer) == PAID
    assert_paid_once(sandbox)


def test_operators_page_and_back(payer: Payer, address: MakeAddress, sandbox: RunningSandbox, clock: Clock) -> None:
    payer.open(f"{address()}?country=CI")
    page = payer.press(provider="wave_ci", phone="07 00 00 00 50")
    assert page.heading == "Continue with Wave"
    [operator] = [link for link, text in page.links.items() if text == "Open Wave"]
    attempt = Payment.objects.get().attempt
    assert (operator, attempt.return_url) == (attempt.redirect_url, f"http://localhost{page.address}back/")

    sandbox.approve(reference())
    from_operator = payer.client.post(f"{page.address}back/?status=FAILED", {"status": "FAILED"})

    assert from_operator.headers["Location"] == page.address
    assert settle(clock, payer) == PAID
    assert_paid_once(sandbox)


def test_card_is_paid_on_its_own_page(
    payer: Payer, address: MakeAddress, sandbox: RunningSandbox, clock: Clock
) -> None:
    payer.open(address())
    page = payer.press(provider="visa", phone="what a browser filled in")
    assert page.heading == "Enter your card"
    [card] = [link for link, text in page.links.items() if text == "Go to the card page"]
    with suppress(requests.ConnectionError):
        sandbox.post(urlsplit(card).path, data={"choice": "pay", "method": "VISA"}, allow_redirects=False)
    sandbox.run_scripts()

    assert settle(clock, payer) == PAID
    assert "Card" in payer.page.text
    assert_paid_once(sandbox)


@repeats_what_was_typed
def test_failure_says_why_and_a_retry_with_another_number_is_paid(
    payer: Payer, address: MakeAddress, sandbox: RunningSandbox, clock: Clock
) -> None:
    payer.open(address())
    payer.press(provider="mtn_bj", phone=DECLINES)
    sandbox.run_scripts()
    assert settle(clock, payer) == NOT_PAID
    assert "The payment was declined. Nothing was taken." in payer.page.text
    assert payer.press(phone="12").status == 422

    page = payer.press(phone=WAITS)

    assert page.heading == CONFIRM
    sandbox.approve(reference())
    assert settle(clock, payer) == PAID
    assert (Payment.objects.count(), Payment.objects.get().attempt.ordinal) == (1, 2)
    assert_paid_once(sandbox)


def test_another_way_takes_the_place_of_a_failure_once(
    payer: Payer, address: MakeAddress, sandbox: RunningSandbox, clock: Clock
) -> None:
    """The form stays open in a second tab; the old page sends a retry as well."""
    payer.open(address())
    payer.press(provider="mtn_bj", phone=DECLINES)
    sandbox.run_scripts()
    settle(clock, payer)
    failed, old_tab = payer.page, payer.page
    payer.open(f"{failed.address}?again")
    form = payer.page

    assert payer.press(provider="celtiis_bj", phone="01 40 00 00 50").heading == CONFIRM
    payer.page = form
    assert payer.press(provider="mtn_bj", phone=WAITS).heading == CONFIRM  # shows the one that was started
    payer.page = old_tab
    payer.press()

    assert (Payment.objects.count(), Checkout.objects.count(), sandbox.prompts()) == (2, 1, 2)
    sandbox.approve(reference())
    assert settle(clock, payer) == PAID
    assert_paid_once(sandbox)


def test_late_success_turns_the_page_into_a_receipt(
    payer: Payer, address: MakeAddress, sandbox: RunningSandbox, clock: Clock
) -> None:
    payer.open(address())
    payer.press(provider="mtn_bj", phone=WAITS)
    assert settle(clock, payer) == "Not confirmed in time"
    assert ("Do not pay again yet." in payer.page.text, payer.page.refresh) == (True, "30")
    assert not [form for form in payer.page.forms if form.action.endswith("retry/")]

    sandbox.approve(reference())
    for _ in range(5):
        if PaymentEvent.objects.filter(to_status=Status.SUCCESSFUL).exists():
            break
        sweep_at_next_poll(clock)

    assert payer.reload().heading == PAID
    assert "The confirmation came late, and it counts" in payer.page.text
    assert_paid_once(sandbox)


def test_after_an_expiry_a_payer_may_pay_again_who_says_that_nothing_was_taken(
    payer: Payer, address: MakeAddress, sandbox: RunningSandbox, clock: Clock
) -> None:
    payer.open(address())
    payer.press(provider="mtn_bj", phone=WAITS)
    settle(clock, payer)
    first = reference()

    page = payer.open(f"{payer.page.address}?again")
    assert "pay again only if nothing was taken" in page.text
    payer.press(provider="mtn_bj", phone=WAITS)
    sandbox.approve(first)  # the first one after all, while the second waits
    while (due := next_due_at()) and not Credit.objects.exists():
        clock.advance_to(due)
        sweep()

    assert payer.reload().heading == PAID
    assert (Payment.objects.count(), sandbox.charges()) == (2, 1)


def test_queued_payment_is_shown_until_the_worker_sends_it(
    payer: Payer, address: MakeAddress, sandbox: RunningSandbox, clock: Clock
) -> None:
    payer.open(address())
    assert payer.press(provider="moov_bj", phone="01 95 00 00 00").heading == "Sending your request"

    sweep()
    sandbox.run_scripts()

    assert settle(clock, payer) == PAID
    assert_paid_once(sandbox)
