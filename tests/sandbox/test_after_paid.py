"""Reversals and second charges of paid payments."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.sandbox.feexpay import collect, search_history, status_of, wait_for_status
from tests.sandbox.receiver import Receiver
from tests.sandbox.running import RunningSandbox


@pytest.fixture
def paid(sandbox: RunningSandbox) -> str:
    reference: str = collect(sandbox, callback_info="attempt-1").json()["reference"]
    sandbox.approve(reference)
    return reference


def refusal(call: Any) -> int:
    with pytest.raises(requests.HTTPError) as caught:
        call()
    return int(caught.value.response.status_code)


@pytest.mark.parametrize("status", ["REVERSED", "REFUNDED", "CANCELLED", "FAILED"])
def test_reversal_is_shown_in_status_history_and_webhook(
    sandbox: RunningSandbox, shop: Receiver, paid: str, status: str
) -> None:
    told = sandbox.reverse(paid, status=status)

    assert (told["status"], told["charged"], told["paid_amount"]) == (status, False, 0)
    assert status_of(sandbox, paid)["status"] == status
    assert [row["status"] for row in search_history(sandbox).json()["data"]] == [status]
    assert [one.body["status"] for one in shop.wait_for(paid, 2)] == ["SUCCESSFUL", status]


def test_reversal_without_a_webhook_sends_none(sandbox: RunningSandbox, shop: Receiver, paid: str) -> None:
    shop.wait_for(paid, 1)

    sandbox.reverse(paid, webhook=False)

    assert status_of(sandbox, paid)["status"] == "REVERSED"
    assert [row["status"] for row in sandbox.payments()[0]["webhooks"]] == ["SUCCESSFUL"]


def test_only_a_paid_payment_is_reversed_and_only_once(sandbox: RunningSandbox, paid: str) -> None:
    waiting = collect(sandbox).json()["reference"]
    assert refusal(lambda: sandbox.reverse(waiting)) == 409
    sandbox.reverse(paid)
    assert refusal(lambda: sandbox.reverse(paid)) == 409
    assert refusal(lambda: sandbox.charge_again(paid)) == 409
    assert refusal(lambda: sandbox.approve(paid)) == 409
    assert refusal(lambda: sandbox.reverse("nobody")) == 404


@pytest.mark.parametrize("body", [{"status": "PENDING"}, {"status": 1}, {"webhook": "yes"}, {"other": 1}], ids=str)
def test_invalid_request_changes_nothing(sandbox: RunningSandbox, paid: str, body: dict[str, object]) -> None:
    assert refusal(lambda: sandbox.reverse(paid, **body)) == 400
    assert status_of(sandbox, paid)["status"] == "SUCCESSFUL"


def test_second_charge_has_the_same_echo_and_another_reference(
    sandbox: RunningSandbox, shop: Receiver, paid: str
) -> None:
    second = sandbox.charge_again(paid)

    assert second["reference"] != paid
    assert (second["echo"], second["status"], second["paid_amount"]) == ("attempt-1", "SUCCESSFUL", 5000)
    assert sandbox.charges("attempt-1") == 2
    assert shop.wait_for(second["reference"])[0].body["callback_info"] == "attempt-1"
    assert refusal(lambda: sandbox.charge_again(collect(sandbox).json()["reference"])) == 409


def test_fault_settings_charge_twice_and_reverse(sandbox: RunningSandbox, shop: Receiver) -> None:
    sandbox.change(
        charged_twice_percent=100, reversed_percent=100, reversed_status="refunded", reversed_after_seconds=5
    )

    reference = collect(sandbox, "00", callback_info="attempt-1").json()["reference"]

    wait_for_status(sandbox, reference, "REFUNDED")
    first, second = sorted(sandbox.payments("attempt-1"), key=lambda row: row["reference"] != reference)
    assert (first["reference"], first["status"]) == (reference, "REFUNDED")
    assert second["status"] == "SUCCESSFUL"


def test_faults_after_the_payment_also_follow_a_payers_choice(sandbox: RunningSandbox) -> None:
    sandbox.change(reversed_percent=100, reversed_after_seconds=1)
    reference = collect(sandbox).json()["reference"]

    sandbox.approve(reference)

    assert wait_for_status(sandbox, reference, "REVERSED")["status"] == "REVERSED"


def test_page_of_a_payment_can_reverse_it_and_charge_it_again(sandbox: RunningSandbox, paid: str) -> None:
    page = sandbox.get(f"/payments/{paid}?lang=en").text
    assert "Give the money back" in page
    assert "Charge a second time" in page

    sandbox.post(f"/payments/{paid}", data={"act": "charge_again"})
    assert sandbox.charges("attempt-1") == 2
    sandbox.post(f"/payments/{paid}", data={"act": "reverse"})

    assert status_of(sandbox, paid)["status"] == "REVERSED"
    assert "Give the money back" not in sandbox.get(f"/payments/{paid}?lang=en").text
