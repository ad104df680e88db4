"""The pages beside the admin's under their own Content-Security-Policy: Chromium's console reports nothing blocked."""

from __future__ import annotations

import pytest

from tests.browser.chromium import DESKTOP, PHONE, Browser
from tests.sandbox.running import RunningSandbox

pytestmark = [pytest.mark.browser, pytest.mark.django_db, pytest.mark.postgres_only]

LOOKS = ({"size": DESKTOP, "theme": "dark", "language": "en"}, {"size": PHONE, "theme": "light", "language": "fr"})


@pytest.mark.parametrize("path", ["/", "/api/v1/", "/return/", "/pay/nonsense/", "/no-such-page/", "/admin/login/"])
def test_page_of_the_shop_breaks_no_rule(browser: Browser, path: str) -> None:
    for look in LOOKS:
        browser.look(**look)
        browser.open(path)
        # The console reports the 404 itself, too.
        blocked = [line for line in browser.errors() if "status of 404" not in line]
        assert (look, blocked) == (look, [])


def test_docs_of_the_api_break_no_rule(browser: Browser) -> None:
    browser.open("/api/v1/docs/")
    browser.click("#swagger-ui .opblock-summary", "initiate/")
    assert browser.find("#swagger-ui .opblock-body")
    browser.click("#swagger-ui .try-out__btn")
    browser.click("#swagger-ui .execute")
    browser.find("#swagger-ui .live-responses-table")

    # The request has no token: 401 is right, and the console reports it.
    assert [line for line in browser.errors() if "status of 401" not in line] == []


def test_texts_of_the_api_docs_can_be_read(browser: Browser) -> None:
    """The other findings of axe on this page are of Swagger UI's own structure."""
    for look in LOOKS:
        browser.look(**look)
        browser.open("/api/v1/docs/")
        browser.find("#swagger-ui .opblock-summary", "initiate/")
        browser.find("#swagger-ui .json-schema-2020-12-expand-deep-button")

        pale = [element for rule, element in browser.barriers() if rule == "color-contrast"]
        assert (look, pale) == (look, [])


@pytest.mark.parametrize("path", ["/", "/payments", "/control", "/no-such-page"])
def test_page_of_the_sandbox_breaks_no_rule(browser: Browser, running_sandbox: RunningSandbox, path: str) -> None:
    browser.driver.get(running_sandbox.base_url + path)

    assert [line for line in browser.errors() if "status of 404" not in line] == []


def test_inline_script_is_blocked_and_reported(browser: Browser) -> None:
    """The console would tell."""
    browser.open("/")
    browser.driver.execute_script(
        "const script = document.createElement('script'); script.textContent = 'document.title = 1';"
        "document.body.append(script);"
    )

    assert browser.driver.title != "1"
    assert [line for line in browser.errors() if "Content Security Policy" in line]
