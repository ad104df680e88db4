"""Signed addresses: what they allow, when they end, where they lead, and that opening one starts nothing."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.core.exceptions import ValidationError
from django.test import RequestFactory

from django_feexpay import NotAllowedError, checkout_url, read_return
from django_feexpay.checkout.screens import state_of
from django_feexpay.gateway.client import CallSeen
from django_feexpay.gateway.errors import NotSentError
from django_feexpay.models import Checkout, Payment, Provider
from django_feexpay.models.payment import read_payments
from django_feexpay.payments.admission import circuit_breaker
from django_feexpay.payments.payer_options import can_retry
from tests.api.caller import row_counts
from tests.checkout.conftest import MakeAddress
from tests.checkout.payer import Payer
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, sweep_at_next_poll
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

#: A page shows its own browser the number that was typed there, also with an error status.
repeats_what_was_typed = pytest.mark.leaks

PHONE = "01 61 00 00 50"
CONFIRM, PAID, DEAD = "Confirm on your phone", "Paid, thank you", "This payment link does not work"


def refuse_everything(**asked: Any) -> int:
    raise ValidationError("Sold out since this morning.")


def test_opening_an_address_starts_nothing(payer: Payer, address: MakeAddress, gateway: ModelGateway) -> None:
    first = address()
    before = row_counts()

    for path in (first, f"{first}?again", f"{first}status/", f"{first}code/", f"{first}retry/", f"{first}back/"):
        assert payer.client.head(path).status_code in (200, 302)
        assert payer.open(path).status == 200

    assert (row_counts(), gateway.charges) == (before, [])
    assert payer.client.get(first).headers["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"


@pytest.mark.parametrize("change", ["altered", "cut", "of another key", "short and unknown", "payment id"])
def test_address_that_was_not_signed_here_is_dead(
    change: str,
    payer: Payer,
    address: MakeAddress,
    gateway: ModelGateway,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    payer.open(address(reference="order 1"))
    payer.press(provider="mtn_bj", phone=PHONE)
    short, good = payer.page.address, address(reference="order 2")
    if change == "of another key":
        settings.SECRET_KEY = "another"
    bad = {
        "altered": good[:20] + ("A" if good[20] != "A" else "B") + good[21:],
        "cut": good[:-10] + "/",
        "of another key": good,
        "short and unknown": short[:6] + ("0" if short[6] != "0" else "1") + short[7:],
        "payment id": f"/pay/{Payment.objects.get().pk}/",
    }[change]

    assert (payer.open(bad).status, payer.page.heading) == (404, DEAD)
    assert payer.client.get(f"{bad}status/").json()["next_poll_seconds"] is None
    if change != "payment id":
        assert ("/pay/***/status/" in caplog.text, bad in caplog.text) == (True, False)
    assert len(gateway.charges) == 1


def test_address_that_has_ended_starts_nothing_and_still_shows_its_payment(
    payer: Payer, address: MakeAddress, gateway: ModelGateway, clock: Clock
) -> None:
    paid, failed, unused = (address(reference=name, expires_in=timedelta(hours=2)) for name in "abc")
    payer.open(failed)
    payer.press(provider="mtn_bj", phone=PHONE)
    gateway.last().decline()
    sweep_at_next_poll(clock)
    retry, another, first = Payer(), Payer(), Payer()
    for tab, path in ((retry, failed), (another, f"{failed}?again"), (first, unused)):
        tab.open(path)
    payer.open(paid)
    payer.press(provider="mtn_bj", phone=PHONE)
    gateway.last().approve()
    sweep_at_next_poll(clock)
    clock.advance(7200)

    assert payer.open(paid).heading == PAID
    assert first.press(provider="mtn_bj", phone=PHONE).status == 404
    assert retry.press().heading == "Not paid"
    assert another.press(provider="celtiis_bj", phone="01 40 00 00 50").heading == "Not paid"
    assert another.page.forms == []
    clock.advance(timedelta(days=30).total_seconds())
    assert payer.open(paid).heading == DEAD
    assert len(gateway.charges) == 2


@pytest.mark.parametrize("who", ["player", "guest"])
def test_second_tab_and_second_address_of_an_order_show_the_first_payment(
    who: str, player: User, address: MakeAddress, gateway: ModelGateway
) -> None:
    user = player if who == "player" else None
    one = address(user)
    tabs = [Payer(), Payer(), Payer()]
    for tab, path in zip(tabs, (one, one, address(user)), strict=True):
        tab.open(path)

    pages = [tab.press(provider="mtn_bj", phone=f"01 61 00 00 5{number}") for number, tab in enumerate(tabs)]

    assert [page.heading for page in pages] == [CONFIRM] * 3
    assert ["•• 50" in page.text or "00 50" in page.text for page in pages] == [True] * 3
    assert pages[0].address == pages[1].address
    assert (len(gateway.charges), Payment.objects.get().user, Checkout.objects.count()) == (1, user, 1)


@pytest.mark.parametrize("who", ["player", "guest"])
def test_failed_payment_whose_order_was_paid_at_another_address_is_offered_to_nobody(
    who: str, player: User, address: MakeAddress, gateway: ModelGateway, clock: Clock
) -> None:
    """The first tab still shows the failed payment and its button."""
    user = player if who == "player" else None
    stale, other = Payer(), Payer()
    stale.open(address(user))
    stale.press(provider="mtn_bj", phone=PHONE)
    gateway.last().decline()
    sweep_at_next_poll(clock)
    assert stale.reload().heading == "Not paid"
    status = f"{stale.page.address}status/"
    before, failed = stale.client.get(status).json(), Payment.objects.get()
    assert state_of(read_payments().get(pk=failed.pk)) == before

    other.open(address(user))
    other.press(provider="celtiis_bj", phone="01 40 00 00 50")
    assert stale.client.get(status).json()["status"] == "pending"
    gateway.last().approve()
    sweep_at_next_poll(clock)

    assert not can_retry(read_payments().get(pk=failed.pk))
    assert state_of(read_payments().get(pk=failed.pk))["tag"] != before["tag"]  # what an open event stream sends
    assert stale.client.get(status).json()["status"] == "successful"
    assert stale.press().heading == PAID
    assert other.reload().heading == PAID
    assert len(gateway.charges) == 2


@pytest.mark.postgres_only
@pytest.mark.parametrize("who", ["player", "guest"])
def test_tabs_that_pay_at_the_same_moment_start_one_payment(
    who: str, player: User, address: MakeAddress, gateway: ModelGateway
) -> None:
    path = address(player if who == "player" else None)
    tabs = [Payer() for _ in range(6)]
    for tab in tabs:
        tab.open(path)

    pages = at_once(6, lambda number: tabs[number].press(provider="mtn_bj", phone=PHONE).heading)

    assert set(pages) <= {CONFIRM, "Sending your request"}  # the first one is being sent while another tab looks
    assert [tab.reload().heading for tab in tabs] == [CONFIRM] * 6
    assert (len(gateway.charges), Payment.objects.count(), Checkout.objects.count()) == (1, 1, 1)


def test_stranger_with_another_address_sees_nothing_of_this_payment(
    payer: Payer, address: MakeAddress, gateway: ModelGateway
) -> None:
    payer.open(address(None, "order 1"))
    payer.press(provider="mtn_bj", phone=PHONE)
    stranger = Payer()

    page = stranger.open(address(None, "order 2"))

    assert page.heading == "How do you want to pay?"
    seen = stranger.open(payer.page.address)
    assert ("+229 01 •• •• •• 50" in seen.text, "61 00 00" in seen.html) == (True, False)
    assert "0161000050" not in str(payer.client.cookies)


@repeats_what_was_typed
def test_price_is_asked_again_before_the_start_and_before_a_retry(
    payer: Payer, address: MakeAddress, gateway: ModelGateway, configure: Configure
) -> None:
    payer.open(address())
    configure(PAYABLE=f"{__name__}.refuse_everything")

    page = payer.press(provider="mtn_bj", phone=PHONE)

    assert (page.status, "Sold out since this morning." in page.text) == (422, True)
    assert (gateway.charges, Payment.objects.count(), page.forms[0].fields["phone"]) == ([], 0, PHONE)


@repeats_what_was_typed
def test_number_of_another_operator_is_asked_about_once_and_never_refused(
    payer: Payer, address: MakeAddress, gateway: ModelGateway
) -> None:
    payer.open(address())
    page = payer.press(provider="moov_bj", phone=PHONE)
    assert (page.status, "This number looks like MTN Mobile Money, and you chose Moov Money" in page.text) == (
        422,
        True,
    )
    other = Payer()
    other.page, other.client = page, payer.client

    assert payer.press().heading == "Sending your request"  # stays with Moov
    assert Payment.objects.get().provider_id == "moov_bj"
    Payment.objects.update(merchant_reference="another")
    Checkout.objects.all().delete()
    assert other.press("mtn_bj").heading == CONFIRM


@repeats_what_was_typed
def test_number_alone_suggests_the_operator(payer: Payer, address: MakeAddress, gateway: ModelGateway) -> None:
    payer.open(f"{address()}?country=CI")

    page = payer.press(phone="+229 01 61 00 00 50")

    assert (page.status, "Choose how you want to pay." in page.text) == (422, True)
    assert (page.forms[0].fields["provider"], page.radios[0]) == ("mtn_bj", "mtn_bj")  # of Benin, chosen
    assert payer.press().heading == CONFIRM


def test_way_that_was_used_last_is_chosen_the_next_time(
    payer: Payer, address: MakeAddress, gateway: ModelGateway
) -> None:
    payer.open(f"{address()}?country=SN")
    payer.press(provider="orange_sn", phone="77 000 00 50")

    page = payer.open(address(reference="order 6"))

    assert (page.radios[0], page.forms[0].fields["provider"]) == ("wave_sn", "orange_sn")
    assert page.forms[0].fields["phone"] == ""


@repeats_what_was_typed
def test_ways_that_cannot_be_used_are_named_with_the_reason(payer: Payer, address: MakeAddress) -> None:
    Provider.objects.filter(pk="mtn_bj").update(enabled=False, disabled_reason="Maintenance until noon.")
    Provider.objects.filter(pk="celtiis_bj").update(min_amount=6000)

    page = payer.open(address())

    assert page.radios == ["moov_bj", "coris_bj", "visa"]
    assert "MTN Mobile Money Maintenance until noon." in page.text
    assert "Celtiis At least 6 000 F CFA with this provider." in page.text
    assert payer.press(provider="mtn_bj", phone=PHONE).status == 422


def test_way_in_trouble_is_closed_until_its_next_probe(payer: Payer, address: MakeAddress, clock: Clock) -> None:
    unsent = CallSeen(
        operation="collect", outcome="not_sent", seconds=0.0, provider_code="mtn_bj", error=NotSentError()
    )
    for _ in range(5):
        circuit_breaker.record(unsent)

    assert "mtn_bj" not in payer.open(address()).radios
    assert "FeexPay does not answer at the moment." in payer.page.text
    clock.advance(30)
    assert "mtn_bj" in payer.reload().radios  # the next payer's start is the probe


def test_payment_of_an_erased_payer_is_shown_no_more(payer: Payer, address: MakeAddress, gateway: ModelGateway) -> None:
    """Nor is the payment of a guest whose order has the same reference."""
    payer.open(address())
    payer.press(provider="mtn_bj", phone=PHONE)
    guest = Payer()
    guest.open(address(None))
    guest.press(provider="celtiis_bj", phone="01 40 00 00 50")

    Payment.objects.filter(provider="mtn_bj").update(user=None, pseudonym="erased")

    assert payer.reload().heading == DEAD
    assert guest.reload().heading == CONFIRM


@repeats_what_was_typed
def test_too_many_starts_are_refused_by_address_and_by_user(
    payer: Payer, address: MakeAddress, gateway: ModelGateway, configure: Configure
) -> None:
    configure(RATE_LIMITS="initiate:2/hour")
    payer.open(address())
    for _ in range(2):
        assert payer.press(provider="mtn_bj", phone="12").status == 422

    page = payer.press(provider="mtn_bj", phone=PHONE)

    assert (page.status, "Too many requests. Nothing was sent." in page.text, gateway.charges) == (429, True, [])
    payer.open(address(reference="order 6"))
    assert payer.press(provider="mtn_bj", phone=PHONE).status == 429  # the same user
    payer.open(address(None))
    assert payer.press(provider="mtn_bj", phone=PHONE).heading == CONFIRM


def test_form_of_another_site_is_refused(payer: Payer, address: MakeAddress, gateway: ModelGateway) -> None:
    path = address()

    assert payer.client.post(path, {"provider": "mtn_bj", "phone": PHONE}).status_code == 403
    assert gateway.charges == []


def test_texts_of_the_host_are_shown_as_texts(payer: Payer, address: MakeAddress) -> None:
    description = '<script>alert("1")</script> ‮ طلب 🎮 & fils'

    page = payer.open(address(description=description))

    assert description in page.text
    assert "<script>alert" not in page.html


def test_pages_speak_french(address: MakeAddress, gateway: ModelGateway) -> None:
    payer = Payer("fr-CI,fr;q=0.9")
    page = payer.open(address())
    assert (page.heading, page.radios[0]) == ("Choisissez comment payer", "wave_ci")
    assert "Payer 5 000 F CFA" in page.text

    payer.press(provider="mtn_ci", phone="05 00 00 00 50")

    assert payer.page.heading == "Confirmez sur votre téléphone"
    assert Payment.objects.get().language == "fr"
    assert payer.open(f"{payer.page.address}?language=en").heading == CONFIRM
    assert payer.reload().heading == CONFIRM


def test_page_is_small_and_loads_only_two_files_of_ours(payer: Payer, address: MakeAddress) -> None:
    html = payer.open(f"{address()}?country=BF").html
    files = re.findall(r'<(?:script|link)[^>]* (?:src|href)="/static/(feexpay/[^"]+)"', html)

    assert sorted(files) == ["feexpay/checkout.css", "feexpay/checkout.js"]
    weights = [len(finders_read(file)) for file in files]
    assert len(html.encode()) + sum(weights) < 40_000
    assert not re.search(r"<style|style=|<script>| on\w+=", html)


def finders_read(file: str) -> bytes:
    path = finders.find(file)
    assert isinstance(path, str)
    with open(path, "rb") as opened:
        return opened.read()


# --- the way back -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "http://shop.example/", "javascript:alert(1)"],
)
def test_return_address_of_a_foreign_host_is_refused(url: str, configure: Configure, player: User) -> None:
    configure(RETURN_HOSTS="shop.example")

    with pytest.raises(ValueError, match="return_url"):
        checkout_url(player, "order 5", 5000, url)
    with pytest.raises(ValueError, match="cancel_url"):
        checkout_url(player, "order 5", 5000, "https://shop.example/", cancel_url=url)


def test_return_address_must_be_of_the_host_of_the_page_without_a_setting(
    payer: Payer, address: MakeAddress, gateway: ModelGateway, clock: Clock
) -> None:
    """Without a request, `checkout_url` cannot know the host yet."""
    payer.open(address(return_url="https://evil.example/"))
    payer.press(provider="mtn_bj", phone=PHONE)
    gateway.last().approve()
    sweep_at_next_poll(clock)

    assert payer.reload().heading == PAID
    assert "evil" not in payer.page.html


def test_host_reads_which_order_came_back_and_believes_nothing_else(
    payer: Payer, address: MakeAddress, gateway: ModelGateway, clock: Clock
) -> None:
    payer.open(address(return_url="/thanks/{payment_id}/?tab=1#top"))
    payer.press(provider="mtn_bj", phone=PHONE)
    gateway.last().approve()
    sweep_at_next_poll(clock)
    payment = Payment.objects.get()
    [back] = [link for link, text in payer.reload().links.items() if text.startswith("Back")]
    parts = urlsplit(back)
    assert (parts.path, parts.fragment, parse_qs(parts.query)["tab"]) == (f"/thanks/{payment.pk}/", "top", ["1"])
    signed = parse_qs(parts.query)["feexpay"][0]
    get = RequestFactory().get

    assert read_return(get(back)) == payment
    assert read_return(get(f"/?feexpay={signed}&payment_id=1")) == payment
    for forged in ("", payment.pk.hex, signed[:-1], signed.replace(payment.pk.hex[:4], "0000")):
        assert read_return(get("/", {"feexpay": forged})) is None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"user": "ama"}, TypeError),
        ({"merchant_reference": ""}, ValueError),
        ({"merchant_reference": "x" * 65}, NotAllowedError),
        ({"amount": 0}, ValueError),
        ({"amount": 5.0}, TypeError),
        ({"currency": "GBP"}, ValueError),
        ({"description": "x" * 141}, NotAllowedError),
        ({"description": "\x00"}, NotAllowedError),
        ({"metadata": {"x": "y" * 2048}}, NotAllowedError),
    ],
)
def test_mistake_of_the_host_is_told_at_once(changes: dict[str, Any], error: type[Exception]) -> None:
    order: dict[str, Any] = {
        "user": None,
        "merchant_reference": "order 5",
        "amount": 5000,
        "return_url": "/",
        **changes,
    }

    with pytest.raises(error):
        checkout_url(**order)
