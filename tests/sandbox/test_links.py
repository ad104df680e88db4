"""Hosted links: created, paid on their page, and closed by time, use or deactivation."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.sandbox.feexpay import BEARER, search_history, status_of, wait_for_status
from tests.sandbox.receiver import Receiver
from tests.sandbox.running import SHOP_ID, RunningSandbox

HTML = {"Accept": "text/html"}


def _generate(sandbox: RunningSandbox, **changes: Any) -> requests.Response:
    body = {
        "shop": SHOP_ID,
        "amount": 5000,
        "description": "500 coins",
        "paymentMethod": "CARD",
        "range": 1,
        "expireIn": 30,
        "custom_id": "attempt-1",
        "callback_url": "https://shop.test/back",
        "callback_error": "https://shop.test/error",
    } | changes
    body = {name: value for name, value in body.items() if value is not None}
    return sandbox.post("/api/feexlinks/generate", json=body, headers=BEARER)


def _path(sandbox: RunningSandbox, **changes: Any) -> str:
    return urlsplit(_generate(sandbox, **changes).json()["urlPay"]).path


def _press(sandbox: RunningSandbox, path: str, choice: str = "pay", **form: str) -> requests.Response:
    return sandbox.post(path, data={"choice": choice, "method": "VISA"} | form, allow_redirects=False)


def _reference(answer: requests.Response) -> str:
    (reference,) = parse_qs(urlsplit(answer.headers["Location"]).query)["ref"]
    return reference


def test_new_link_has_a_url_and_the_fields_of_the_request(sandbox: RunningSandbox) -> None:
    answer = _generate(sandbox)
    body = answer.json()
    assert answer.status_code == 201
    assert urlsplit(body.pop("urlPay")).path.startswith("/link/")
    assert body == {
        "shop": SHOP_ID,
        "amount": 5000,
        "description": "500 coins",
        "paymentMethod": "CARD",
        "range": 1,
        "expireIn": 30,
        "custom_id": "attempt-1",
        "callback_url": "https://shop.test/back",
        "callback_error": "https://shop.test/error",
    }
    assert sandbox.payments() == []


def test_paying_creates_a_feex_link_transaction(sandbox: RunningSandbox, shop: Receiver) -> None:
    path = _path(sandbox)
    answer = _press(sandbox, path, method="MASTERCARD")
    reference = _reference(answer)
    assert answer.headers["Location"] == f"https://shop.test/back?ref={reference}"
    assert status_of(sandbox, reference)["status"] == "SUCCESSFUL"
    (row,) = search_history(sandbox).json()["data"]
    assert (row["type"], row["custom_id"], row["reseau"]) == ("FEEX_LINK", "attempt-1", "MASTERCARD")
    assert (row["callback_info"], row["phone_number"]) == (None, "")
    body = shop.wait_for(reference)[0].body
    assert (body["ref_link"], body["callback_info"], body["amount"]) == (path.split("/")[2], "", 5000)
    assert sandbox.charges("attempt-1") == 1


@pytest.mark.parametrize("choice", ["fail", "cancel"])
def test_failed_and_cancelled_payments_redirect_to_the_error_url(sandbox: RunningSandbox, choice: str) -> None:
    path = _path(sandbox)
    failed = _press(sandbox, path, choice)
    assert failed.headers["Location"].startswith("https://shop.test/error?ref=")
    assert status_of(sandbox, _reference(failed))["status"] == "FAILED"
    paid = _press(sandbox, path)
    assert _reference(paid) != _reference(failed)
    assert sandbox.charges() == 1


def test_range_limits_how_often_a_link_is_paid(sandbox: RunningSandbox) -> None:
    path = _path(sandbox)
    _press(sandbox, path)
    again = _press(sandbox, path)
    assert (again.status_code, again.json()["message"]) == (400, "FeexLink usage limit reached")
    assert "This link has already been used" in sandbox.get(path, headers=HTML).text
    endless = _path(sandbox, range=0)
    assert [_press(sandbox, endless).status_code for _ in range(3)] == [303, 303, 303]


def test_pending_payment_counts_as_a_use_of_the_link(sandbox: RunningSandbox) -> None:
    path = _path(sandbox)
    assert _press(sandbox, path, ending="04").status_code == 303
    assert _press(sandbox, path).status_code == 400


def test_expired_link_gets_410(sandbox: RunningSandbox) -> None:
    path = _path(sandbox)
    assert _press(sandbox, path, "expire").headers["Location"] == path
    page = sandbox.get(path, headers=HTML)
    assert (page.status_code, "This link has expired" in page.text) == (410, True)
    answer = _press(sandbox, path)
    assert (answer.status_code, answer.json()["code"]) == (410, "FEEXLINK_EXPIRED")
    assert sandbox.payments() == []


def test_unknown_link_is_not_found(sandbox: RunningSandbox) -> None:
    answer = sandbox.get("/link/nobody00/x")
    assert (answer.status_code, answer.json()["code"]) == (404, "FEEXLINK_NOT_FOUND")


@pytest.mark.parametrize(
    ("ending", "status", "reason"),
    [
        ("00", "SUCCESSFUL", None),
        ("01", "FAILED", "LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED"),
        ("03", "FAILED", "APPROVAL_REJECTED"),
        ("12", "FAILED", "LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED"),
        ("16", "SUCCESSFUL", None),
    ],
)
def test_page_runs_the_chosen_magic_number(
    sandbox: RunningSandbox, ending: str, status: str, reason: str | None
) -> None:
    reference = _reference(_press(sandbox, _path(sandbox), ending=ending))
    assert wait_for_status(sandbox, reference, status)["reason"] == reason


def test_page_has_the_fault_of_the_magic_number(sandbox: RunningSandbox) -> None:
    with pytest.raises(requests.ConnectionError):
        _press(sandbox, _path(sandbox), ending="09")
    assert _press(sandbox, _path(sandbox), ending="10").status_code == 502
    assert sandbox.charges() == 2
    assert _press(sandbox, _path(sandbox), ending="11").status_code == 503
    assert sandbox.prompts() == 2


def test_page_without_a_return_url_shows_the_result(sandbox: RunningSandbox) -> None:
    answer = _press(sandbox, _path(sandbox, callback_url=None))
    assert "Payment approved" in sandbox.get(answer.headers["Location"]).text


def test_mobile_link_asks_for_the_phone_number(sandbox: RunningSandbox) -> None:
    path = _path(sandbox, paymentMethod="ALL", range=0)
    assert 'name="phone"' in sandbox.get(path, headers=HTML).text
    wrong = _press(sandbox, path, method="MTN", phone="61000000")
    assert (wrong.status_code, "does not belong" in wrong.text) == (422, True)
    reference = _reference(_press(sandbox, path, method="MTN", phone="2290161000000"))
    wait_for_status(sandbox, reference, "SUCCESSFUL")
    assert _press(sandbox, path).status_code == 303


@pytest.mark.parametrize("form", [{"method": "MTN"}, {"method": ""}, {"choice": "steal"}])
def test_invalid_form_pays_nothing(sandbox: RunningSandbox, form: dict[str, str]) -> None:
    assert _press(sandbox, _path(sandbox), **form).status_code in (404, 422)
    assert sandbox.payments() == []


@pytest.mark.parametrize(
    ("change", "status", "wrong"),
    [
        ({"shop": None}, 400, "shop"),
        ({"amount": None}, 400, "amount"),
        ({"amount": "5000"}, 400, "amount"),
        ({"amount": 0}, 400, "amount"),
        ({"amount": 10**30}, 400, "amount"),
        ({"paymentMethod": "VISA"}, 400, "paymentMethod"),
        ({"expireIn": None}, 400, "expireIn"),
        ({"expireIn": 0}, 400, "expireIn"),
        ({"range": -1}, 400, "range"),
        ({"description": "café"}, 400, "description"),
        ({"custom_id": 7}, 400, "custom_id"),
    ],
)
def test_invalid_link_is_refused(sandbox: RunningSandbox, change: dict[str, Any], status: int, wrong: str) -> None:
    answer = _generate(sandbox, **change)
    assert (answer.status_code, [one["property"] for one in answer.json()["errors"]]) == (status, [wrong])


def test_new_link_needs_the_key_and_the_shop(sandbox: RunningSandbox) -> None:
    assert sandbox.post("/api/feexlinks/generate", json={}).status_code == 401
    answer = _generate(sandbox, shop="OTHERSHOP000001")
    assert (answer.status_code, answer.json()["message"]) == (404, "Merchant or Shop not found")
