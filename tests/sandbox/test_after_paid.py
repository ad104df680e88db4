"""Reversals and second charges of a paid payment."""

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


def status_code_of_refused(call: Any) -> int:
    with pytest.raises(requests.HTTPError) as caught:
        call()
    return int(caught.value.response.status_code)


@pytest.mark.parametrize("status", ["REVERSED", "REFUNDED", "CANCELLED", "FAILED"])
def test_reversal_shows_in_status_history_and_webhook(
    sandbox: RunningSandbox, shop: Receiver, paid: str, status: str
) -> None:
    shop.wait_for(paid)

    answer = sandbox.reverse(paid, status=status)

    assert (answer["status"], answer["charged"], answer["paid_amount"]) == (status, False, 0)
    assert status_of(sandbox, paid)["status"] == status
    assert [row["status"] for row in search_history(sandbox).json()["data"]] == [status]
    assert [one.body["status"] for one in shop.wait_for(paid, 2)] == ["SUCCESSFUL", status]


def test_reversal_without_a_webhook_changes_only_the_status(sandbox: RunningSandbox, shop: Receiver, paid: str) -> None:
    shop.wait_for(paid, 1)

    sandbox.reverse(paid, webhook=False)

    assert status_of(sandbox, paid)["status"] == "REVERSED"
    assert [row["status"] for row in sandbox.payments()[0]["webhooks"]] == ["SUCCESSFUL"]


def test_only_a_paid_payment_is_reversed_and_only_once(sandbox: RunningSandbox, paid: str) -> None:
    waiting = collect(sandbox).json()["reference"]
    assert status_code_of_refused(lambda: sandbox.reverse(waiting)) == 409
    sandbox.reverse(paid)
    assert status_code_of_refused(lambda: sandbox.reverse(paid)) == 409
    assert status_code_of_refused(lambda: sandbox.charge_again(paid)) == 409
    assert status_code_of_refused(lambda: sandbox.approve(paid)) == 409
    assert status_code_of_refused(lambda: sandbox.reverse("nobody")) == 404


@pytest.mark.parametrize("fields", [{"status": "PENDING"}, {"status": 1}, {"webhook": "yes"}, {"other": 1}], ids=str)
def test_wrong_reversal_fields_change_nothing(sandbox: RunningSandbox, paid: str, fields: dict[str, object]) -> None:
    assert status_code_of_refused(lambda: sandbox.reverse(paid, **fields)) == 400
    assert status_of(sandbox, paid)["status"] == "SUCCESSFUL"


def test_second_charge_has_the_same_echo_and_another_reference(
    sandbox: RunningSandbox, shop: Receiver, paid: str
) -> None:
    second = sandbox.charge_again(paid)

    assert second["reference"] != paid
    assert (second["echo"], second["status"], second["paid_amount"]) == ("attempt-1", "SUCCESSFUL", 5000)
    assert sandbox.charges("attempt-1") == 2
    assert shop.wait_for(second["reference"])[0].body["callback_info"] == "attempt-1"
    assert status_code_of_refused(lambda: sandbox.charge_again(collect(sandbox).json()["reference"])) == 409


def test_fault_settings_charge_twice_and_reverse(sandbox: RunningSandbox, shop: Receiver) -> None:
    sandbox.change(
        charged_twice_percent=100, reversed_percent=100, reversed_status="refunded", reversed_after_seconds=5
    )

    reference = collect(sandbox, "00", callback_info="attempt-1").json()["reference"]

    wait_for_status(sandbox, reference, "REFUNDED")
    first, second = sorted(sandbox.payments("attempt-1"), key=lambda row: row["reference"] != reference)
    assert (first["reference"], first["status"]) == (reference, "REFUNDED")
    assert second["status"] == "SUCCESSFUL"


def test_reversal_follows_a_payment_the_payer_approved(sandbox: RunningSandbox) -> None:
    sandbox.change(reversed_percent=100, reversed_after_seconds=1)
    reference = collect(sandbox).json()["reference"]

    sandbox.approve(reference)

    assert wait_for_status(sandbox, reference, "REVERSED")["status"] == "REVERSED"


def test_payment_page_charges_again_and_reverses(sandbox: RunningSandbox, paid: str) -> None:
    page = sandbox.get(f"/payments/{paid}?lang=en").text
    assert "Give the money back" in page
    assert "Charge a second time" in page

    sandbox.post(f"/payments/{paid}", data={"act": "charge_again"})
    assert sandbox.charges("attempt-1") == 2
    sandbox.post(f"/payments/{paid}", data={"act": "reverse"})

    assert status_of(sandbox, paid)["status"] == "REVERSED"
    assert "Give the money back" not in sandbox.get(f"/payments/{paid}?lang=en").text
