"""Each magic number in the answer, the status, the history and the webhooks."""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest
import requests

from tests.sandbox.feexpay import collect, search_history, sent_statuses, status_of, wait_for_status
from tests.sandbox.receiver import Receiver
from tests.sandbox.running import RunningSandbox, run_sandbox


def _webhook_statuses(shop: Receiver, reference: str, count: int) -> list[str]:
    return [one.body["status"] for one in shop.wait_for(reference, count)]


def _only_payment(sandbox: RunningSandbox) -> str:
    (payment,) = sandbox.payments()
    reference: str = payment["reference"]
    return reference


def test_00_is_approved_after_2_seconds(sandbox: RunningSandbox, shop: Receiver) -> None:
    reference = collect(sandbox, "00").json()["reference"]
    body = wait_for_status(sandbox, reference, "SUCCESSFUL")
    assert (body["amount"], body["reason"], body["responsecode"]) == (5000, None, "0")
    assert body["operator_id"]
    assert _webhook_statuses(shop, reference, 1) == ["SUCCESSFUL"]
    assert sandbox.charges() == 1


@pytest.mark.parametrize(
    ("ending", "reason", "prompts"),
    [
        ("01", "LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED", 0),
        ("02", "PAYER_NOT_FOUND", 0),
        ("03", "APPROVAL_REJECTED", 1),
    ],
)
def test_01_02_03_fail_with_their_reason(
    sandbox: RunningSandbox, shop: Receiver, ending: str, reason: str, prompts: int
) -> None:
    answer = collect(sandbox, ending).json()
    assert answer["status"] == "PENDING"
    assert wait_for_status(sandbox, answer["reference"], "FAILED")["reason"] == reason
    assert shop.wait_for(answer["reference"])[0].body["reason"] == reason
    assert (sandbox.prompts(), sandbox.charges()) == (prompts, 0)


@pytest.mark.parametrize("ending", ["04", "50", "99"])
def test_04_and_unlisted_endings_wait_for_the_payer(sandbox: RunningSandbox, shop: Receiver, ending: str) -> None:
    reference = collect(sandbox, ending).json()["reference"]
    # A later payment with a script has ended, so a script of this one would have run, too.
    wait_for_status(sandbox, collect(sandbox, "00").json()["reference"], "SUCCESSFUL")
    assert status_of(sandbox, reference)["status"] == "PENDING"
    sandbox.approve(reference)
    assert _webhook_statuses(shop, reference, 1) == ["SUCCESSFUL"]


def test_05_is_approved_after_90_seconds(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox, "05").json()["reference"]
    wait_for_status(sandbox, reference, "SUCCESSFUL")
    (payment,) = sandbox.payments()
    assert _seconds_between(payment["created_at"], payment["settled_at"]) >= 0.9


def test_06_is_approved_without_a_webhook(sandbox: RunningSandbox, shop: Receiver) -> None:
    reference = collect(sandbox, "06").json()["reference"]
    wait_for_status(sandbox, reference, "SUCCESSFUL")
    assert sandbox.payments()[0]["webhooks"] == []
    assert shop.about(reference) == []


def test_07_sends_three_webhooks_with_an_older_state_between(sandbox: RunningSandbox, shop: Receiver) -> None:
    reference = collect(sandbox, "07").json()["reference"]
    assert sorted(_webhook_statuses(shop, reference, 3)) == ["PENDING", "SUCCESSFUL", "SUCCESSFUL"]
    assert sent_statuses(sandbox, reference) == ["SUCCESSFUL", "PENDING", "SUCCESSFUL"]
    assert status_of(sandbox, reference)["status"] == "SUCCESSFUL"


def test_08_delivers_the_webhook_before_the_answer(sandbox: RunningSandbox, shop: Receiver) -> None:
    answer = collect(sandbox, "08").json()
    assert [one.body["status"] for one in shop.about(answer["reference"])] == ["SUCCESSFUL"]
    assert answer["status"] == "PENDING"


def test_09_charges_then_resets_the_connection(sandbox: RunningSandbox, shop: Receiver) -> None:
    with pytest.raises(requests.ConnectionError) as caught:
        collect(sandbox, "09", callback_info="lost")
    assert "Connection reset by peer" in str(caught.value)
    (row,) = search_history(sandbox).json()["data"]
    assert (row["callback_info"], row["status"]) == ("lost", "SUCCESSFUL")
    assert sandbox.charges("lost") == 1
    assert _webhook_statuses(shop, row["reference"], 1) == ["SUCCESSFUL"]


def test_10_charges_then_answers_502_in_html(sandbox: RunningSandbox, shop: Receiver) -> None:
    answer = collect(sandbox, "10")
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert "<h1>502 Bad Gateway</h1>" in answer.text
    assert sandbox.charges() == 1
    assert _webhook_statuses(shop, _only_payment(sandbox), 1) == ["SUCCESSFUL"]


def test_11_answers_503_and_charges_nothing(sandbox: RunningSandbox) -> None:
    answer = collect(sandbox, "11")
    assert (answer.status_code, answer.json()["code"]) == (503, "NETWORK_UNAVAILABLE")
    assert sandbox.payments() == []


def test_12_answers_failed_in_a_202(sandbox: RunningSandbox, shop: Receiver) -> None:
    answer = collect(sandbox, "12")
    assert (answer.status_code, answer.json()["status"], answer.json()["statusCode"]) == (202, "FAILED", "10")
    reference = answer.json()["reference"]
    assert status_of(sandbox, reference)["status"] == "FAILED"
    assert _webhook_statuses(shop, reference, 1) == ["FAILED"]
    assert (sandbox.prompts(), sandbox.charges()) == (0, 0)


def test_13_is_paid_one_unit_less(sandbox: RunningSandbox, shop: Receiver) -> None:
    reference = collect(sandbox, "13").json()["reference"]
    assert wait_for_status(sandbox, reference, "SUCCESSFUL")["amount"] == 4999
    assert shop.wait_for(reference)[0].body["amount"] == 4999
    assert search_history(sandbox).json()["data"][0]["amount"] == 4999


def test_14_forges_a_success_while_pending(sandbox: RunningSandbox, shop: Receiver) -> None:
    reference = collect(sandbox, "14").json()["reference"]
    assert _webhook_statuses(shop, reference, 1) == ["SUCCESSFUL"]
    assert status_of(sandbox, reference)["status"] == "PENDING"
    assert sandbox.charges() == 0


def test_15_wraps_the_status_and_writes_the_amount_as_text(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox, "15").json()["reference"]
    body = wait_for_status(sandbox, reference, "SUCCESSFUL")
    assert list(body) == ["data"]
    assert (body["data"]["amount"], body["data"]["reference"]) == ("5000", reference)


def test_16_fails_then_succeeds_20_seconds_later(sandbox: RunningSandbox, shop: Receiver) -> None:
    reference = collect(sandbox, "16").json()["reference"]
    wait_for_status(sandbox, reference, "FAILED")
    assert sandbox.charges() == 0
    wait_for_status(sandbox, reference, "SUCCESSFUL")
    failed, successful = shop.wait_for(reference, 2)
    assert [failed.body["status"], successful.body["status"]] == ["FAILED", "SUCCESSFUL"]
    assert _seconds_between(failed.body["date"], successful.body["date"]) >= 0.19
    assert sandbox.charges() == 1


def test_17_answers_slowly_while_the_payment_goes_on() -> None:
    with run_sandbox(time_scale=0.05) as sandbox:
        started_at = time.monotonic()
        answer = collect(sandbox, "17").json()
        assert time.monotonic() - started_at >= 1.0
        assert answer["status"] == "PENDING"
        assert status_of(sandbox, answer["reference"])["status"] == "SUCCESSFUL"


def test_18_charges_then_truncates_its_json(sandbox: RunningSandbox, shop: Receiver) -> None:
    answer = collect(sandbox, "18")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text)
    assert sandbox.charges() == 1
    assert _webhook_statuses(shop, _only_payment(sandbox), 1) == ["SUCCESSFUL"]


def test_decision_of_the_payer_replaces_the_script(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox, "05").json()["reference"]
    sandbox.decline(reference)
    # A later payment with the same script has ended, so a remaining step of the first would have run, too.
    wait_for_status(sandbox, collect(sandbox, "05").json()["reference"], "SUCCESSFUL")
    assert status_of(sandbox, reference)["status"] == "FAILED"


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
