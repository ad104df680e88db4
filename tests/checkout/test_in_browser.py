"""The checkout of a bare Django site in Chromium, against the sandbox on a real socket, which counts the charges.

No worker runs: the page itself asks, so that a payer sees the end even while the host's worker is down.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import axe_core_python
import pytest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import include, path, reverse
from pytest_django.live_server_helper import LiveServer

from django_feexpay import checkout_url, read_return
from django_feexpay.models import Credit, Payment
from tests.browser.chromium import DESKTOP, PHONE, Browser
from tests.conftest import Configure
from tests.sandbox.running import RunningSandbox

#: At DEBUG the driver logs what is typed, which no payer sees.
pytestmark = [
    pytest.mark.browser,
    pytest.mark.leaks,
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgres_only,
]

PAID, CONFIRM = "Paid, thank you", "Confirm on your phone"
_AXE = Path(axe_core_python.__file__).with_name("axe.min.js").read_text("utf-8")
#: In one call, because a page that follows a payment may load again between two.
_BARRIERS = f"{_AXE}; axe.run().then((result) => arguments[0](result.violations));"
_ORDERS = itertools.count(1)
#: Each theme, each language and the narrowest phone, in three loads of a page.
LOOKS = (
    {"size": PHONE, "theme": "light", "language": "fr"},
    {"size": DESKTOP, "theme": "dark", "language": "en"},
    {"size": (320, 640), "theme": "dark", "language": "fr"},
)

# --- all that the host writes ------------------------------------------------------------------------


def pay(request: HttpRequest) -> HttpResponse:
    order = f"order {next(_ORDERS)}"
    return redirect(
        checkout_url(None, order, 5000, reverse("paid"), description="A drum", cancel_url="/", request=request)
    )


def paid(request: HttpRequest) -> HttpResponse:
    payment = read_return(request)
    return HttpResponse(f"<h1>{payment.public_status if payment else 'nothing'}</h1>")


urlpatterns = [
    path("buy/", pay),
    path("orders/paid/", paid, name="paid"),
    path("pay/", include("django_feexpay.checkout.urls")),
]


@pytest.fixture
def browser(window: Browser, sandbox: RunningSandbox, settings: Any, configure: Configure) -> Iterator[Browser]:
    """A phone, as a payer finds it, in front of the host's shop."""
    settings.ROOT_URLCONF = __name__
    settings.TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
    configure(POLL_SECONDS="1")
    server = LiveServer("localhost")
    before, window.site = window.site, server.url
    window.open("/orders/paid/")
    window.driver.delete_all_cookies()
    window.look(size=PHONE)
    window.errors()
    try:
        yield window
    finally:
        window.driver.get("about:blank")
        window.site = before
        server.stop()


def choose(browser: Browser, way: str, *, country: str = "BJ", phone: str = "", code: str = "") -> None:
    browser.open("/buy/")
    browser.open(f"{browser.path()}?country={country}")
    browser.click("form.pay label", way)
    if phone:
        browser.fill("phone", phone)
    if code:
        browser.fill("code", code)
    browser.go("form.pay button.go")


def reference() -> str:
    return str(Payment.objects.latest("created_at").attempt.gateway_reference)


def push(browser: Browser, sandbox: RunningSandbox) -> None:
    choose(browser, "MTN", phone="01 61 00 00 50")
    assert browser.find("h1", CONFIRM)
    sandbox.approve(reference())


def code_that_is_dialled_first(browser: Browser, sandbox: RunningSandbox) -> None:
    choose(browser, "Orange", country="BF", phone="74 00 00 00", code="123456")


def code_after_the_start(browser: Browser, sandbox: RunningSandbox) -> None:
    choose(browser, "Coris", phone="01 61 00 00 00")
    browser.find("h1", "Enter the code")
    browser.fill("code", "123456")
    browser.go("form.pay button.go")


def operators_page(browser: Browser, sandbox: RunningSandbox) -> None:
    choose(browser, "Wave", country="CI", phone="07 00 00 00 50")
    browser.go("main a.go", "Open Wave")
    assert browser.driver.current_url.startswith(sandbox.base_url)
    browser.go("form button")


def card(browser: Browser, sandbox: RunningSandbox) -> None:
    choose(browser, "Card")
    browser.go("main a.go", "Go to the card page")
    browser.go("form button")


def failure_and_retry(browser: Browser, sandbox: RunningSandbox) -> None:
    choose(browser, "MTN", phone="01 61 00 00 03")
    assert browser.find("h1", "Not paid")
    assert "The payment was declined. Nothing was taken." in browser.text("main")
    browser.click("summary", "Use another number")
    browser.fill("phone", "01 61 00 00 00")
    browser.go("form.pay button.go", "Try again")


FLOWS = (push, code_that_is_dialled_first, code_after_the_start, operators_page, card, failure_and_retry)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_payer_sees_the_end_and_is_charged_once(
    flow: Callable[[Browser, RunningSandbox], None], browser: Browser, sandbox: RunningSandbox
) -> None:
    flow(browser, sandbox)

    assert browser.find("h1", PAID)
    browser.go("main a.go", "Back to")
    assert browser.text("h1") == "successful"
    assert (sandbox.charges(), Credit.objects.count(), Payment.objects.count()) == (1, 1, 1)
    assert browser.errors() == []


def test_second_tab_reload_and_back_start_nothing(browser: Browser, sandbox: RunningSandbox) -> None:
    browser.open("/buy/")
    address, first = browser.path(), browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.open(address)
    browser.click("form.pay label", "MTN")
    browser.fill("phone", "01 61 00 00 50")
    browser.go("form.pay button.go")
    browser.driver.close()
    browser.driver.switch_to.window(first)

    # The first tab still shows its form.
    browser.click("form.pay label", "Moov")
    browser.fill("phone", "01 95 00 00 50")
    browser.go("form.pay button.go")
    assert browser.find("h1", CONFIRM)
    browser.driver.refresh()
    browser.driver.back()
    browser.driver.forward()

    sandbox.approve(reference())
    assert browser.find("h1", PAID)
    assert (sandbox.prompts(), sandbox.charges(), Payment.objects.count()) == (1, 1, 1)


def test_late_success_turns_the_failure_into_a_receipt(browser: Browser, sandbox: RunningSandbox) -> None:
    choose(browser, "MTN", phone="01 61 00 00 16")  # failed, and successful after 20 s

    assert browser.find("h1", PAID)
    assert (sandbox.charges(), Credit.objects.count()) == (1, 1)


def test_payer_without_javascript_sees_the_end(browser: Browser, sandbox: RunningSandbox) -> None:
    browser._command("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        choose(browser, "MTN", phone="01 61 00 00 50")
        assert browser.find("h1", CONFIRM)
        sandbox.approve(reference())
        assert browser.find("h1", PAID)
    finally:
        browser._command("Emulation.setScriptExecutionDisabled", {"value": False})
    assert (sandbox.prompts(), sandbox.charges(), Credit.objects.count()) == (1, 1, 1)


def test_pages_fit_and_have_no_barriers(browser: Browser, sandbox: RunningSandbox) -> None:
    browser.open("/buy/")
    barriers = looked_at(browser, "before the start")
    browser.go("form.pay button.go")
    barriers += looked_at(browser, "nothing chosen")
    choose(browser, "MTN", phone="01 61 00 00 50")
    barriers += looked_at(browser, "waiting")
    choose(browser, "Coris", phone="01 61 00 00 00")
    barriers += looked_at(browser, "code")
    choose(browser, "Wave", country="CI", phone="07 00 00 00 50")
    barriers += looked_at(browser, "operator")
    choose(browser, "MTN", phone="01 61 00 00 01")
    barriers += looked_at(browser, "refused")
    choose(browser, "MTN", phone="01 61 00 00 00")
    browser.find("h1", PAID)
    barriers += looked_at(browser, "receipt")
    browser.open("/pay/forged/")
    barriers += looked_at(browser, "ended")

    assert barriers == []
    assert [error for error in browser.errors() if "/pay/forged/" not in error and "422" not in error] == []


def looked_at(browser: Browser, name: str) -> list[object]:
    """What is cut off and what axe finds, in each look. Leaves the page as on a phone in English."""
    found: list[object] = []
    for look in LOOKS:
        browser.look(**look)  # type: ignore[arg-type]  # the keywords of `look`
        browser.driver.refresh()
        browser.find("h1")
        found += [(name, look, box) for box in browser.cut_off()]
        violations = browser.driver.execute_async_script(_BARRIERS)
        found += [(name, look, each["id"], [node["html"] for node in each["nodes"]]) for each in violations]
    browser.look(size=PHONE)
    return found
