"""The payer's phone and the list of payments in a browser without scripts."""

from __future__ import annotations

import re
from html import unescape

import pytest
import requests

from tests.sandbox.feexpay import collect, status_of
from tests.sandbox.receiver import Receiver
from tests.sandbox.running import RunningSandbox

NBSP = "\u00a0"


def _text(answer: requests.Response) -> str:
    """The visible text of a page."""
    main = re.search("<main.*</main>", answer.text, re.DOTALL)
    assert main
    return " ".join(unescape(re.sub("<[^>]*>", " ", main[0])).replace(NBSP, " ").split())


def _version(answer: requests.Response) -> str:
    found = re.search('data-version="([0-9a-f]+)"', answer.text)
    assert found
    return found[1]


def _press(sandbox: RunningSandbox, reference: str, choice: str, pin: str = "") -> requests.Response:
    return sandbox.post(f"/phone/{reference}", data={"pin": pin, "choice": choice})


def test_phone_without_a_payment_shows_nothing_to_pay(sandbox: RunningSandbox) -> None:
    assert "Nothing to pay. Start a payment in the shop." in _text(sandbox.get("/"))


def test_phone_shows_the_only_prompt(sandbox: RunningSandbox) -> None:
    collect(sandbox, description="500 coins")
    page = sandbox.get("/")
    assert "MTN +229 01 •••••• 50 Pay 5 000 F CFA to Coin & <Shop>? 500 coins" in _text(page)
    assert f"5{NBSP}000{NBSP}F{NBSP}CFA" in page.text
    assert "2290161000050" not in page.text


def test_approving_with_a_pin_pays(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox).json()["reference"]
    page = _press(sandbox, reference, "approve", "0000")
    assert "Payment approved 5 000 F CFA paid to Coin & <Shop>." in _text(page)
    assert status_of(sandbox, reference)["status"] == "SUCCESSFUL"


@pytest.mark.parametrize("pin", ["", "123", "12345", "12a4", "１２３４", "1234\n"])
def test_invalid_pin_pays_nothing_and_shows_an_error(sandbox: RunningSandbox, pin: str) -> None:
    reference = collect(sandbox).json()["reference"]
    page = _press(sandbox, reference, "approve", pin)
    assert page.status_code == 422
    assert "The PIN has exactly 4 digits." in _text(page)
    assert 'aria-invalid="true"' in page.text
    assert status_of(sandbox, reference)["status"] == "PENDING"


@pytest.mark.parametrize(
    ("choice", "words", "reason"),
    [
        ("decline", "Payment declined Nothing was taken.", "APPROVAL_REJECTED"),
        ("expire", "Request expired Nothing was taken.", "EXPIRED"),
    ],
)
def test_declining_and_expiring_need_no_pin(sandbox: RunningSandbox, choice: str, words: str, reason: str) -> None:
    reference = collect(sandbox).json()["reference"]
    assert words in _text(_press(sandbox, reference, choice))
    assert status_of(sandbox, reference)["reason"] == reason


def test_pressing_approve_again_shows_the_same_result(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox).json()["reference"]
    _press(sandbox, reference, "approve", "1234")
    assert "Payment approved" in _text(_press(sandbox, reference, "approve", "1234"))
    assert sandbox.charges() == 1


def test_phone_never_approves_a_failed_payment(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox).json()["reference"]
    _press(sandbox, reference, "decline")
    assert "Payment declined" in _text(_press(sandbox, reference, "approve", "1234"))
    assert sandbox.charges() == 0


def test_several_prompts_are_listed_oldest_first(sandbox: RunningSandbox) -> None:
    first = collect(sandbox, amount=700).json()["reference"]
    collect(sandbox, amount=900)
    page = sandbox.get("/")
    assert re.search(r"2 payments are waiting 700 F CFA .* 900 F CFA", _text(page))
    prompt = _text(sandbox.get("/", params={"payment": first}))
    assert "Pay 700 F CFA" in prompt
    assert "1 other payment is waiting" in prompt


def test_payment_refused_by_the_operator_sends_no_prompt(sandbox: RunningSandbox) -> None:
    collect(sandbox, "12")
    assert "Nothing to pay." in _text(sandbox.get("/"))


@pytest.mark.parametrize(("path", "code"), [("/phone/nobody", 404), ("/nowhere", 404)])
def test_not_found_page_links_to_the_phone(sandbox: RunningSandbox, path: str, code: int) -> None:
    answer = sandbox.post(path, data={"choice": "approve"}) if "phone" in path else sandbox.get(path)
    assert answer.status_code == code
    assert _text(answer) == "There is no such page The payer's phone"


def test_unknown_payment_shows_the_home_screen(sandbox: RunningSandbox) -> None:
    assert "Nothing to pay." in _text(sandbox.get("/", params={"payment": "gone"}))


def test_version_changes_with_the_screen(sandbox: RunningSandbox) -> None:
    empty = _version(sandbox.get("/"))
    assert sandbox.get("/phone/state").json() == {"version": empty}
    reference = collect(sandbox).json()["reference"]
    asked = sandbox.get("/phone/state").json()["version"]
    assert asked != empty
    # A wrong PIN changes the screen, but must not reload the page.
    assert _version(_press(sandbox, reference, "approve", "1")) == asked


@pytest.mark.parametrize(
    ("accept", "query", "words"),
    [
        ("fr", {}, "Rien à payer. Lancez un paiement dans la boutique."),
        ("fr-BJ,fr;q=0.9,en;q=0.8", {}, "Rien à payer."),
        ("de,fr;q=0.4,en;q=0.7", {}, "Nothing to pay."),
        ("fr", {"lang": "en"}, "Nothing to pay."),
        ("en", {"lang": "fr"}, "Rien à payer."),
        ("en", {"lang": "xx"}, "Nothing to pay."),
        ("fr;q=x", {}, "Rien à payer."),
        ("de", {}, "Nothing to pay."),
    ],
)
def test_language_comes_from_the_query_then_from_the_browser(
    sandbox: RunningSandbox, accept: str, query: dict[str, str], words: str
) -> None:
    answer = sandbox.get("/", params=query, headers={"Accept-Language": accept})
    assert words in _text(answer)


def test_chosen_language_survives_a_form(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox).json()["reference"]
    page = sandbox.get("/", params={"lang": "fr"})
    assert f'action="/phone/{reference}?lang=fr"' in page.text
    result = sandbox.post(f"/phone/{reference}?lang=fr", data={"pin": "1234", "choice": "approve"})
    assert "Paiement approuvé 5 000 F CFA payés à Coin & <Shop>." in _text(result)


def test_list_of_payments_is_empty_at_first(sandbox: RunningSandbox) -> None:
    assert "No payments yet." in _text(sandbox.get("/payments"))


def test_list_shows_each_payment_with_its_webhooks(sandbox: RunningSandbox, shop: Receiver) -> None:
    reference = collect(sandbox).json()["reference"]
    sandbox.decline(reference)
    shop.wait_for(reference)
    shop.wait_for(_paid(sandbox))
    text = _text(sandbox.get("/payments"))
    assert re.search(
        rf"Failed declined by the payer 5 000 F CFA MTN \+229 01 •••••• 50 20\S+ \S+ UTC {reference} FAILED → ",
        text,
    )
    assert "2290161000050" not in text


def test_version_of_the_list_changes_with_a_payment(sandbox: RunningSandbox) -> None:
    empty = _version(sandbox.get("/payments"))
    assert sandbox.get("/payments/state").json() == {"version": empty}
    collect(sandbox)
    assert sandbox.get("/payments/state").json()["version"] != empty


@pytest.mark.parametrize("path", ["/", "/payments"])
def test_text_of_the_caller_is_escaped(sandbox: RunningSandbox, path: str) -> None:
    collect(sandbox, callback_info="<script>x</script>", first_name="<script>x</script>")
    page = sandbox.get(path)
    assert page.text.count("<script") == 1
    assert "Coin & <Shop>" not in page.text


@pytest.mark.parametrize("path", ["/", "/payments", "/nowhere"])
def test_page_loads_nothing_from_other_hosts(sandbox: RunningSandbox, path: str) -> None:
    page = sandbox.get(path)
    assert re.findall(r'(?:src|href)="(?!/|#)([^"]*)"', page.text) == []
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("path", "kind"), [("/assets/sandbox.css", "text/css"), ("/assets/sandbox.js", "text/javascript")]
)
def test_assets_are_served(sandbox: RunningSandbox, path: str, kind: str) -> None:
    answer = sandbox.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")


def _paid(sandbox: RunningSandbox) -> str:
    reference: str = collect(sandbox).json()["reference"]
    sandbox.approve(reference)
    return reference
