"""FeexPay's other endpoints: integration, payouts, exports, fees, v1 status."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox.feexpay import BEARER, collect, search_history, status_of, wait_for_status
from tests.sandbox.receiver import Receiver, receive_webhooks
from tests.sandbox.running import SHOP_ID, RunningSandbox, run_sandbox

INTEGRATION = "/api/transactions/requesttopay/integration"


def _set(sandbox: RunningSandbox, **conditions: Any) -> None:
    answer = sandbox.post("/control/conditions", json=conditions)
    assert answer.status_code == 200, answer.text


# The older endpoint to collect


def test_integration_names_the_network_in_a_json_body(sandbox: RunningSandbox) -> None:
    body = {"reseau": "MOOV", "phoneNumber": "2290161000050", "amount": 500, "shop": SHOP_ID}
    answer = sandbox.post(
        INTEGRATION,
        json=body | {"customId": "order-1", "callback_info": {"id": "a", "n": 1}, "currency": "XOF", "country": "229"},
        headers=BEARER,
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "PENDING")
    assert answer.json()["callback_info"] == {"id": "a", "n": 1}
    (row,) = search_history(sandbox).json()["data"]
    assert (row["reseau"], row["custom_id"], row["callback_info"]) == ("MOOV", "order-1", {"id": "a", "n": 1})


def test_integration_accepts_a_form(sandbox: RunningSandbox, shop: Receiver) -> None:
    form = {"reseau": "MTN", "phoneNumber": "2290161000050", "amount": "500", "shop": SHOP_ID, "callback_info": "a"}
    answer = sandbox.post(INTEGRATION, data=form, headers=BEARER)
    assert (answer.status_code, answer.json()["amount"]) == (200, 500)
    sandbox.approve(answer.json()["reference"])
    assert shop.wait_for(answer.json()["reference"])[0].body["callback_info"] == "a"


def test_integration_supports_the_redirect_flow(sandbox: RunningSandbox) -> None:
    body = {"reseau": "WAVE CI", "phoneNumber": "2250700000050", "amount": 500, "shop": SHOP_ID}
    assert "payment_url" in sandbox.post(INTEGRATION, json=body, headers=BEARER).json()


@pytest.mark.parametrize("reseau", [None, "mtn", "MTN CM", 5])
def test_integration_refuses_an_unknown_network(sandbox: RunningSandbox, reseau: object) -> None:
    answer = sandbox.post(INTEGRATION, json={"reseau": reseau}, headers=BEARER)
    assert (answer.status_code, answer.json()["code"]) == (400, "NETWORK_UNAVAILABLE")


def test_integration_validates_a_form_like_json(sandbox: RunningSandbox) -> None:
    answer = sandbox.post(INTEGRATION, data={"reseau": "MTN", "amount": "5.5"}, headers=BEARER)
    assert [one["property"] for one in answer.json()["errors"]] == ["phoneNumber", "amount", "shop"]


def test_v1_status_answers_only_with_its_setting(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox).json()["reference"]
    path = f"/api/transactions/getrequesttopay/integration/{reference}"
    assert sandbox.get(path).json()["message"] == f"Cannot GET {path}"
    _set(sandbox, v1_status=True)
    sandbox.approve(reference)
    body = sandbox.get(path).json()
    assert (body["amount"], body["currency"], body["status"]) == ("5000", "XOF", "SUCCESSFUL")
    assert body["payer"] == {"partyIdType": "MSISDN", "partyId": "2290161000050"}


# Payouts


def _payout(sandbox: RunningSandbox, route: str = "transfer/global", ending: str = "50", **changes: Any) -> Any:
    body = {
        "phoneNumber": f"22901610000{ending}",
        "amount": 500,
        "shop": SHOP_ID,
        "network": "MTN",
        "motif": "Winnings of may",
        "callback_info": "payout-1",
    } | changes
    body = {name: value for name, value in body.items() if value is not None}
    return sandbox.post(f"/api/payouts/public/{route}", json=body, headers=BEARER)


def _balance(sandbox: RunningSandbox, reseau: str = "MTN") -> int:
    body = sandbox.get(f"/api/balance/public/getByShop/{SHOP_ID}", headers=BEARER).json()
    balance: int = body["data"]["data"]["balances"][reseau]
    return balance


def _payout_status(sandbox: RunningSandbox, reference: str) -> dict[str, Any]:
    body: dict[str, Any] = sandbox.get(f"/api/payouts/status/public/{reference}", headers=BEARER).json()
    return body


def _wait_for_payout(sandbox: RunningSandbox, reference: str, status: str) -> None:
    give_up_at = time.monotonic() + 60
    while _payout_status(sandbox, reference)["status"] != status:
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_payout_is_pending_and_leaves_the_balance_at_once(sandbox: RunningSandbox, shop: Receiver) -> None:
    _set(sandbox, opening_balance=1000)
    answer = _payout(sandbox)
    reference = answer.json()["reference"]
    assert answer.json() == {
        "reference": reference,
        "status": "PENDING",
        "message": "Payout request accepted",
        "description": "Winnings of may",
        "phone_number": "2290161000050",
        "amount": 500,
        "callback_info": "payout-1",
    }
    assert (_balance(sandbox), _balance(sandbox, "MOOV")) == (500, 1000)
    _wait_for_payout(sandbox, reference, "SUCCESSFUL")
    body = shop.wait_for(reference)[0].body
    assert (body["status"], body["type"], body["callback_info"]) == ("SUCCESSFUL", "Payout", "payout-1")
    assert _balance(sandbox) == 500
    assert (sandbox.charges(), sandbox.prompts()) == (0, 0)


def test_payout_status_lacks_two_fields_and_has_its_own_endpoint(sandbox: RunningSandbox) -> None:
    _set(sandbox, opening_balance=1000)
    reference = _payout(sandbox).json()["reference"]
    payment = collect(sandbox).json()["reference"]
    expected = set(status_of(sandbox, payment)) - {"comment", "operator_id"}
    assert set(_payout_status(sandbox, reference)) == expected
    assert status_of(sandbox, reference)["code"] == "NOT_FOUND"
    assert _payout_status(sandbox, payment)["code"] == "NOT_FOUND"


def test_failed_payout_returns_to_the_balance(sandbox: RunningSandbox) -> None:
    _set(sandbox, opening_balance=1000)
    reference = _payout(sandbox, ending="02").json()["reference"]
    assert _balance(sandbox) == 500
    _wait_for_payout(sandbox, reference, "FAILED")
    assert _balance(sandbox) == 1000


def test_payout_over_the_balance_is_refused(sandbox: RunningSandbox) -> None:
    sandbox.approve(collect(sandbox, amount=499).json()["reference"])
    answer = _payout(sandbox)
    assert (answer.status_code, answer.json()["code"]) == (400, "ERR_INSUFFICIENT_BALANCE")
    assert _balance(sandbox) == 499


def test_payout_has_no_largest_amount_but_the_balance(sandbox: RunningSandbox) -> None:
    _set(sandbox, opening_balance=3_000_000)
    assert _payout(sandbox, amount=3_000_000).json()["status"] == "PENDING"
    assert _payout(sandbox, amount=3_000_000).json()["code"] == "ERR_INSUFFICIENT_BALANCE"


@pytest.mark.parametrize("path", ["/api/payouts/status/public/", "/api/payouts/status/public"])
def test_payout_status_without_a_reference_is_refused(sandbox: RunningSandbox, path: str) -> None:
    answer = sandbox.get(path, headers=BEARER)
    assert (answer.status_code, answer.json()["code"]) == (400, "MISSING_REFERENCE")


def test_payout_is_refused_when_payouts_are_disabled(sandbox: RunningSandbox) -> None:
    _set(sandbox, opening_balance=1000, payouts_enabled=False)
    assert _payout(sandbox).json()["code"] == "ERR_PAYOUT_NOT_ENABLED"


@pytest.mark.parametrize(
    ("route", "change", "wrong"),
    [
        ("transfer/global", {"network": None}, "network"),
        ("transfer/global", {"network": "CELTIIS BJ"}, "network"),
        ("togo", {"network": "MTN"}, "network"),
        ("transfer/global", {"amount": 49}, "amount"),
        ("mtn_ci", {"amount": 99, "phoneNumber": "2250500000050"}, "amount"),
        ("transfer/global", {"motif": None}, "motif"),
        ("transfer/global", {"motif": "x" * 31}, "motif"),
        ("transfer/global", {"motif": "café"}, "motif"),
        ("transfer/global", {"phoneNumber": "22961000050"}, "phoneNumber"),
        ("transfer/global", {"callback_info": 5}, "callback_info"),
    ],
)
def test_invalid_payout_is_refused(sandbox: RunningSandbox, route: str, change: dict[str, Any], wrong: str) -> None:
    answer = _payout(sandbox, route, **change)
    assert (answer.status_code, [one["property"] for one in answer.json()["errors"]]) == (400, [wrong])


@pytest.mark.parametrize("route", ["coris", "mtn", "transfer", "card"])
def test_payout_to_an_unsupported_network_is_an_unknown_path(sandbox: RunningSandbox, route: str) -> None:
    assert _payout(sandbox, route).json()["message"] == f"Cannot POST /api/payouts/public/{route}"


def test_payouts_use_the_routes_of_togo_and_of_one_network(sandbox: RunningSandbox) -> None:
    _set(sandbox, opening_balance=1000)
    togo = _payout(sandbox, "togo", network="MOOV TG", phoneNumber="22896000050")
    wave = _payout(sandbox, "wave_sn", network=None, phoneNumber="221770000050")
    assert [togo.json()["status"], wave.json()["status"]] == ["PENDING", "PENDING"]
    rows = search_history(sandbox, type="PAYOUT").json()["data"]
    assert [(row["type"], row["reseau"]) for row in rows] == [("PAYOUT_API", "WAVE SN"), ("PAYOUT_API", "MOOV TG")]
    assert search_history(sandbox, type="PAYIN").json()["data"] == []


def test_payout_needs_an_allowed_ip_address(sandbox: RunningSandbox) -> None:
    _set(sandbox, opening_balance=1000, allowed_addresses=["192.0.2.1"])
    answer = _payout(sandbox)
    assert (answer.status_code, answer.json()["code"]) == (403, "IP_NOT_ALLOWED")
    assert collect(sandbox).status_code == 200
    _set(sandbox, addresses_for_all=True)
    assert collect(sandbox).json()["code"] == "IP_NOT_ALLOWED"
    _set(sandbox, allowed_addresses=["127.0.0.1"])
    assert _payout(sandbox).status_code == 200


# The asynchronous history


def _request_export(sandbox: RunningSandbox) -> requests.Response:
    yesterday, today = (time.strftime("%Y-%m-%d", time.gmtime(at)) for at in (time.time() - 86_400, time.time()))
    body = {"start_date": yesterday, "end_date": today, "shop": SHOP_ID}
    return sandbox.post("/api/transactions/history/async", json=body, headers=BEARER)


def _export(sandbox: RunningSandbox, request_id: str) -> dict[str, Any]:
    body: dict[str, Any] = sandbox.get(f"/api/transactions/history/async/{request_id}", headers=BEARER).json()
    data: dict[str, Any] = body.get("data", body)
    return data


def _ended_export(sandbox: RunningSandbox, request_id: str) -> dict[str, Any]:
    give_up_at = time.monotonic() + 60
    while (export := _export(sandbox, request_id))["status"] == "PENDING":
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
    return export


def test_export_completes_with_a_file_and_a_webhook() -> None:
    with receive_webhooks() as shop, run_sandbox(webhook_url=shop.url) as sandbox:
        reference = collect(sandbox).json()["reference"]
        answer = _request_export(sandbox)
        data = answer.json()["data"]
        assert (answer.status_code, data["status"]) == (202, "PENDING")
        export = _ended_export(sandbox, data["request_id"])
        assert (export["status"], export["row_count"], export["processed_rows"]) == ("COMPLETED", 1, 1)
        rows = sandbox.get(urlsplit(export["result_url"]).path).json()
        assert [row["reference"] for row in rows] == [reference]
        event = shop.wait_for_one(lambda body: body.get("type") == "PAYMENT_HISTORY")
    assert "reference" not in event
    assert (event["status"], event["amount"], event["row_count"]) == ("COMPLETED", 0, 1)
    assert (event["request_id"], event["data"]) == (data["request_id"], rows)


def test_failed_export_sends_no_webhook(sandbox: RunningSandbox) -> None:
    _set(sandbox, history_fails=True)
    request_id = _request_export(sandbox).json()["data"]["request_id"]
    export = _ended_export(sandbox, request_id)
    assert (export["status"], export["error"]) == ("FAILED", "Export failed")
    assert sandbox.get(f"/exports/{request_id}.json").status_code == 404


def test_export_needs_a_webhook_address() -> None:
    with run_sandbox() as sandbox:
        answer = _request_export(sandbox)
    assert (answer.status_code, answer.json()["code"]) == (409, "HISTORY_WEBHOOK_NOT_CONFIGURED")


def test_unknown_export_is_not_found(sandbox: RunningSandbox) -> None:
    assert _export(sandbox, "nobody")["code"] == "NOT_FOUND"


@pytest.mark.parametrize("filters", [{"reseau": "WAVE BF"}, {"reseau": "mtn"}, {"type": "CARD"}, {"status": "PAID"}])
def test_history_accepts_only_the_documented_filters(sandbox: RunningSandbox, filters: dict[str, str]) -> None:
    answer = search_history(sandbox, **filters)
    assert (answer.status_code, [one["property"] for one in answer.json()["errors"]]) == (400, list(filters))


# Fees


@pytest.mark.parametrize(
    ("reseau", "amount", "total"),
    [("MTN", 5000, 5085), ("MTN", 101, 103), ("WAVE CI", 1000, 1032), ("ORANGE ML", 1000, 1000), ("VISA", 1000, 1045)],
)
def test_details_add_the_fee(sandbox: RunningSandbox, reseau: str, amount: int, total: int) -> None:
    body = {"reseau": reseau, "amount": amount, "shop": SHOP_ID}
    answer = sandbox.post("/api/transactions/details", json=body, headers=BEARER).json()
    assert (answer["iffees"], answer["amount"], answer["total"]) == (True, amount, total)


# Settings of the shop and the operators


def test_disabled_shop_is_refused(sandbox: RunningSandbox) -> None:
    _set(sandbox, shop_disabled=True)
    answer = collect(sandbox)
    assert (answer.status_code, answer.json()["message"]) == (404, "Shop is disabled")
    assert sandbox.get(f"/api/shop/{SHOP_ID}/get_shop").status_code == 400


@pytest.mark.parametrize(
    ("condition", "code", "body"),
    [
        ("not_activated", 404, {"message": "MTN channel not configured"}),
        ("blocked", 403, {"code": "ACCESS_DENIED"}),
        ("maintenance", 503, {"code": "NETWORK_UNAVAILABLE"}),
    ],
)
def test_network_closed_to_the_shop_is_refused(
    sandbox: RunningSandbox, condition: str, code: int, body: dict[str, str]
) -> None:
    _set(sandbox, **{condition: ["mtn"]})
    answer = collect(sandbox)
    assert answer.status_code == code
    assert body.items() <= answer.json().items()
    assert sandbox.payments() == []
    assert collect(sandbox, suffix="moov").status_code == 200


def test_celtiis_outage_answers_400(sandbox: RunningSandbox) -> None:
    _set(sandbox, celtiis_down=True)
    answer = collect(sandbox, suffix="celtiis_bj")
    assert (answer.status_code, answer.json()["message"]) == (400, "Celtiis BJ API Error")


@pytest.mark.parametrize("code", [200, 201, 202])
def test_success_code_is_a_setting(sandbox: RunningSandbox, code: int) -> None:
    _set(sandbox, success_code=code)
    assert collect(sandbox).status_code == code


def test_pending_status_may_be_in_pending_state(sandbox: RunningSandbox) -> None:
    _set(sandbox, in_pending_state=True)
    reference = collect(sandbox).json()["reference"]
    assert status_of(sandbox, reference)["status"] == "IN PENDING STATE"
    sandbox.approve(reference)
    assert status_of(sandbox, reference)["status"] == "SUCCESSFUL"


def test_history_may_show_callback_info_as_an_object(sandbox: RunningSandbox) -> None:
    collect(sandbox, callback_info="attempt-1")
    collect(sandbox)
    _set(sandbox, history_object=True)

    found = [row["callback_info"] for row in search_history(sandbox).json()["data"]]

    assert found == [None, {"callback_info": "attempt-1"}]


def test_new_payment_may_be_unknown_to_the_status_endpoint(sandbox: RunningSandbox) -> None:
    _set(sandbox, status_unknown_seconds=1e6)
    reference = collect(sandbox).json()["reference"]
    assert status_of(sandbox, reference)["code"] == "NOT_FOUND"
    _set(sandbox, status_unknown_seconds=0)
    assert status_of(sandbox, reference)["status"] == "PENDING"


def test_duplicate_request_may_be_refused(sandbox: RunningSandbox) -> None:
    _set(sandbox, duplicate_seconds=600)
    first = collect(sandbox)
    again = collect(sandbox)
    assert (first.status_code, again.status_code) == (200, 409)
    assert again.json()["code"] == "ERR_DUPLICATE_TRANSACTION"
    assert collect(sandbox, amount=5001).status_code == 200
    assert sandbox.prompts() == 2


def test_synchronous_moov_is_a_setting(sandbox: RunningSandbox) -> None:
    _set(sandbox, moov_synchronous=True)
    body = collect(sandbox, "01", suffix="moov").json()
    assert (body["status"], body["statusCode"], body["response_operator"]["status"]) == ("FAILED", "10", ["10"])
    assert re.fullmatch("[0-9A-F-]{36}", body["reference"])


def test_flow_of_a_network_is_a_setting(sandbox: RunningSandbox) -> None:
    _set(sandbox, flows={"orange_ml": "redirect"})
    body = collect(sandbox, suffix="orange_ml", phoneNumber="22370000000").json()
    assert "payment_url" in body
    wait_for_status(sandbox, body["reference"], "SUCCESSFUL")
