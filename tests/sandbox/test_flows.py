"""Payments by one-time code and by redirect, and the contested flows."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox.feexpay import collect, search_history, status_of, wait_for_status
from tests.sandbox.receiver import Receiver
from tests.sandbox.running import RunningSandbox, run_sandbox

REDIRECT = {
    "moov_ci": "2250100000050",
    "orange_ci": "2250700000050",
    "wave_ci": "2250700000050",
    "orange_sn": "221770000050",
    "free_sn": "221760000050",
    "wave_sn": "221770000050",
    "moov_bf": "22670000050",
    "wave_bf": "22670000050",
}
SHOP_PAGES = {"return_url": "https://shop.test/back?order=7", "cancel_url": "https://shop.test/cancelled"}


def _coris(sandbox: RunningSandbox, otp: str | None = None, ending: str = "00", **changes: Any) -> requests.Response:
    return collect(sandbox, ending, "coris", otp=otp, **{"callback_info": "attempt-1"} | changes)


def _wave(sandbox: RunningSandbox, ending: str = "50", **changes: Any) -> requests.Response:
    return collect(sandbox, suffix="wave_ci", **{"phoneNumber": f"22507000000{ending}", **SHOP_PAGES} | changes)


def _press(sandbox: RunningSandbox, payment_url: str, choice: str) -> requests.Response:
    assert payment_url.startswith(sandbox.base_url)
    return sandbox.post(urlsplit(payment_url).path, data={"choice": choice}, allow_redirects=False)


# Codes


def test_coris_first_sends_a_code_and_charges_nothing(sandbox: RunningSandbox) -> None:
    answer = _coris(sandbox)
    assert (answer.status_code, answer.json()["status"]) == (201, "PENDING")
    assert status_of(sandbox, answer.json()["reference"])["status"] == "PENDING"
    assert (sandbox.prompts(), sandbox.charges()) == (1, 0)


def test_coris_second_request_with_the_right_code_pays(sandbox: RunningSandbox, shop: Receiver) -> None:
    first = _coris(sandbox).json()
    second = _coris(sandbox, "123456")
    assert (second.status_code, second.json()["reference"]) == (200, first["reference"])
    wait_for_status(sandbox, first["reference"], "SUCCESSFUL")
    assert [one.body["status"] for one in shop.wait_for(first["reference"])] == ["SUCCESSFUL"]
    assert (sandbox.prompts(), sandbox.charges()) == (1, 1)


@pytest.mark.parametrize(
    ("otp", "reason"), [("000000", "INVALID_OTP"), ("999999", "OTP_EXPIRED"), ("123457", "INVALID_OTP")]
)
def test_coris_fails_with_a_wrong_or_expired_code(sandbox: RunningSandbox, otp: str, reason: str) -> None:
    reference = _coris(sandbox).json()["reference"]
    body = _coris(sandbox, otp).json()
    assert (body["reference"], body["status"]) == (reference, "FAILED")
    assert status_of(sandbox, reference)["reason"] == reason
    # One attempt ends the payment, so the right code comes too late.
    assert _coris(sandbox, "123456").json()["status"] == "FAILED"
    assert sandbox.charges() == 0


@pytest.mark.parametrize("change", [{"amount": 5001}, {"callback_info": "attempt-2"}, {"callback_info": None}])
def test_code_for_another_request_fails(sandbox: RunningSandbox, change: dict[str, Any]) -> None:
    reference = _coris(sandbox).json()["reference"]
    body = _coris(sandbox, "123456", **change).json()
    assert body["reference"] != reference
    assert body["status"] == "FAILED"
    assert status_of(sandbox, reference)["status"] == "PENDING"


def test_phone_shows_the_coris_code_and_cannot_approve(sandbox: RunningSandbox) -> None:
    reference = _coris(sandbox).json()["reference"]
    assert "Your Coris code: 123456" in sandbox.get("/").text
    assert sandbox.post(f"/phone/{reference}", data={"choice": "approve", "pin": "1234"}).status_code == 404
    assert sandbox.charges() == 0
    sandbox.post(f"/phone/{reference}", data={"choice": "decline"})
    assert status_of(sandbox, reference)["status"] == "FAILED"


def test_coris_without_a_magic_number_needs_approval_after_the_code(sandbox: RunningSandbox) -> None:
    reference = _coris(sandbox, ending="50").json()["reference"]
    assert _coris(sandbox, "123456", ending="50").json()["status"] == "PENDING"
    sandbox.approve(reference)
    assert sandbox.charges() == 1


def test_orange_burkina_needs_the_code_in_the_first_request(sandbox: RunningSandbox) -> None:
    answer = collect(sandbox, suffix="orange_bf", phoneNumber="22670000000")
    assert answer.status_code == 400
    assert [one["property"] for one in answer.json()["errors"]] == ["otp"]
    assert sandbox.payments() == []


def test_orange_burkina_pays_in_one_step(sandbox: RunningSandbox) -> None:
    answer = collect(sandbox, suffix="orange_bf", phoneNumber="22670000000", otp="123456")
    assert answer.json()["status"] == "PENDING"
    wait_for_status(sandbox, answer.json()["reference"], "SUCCESSFUL")


@pytest.mark.parametrize(("otp", "reason"), [("000000", "INVALID_OTP"), ("999999", "OTP_EXPIRED")])
def test_orange_burkina_fails_with_a_wrong_or_expired_code(sandbox: RunningSandbox, otp: str, reason: str) -> None:
    body = collect(sandbox, suffix="orange_bf", phoneNumber="22670000000", otp=otp).json()
    assert body["status"] == "FAILED"
    assert status_of(sandbox, body["reference"])["reason"] == reason


# The operator's page


@pytest.mark.parametrize("suffix", REDIRECT)
def test_every_redirect_network_answers_with_a_payment_url(sandbox: RunningSandbox, suffix: str) -> None:
    body = collect(sandbox, suffix=suffix, phoneNumber=REDIRECT[suffix]).json()
    assert body["status"] == "PENDING"
    assert body["payment_url"] == f"{sandbox.base_url}/pay/{body['reference']}"
    assert (body["order_id"], body["transref"]) == (body["reference"], body["reference"])


@pytest.mark.parametrize(
    ("choice", "status", "leads_to"),
    [
        ("pay", "SUCCESSFUL", "https://shop.test/back?order=7&ref="),
        ("cancel", "FAILED", "https://shop.test/cancelled?ref="),
        ("fail", "FAILED", "https://shop.test/cancelled?ref="),
    ],
)
def test_operator_page_redirects_to_the_shop_with_the_reference(
    sandbox: RunningSandbox, choice: str, status: str, leads_to: str
) -> None:
    body = _wave(sandbox).json()
    answer = _press(sandbox, body["payment_url"], choice)
    assert (answer.status_code, answer.headers["Location"]) == (303, leads_to + body["reference"])
    assert status_of(sandbox, body["reference"])["status"] == status


def test_form_action_policy_allows_only_the_shop(sandbox: RunningSandbox) -> None:
    page = sandbox.get(urlsplit(_wave(sandbox).json()["payment_url"]).path)
    assert "Pay 5 000 F CFA" in page.text.replace("\u00a0", " ")
    policy = page.headers["Content-Security-Policy"]
    assert re.search(r"form-action ([^;]*)$", policy)[1] == "'self' https://shop.test https://shop.test"  # type: ignore[index]  # it is there


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//evil.test", "https://[", "data:text/html,x", ""])
def test_return_url_that_is_not_http_is_ignored(sandbox: RunningSandbox, url: str) -> None:
    body = _wave(sandbox, return_url=url).json()
    path = urlsplit(body["payment_url"]).path
    answer = _press(sandbox, body["payment_url"], "pay")
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    assert "Payment approved" in sandbox.get(path).text
    assert status_of(sandbox, body["reference"])["status"] == "SUCCESSFUL"


def test_second_press_charges_nothing_and_redirects_again(sandbox: RunningSandbox) -> None:
    body = _wave(sandbox).json()
    first = _press(sandbox, body["payment_url"], "pay")
    # Too late to cancel: the payer is sent back as after the first press.
    second = _press(sandbox, body["payment_url"], "cancel")
    assert first.headers["Location"] == second.headers["Location"]
    assert sandbox.charges() == 1


def test_abandoned_operator_page_stays_pending_then_fails() -> None:
    with run_sandbox("--abandon-seconds=100") as sandbox:
        reference = _wave(sandbox).json()["reference"]
        never = _wave(sandbox, "04").json()["reference"]
        assert status_of(sandbox, reference)["status"] == "PENDING"
        assert wait_for_status(sandbox, reference, "FAILED")["reason"] == "EXPIRED"
        assert status_of(sandbox, never)["status"] == "PENDING"


def test_magic_number_decides_on_a_redirect_network(sandbox: RunningSandbox) -> None:
    body = _wave(sandbox, "00").json()
    wait_for_status(sandbox, body["reference"], "SUCCESSFUL")
    page = sandbox.get(urlsplit(body["payment_url"]).path)
    assert f'href="https://shop.test/back?order=7&amp;ref={body["reference"]}"' in page.text


def test_phone_links_to_the_operator_page(sandbox: RunningSandbox) -> None:
    reference = _wave(sandbox).json()["reference"]
    assert f'href="/pay/{reference}"' in sandbox.get("/").text
    collect(sandbox)
    assert f'href="/pay/{reference}"' in sandbox.get("/", params={"payment": reference}).text


@pytest.mark.parametrize("path", ["/pay/nobody", "/paid/nobody"])
def test_page_of_an_unknown_payment_is_not_found(sandbox: RunningSandbox, path: str) -> None:
    assert sandbox.get(path).status_code == 404


def test_push_payment_has_no_operator_page(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox).json()["reference"]
    assert sandbox.get(f"/pay/{reference}").status_code == 404
    assert sandbox.post(f"/pay/{reference}", data={"choice": "pay"}).status_code == 404
    assert sandbox.charges() == 0


# Flows that sources differ on


def test_contested_flows_can_be_chosen() -> None:
    with run_sandbox("--flows=orange_sn=otp,moov_bf=push,orange_ml=redirect,orange_bf=push,coris=push") as sandbox:
        missing = collect(sandbox, suffix="orange_sn", phoneNumber="221770000050")
        assert [one["property"] for one in missing.json()["errors"]] == ["otp"]
        answers = {
            suffix: collect(sandbox, suffix=suffix, phoneNumber=msisdn, otp=otp).json()
            for suffix, msisdn, otp in [
                ("orange_sn", "221770000050", "123456"),
                ("moov_bf", "22670000050", None),
                ("orange_ml", "22370000050", None),
                ("orange_bf", "22670000050", None),
                ("coris", "2290161000050", None),
            ]
        }
    assert {suffix: body["status"] for suffix, body in answers.items()} == dict.fromkeys(answers, "PENDING")
    assert [suffix for suffix, body in answers.items() if "payment_url" in body] == ["orange_ml"]


def test_payment_whose_second_answer_was_lost_is_paid_in_the_history(sandbox: RunningSandbox) -> None:
    reference = _coris(sandbox, ending="09").json()["reference"]
    with pytest.raises(requests.ConnectionError):
        _coris(sandbox, "123456", ending="09")
    (row,) = search_history(sandbox).json()["data"]
    assert (row["reference"], row["status"]) == (reference, "SUCCESSFUL")


def test_payment_url_uses_the_public_url() -> None:
    with run_sandbox("--public-url=https://sandbox.test/x/") as sandbox:
        body = _wave(sandbox).json()
    assert body["payment_url"] == f"https://sandbox.test/x/pay/{body['reference']}"
