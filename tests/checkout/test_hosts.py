"""The checkout in other projects: without their middleware, with their templates, and inside a page of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client
from django.urls import include, path, reverse

from django_feexpay import checkout_url, read_return
from django_feexpay.models import Payment
from tests.checkout.conftest import MakeAddress
from tests.checkout.payer import Payer
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, sweep_at_next_poll

pytestmark = pytest.mark.django_db(transaction=True)


def sell(request: HttpRequest) -> HttpResponse:
    address = checkout_url(None, "order 5", 5000, reverse("paid"), description="A drum", request=request)
    return HttpResponse(headers={"Location": address}, status=302)


def paid(request: HttpRequest) -> HttpResponse:
    payment = read_return(request)
    return HttpResponse(f"<h1>{payment.public_status if payment else 'nothing'}</h1>")


urlpatterns = [
    path("sell/", sell),
    path("paid/", paid, name="paid"),
    path("pay/", include("django_feexpay.checkout.urls")),
]


@pytest.fixture
def bare_host(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No middleware at all, the templates of the package, and a transaction around each of the host's own views."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []
    settings.TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]


@pytest.mark.usefixtures("bare_host")
def test_bare_host_sells_an_order_to_a_guest(payer: Payer, gateway: ModelGateway, clock: Clock) -> None:
    page = payer.open("/sell/")
    assert ("A drum" in page.text, page.address.startswith("http://localhost/pay/")) == (True, True)

    payer.press(provider="mtn_bj", phone="01 61 00 00 50")
    gateway.last().approve()
    sweep_at_next_poll(clock)
    page = payer.reload()

    [back] = [link for link, text in page.links.items() if text.startswith("Back to")]
    assert payer.open(back).heading == "successful"
    assert payer.open("/paid/?status=successful").heading == "nothing"
    assert (len(gateway.charges), Payment.objects.get().user) == (1, None)


def test_host_overrides_one_block_and_keeps_the_rest(
    payer: Payer, address: MakeAddress, settings: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "feexpay/checkout"
    folder.mkdir(parents=True)
    (folder / "choose.html").write_text(
        '{% extends "feexpay/checkout/choose.html" %}{% block what %}<b>Mine:</b> {{ block.super }}{% endblock %}'
    )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]

    page = payer.open(address())

    assert ("Mine: 500 coins" in page.text, page.heading) == (True, "How do you want to pay?")


def test_tag_shows_the_checkout_in_a_frame_of_the_same_origin(client: Client, address: MakeAddress) -> None:
    template = engines["django"].from_string("{% load feexpay %}{% feexpay_checkout url height=600 %}")
    url = address()

    shown = template.render({"url": url})

    assert f'src="{url}"' in shown.replace("&amp;", "&")
    assert ('height="600"' in shown, "style=" in shown, f'<a href="{url}"' in shown) == (True, False, True)
    assert client.get(url).headers["X-Frame-Options"] == "SAMEORIGIN"


def test_host_without_the_urls_is_told_so(settings: Any, player: User) -> None:
    settings.ROOT_URLCONF = "tests.testing.no_urls"

    with pytest.raises(ImproperlyConfigured, match="django_feexpay.checkout.urls"):
        checkout_url(player, "order 5", 5000, "/")
