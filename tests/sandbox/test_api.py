"""FeexPay's endpoints for collecting, status, history and balance."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.sandbox.feexpay import BEARER, collect, search_history, status_of, wait_for_status
from tests.sandbox.receiver import Receiver
from tests.sandbox.running import SHOP_ID, RunningSandbox, run_sandbox

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

PUSH = {
    "mtn": "2290161000050",
    "moov": "2290161000050",
    "celtiis_bj": "2290161000050",
    "togocom_tg": "22890000050",
    "moov_tg": "22890000050",
    "mtn_ci": "2250500000050",
    "orange_ml": "22370000050",
    "mobicash_ml": "22370000050",
    "mtn_cg": "242060000050",
}


def test_collect_answers_pending_with_a_uuid(sandbox: RunningSandbox) -> None:
    answer = collect(sandbox, callback_info="attempt-1", description="500 coins")
    body = answer.json()
    reference = body.pop("reference")
    assert answer.status_code == 200
    assert re.fullmatch(UUID, reference)
    assert body == {
        "message": "Accepted",
        "status": "PENDING",
        "amount": 5000,
        "description": "500 coins",
        "callback_info": "attempt-1",
        "phoneNumber": "2290161000050",
    }


@pytest.mark.parametrize("suffix", PUSH)
def test_every_push_network_accepts(sandbox: RunningSandbox, suffix: str) -> None:
    answer = collect(sandbox, suffix=suffix, phoneNumber=PUSH[suffix])
    assert (answer.status_code, answer.json()["status"]) == (200, "PENDING")


@pytest.mark.parametrize("suffix", ["celtiis", "coris_bj", "mtn_cm", "MTN"])
def test_unknown_suffix_is_an_unknown_path(sandbox: RunningSandbox, suffix: str) -> None:
    answer = collect(sandbox, suffix=suffix)
    assert answer.status_code == 404
    assert answer.json() == {
        "message": f"Cannot POST /api/transactions/public/requesttopay/{suffix}",
        "error": "Not Found",
        "statusCode": 404,
    }


def test_moov_benin_references_are_upper_case(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox, suffix="moov").json()["reference"]
    assert re.fullmatch(UUID, reference.lower())
    assert reference == reference.upper()


def test_moov_benin_answers_pending_unless_it_is_synchronous(sandbox: RunningSandbox) -> None:
    assert collect(sandbox, "08", suffix="moov").json()["status"] == "PENDING"


def test_celtiis_answers_with_its_own_reference_and_soap(sandbox: RunningSandbox) -> None:
    body = collect(sandbox, suffix="celtiis_bj").json()
    assert re.fullmatch("AG_20[0-9]{6}_[0-9a-f]{20}", body["reference"])
    assert body["message"] == "Accept the service request successfully."
    assert body["normal_response"].startswith("<?xml")
    assert body["response_operator"].startswith("<?xml")


@pytest.mark.parametrize("authorization", [None, "", "test_sandbox_key", "Bearer wrong", "Bearer é"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/transactions/public/requesttopay/mtn"),
        ("GET", "/api/transactions/public/single/status/any"),
        ("GET", "/api/transactions/public/single/status/"),
        ("POST", "/api/transactions/history"),
        ("GET", f"/api/balance/public/getByShop/{SHOP_ID}"),
    ],
)
def test_call_without_the_key_is_unauthorized(
    sandbox: RunningSandbox, method: str, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode()}
    answer = sandbox.session.request(method, sandbox.base_url + path, headers=headers, json={}, timeout=60)
    assert answer.status_code == 401
    assert answer.json() == {
        "success": False,
        "code": "UNAUTHORIZED",
        "message": "Unauthorized",
        "statusCode": 401,
    }


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"amount": None}, "isInt"),
        ({"amount": "5000"}, "isInt"),
        ({"amount": 5000.0}, "isInt"),
        ({"amount": True}, "isInt"),
        ({"amount": 99}, "min"),
        ({"amount": -5000}, "min"),
        ({"amount": 2_000_001}, "max"),
        ({"amount": 10**30}, "max"),
        ({"phoneNumber": None}, "isNotEmpty"),
        ({"phoneNumber": True}, "isNotEmpty"),
        ({"phoneNumber": ""}, "matches"),
        ({"phoneNumber": "+2290161000050"}, "matches"),
        ({"phoneNumber": "2290161000050\n"}, "matches"),
        ({"phoneNumber": "٢٢٩٠١٦١٠٠٠٠٥٠"}, "matches"),
        ({"phoneNumber": "2250161000050"}, "matches"),
        ({"phoneNumber": "2290261000050"}, "matches"),
        ({"phoneNumber": "22961000050"}, "length"),
        ({"phoneNumber": "22901610000500"}, "length"),
        ({"shop": None}, "isNotEmpty"),
        ({"shop": 1}, "isNotEmpty"),
        ({"description": "500-coins"}, "matches"),
        ({"description": "café"}, "matches"),
        ({"description": 5}, "isString"),
        ({"callback_info": {"id": 1}}, "isString"),
        ({"first_name": 5}, "isString"),
    ],
)
def test_invalid_body_is_refused_and_prompts_no_payer(
    sandbox: RunningSandbox, change: dict[str, Any], constraint: str
) -> None:
    answer = collect(sandbox, **change)
    body = answer.json()
    assert (answer.status_code, body["statusCode"], body["message"]) == (400, 400, "Validation failed")
    assert [(one["property"], list(one["constraints"])) for one in body["errors"]] == [
        (next(iter(change)), [constraint])
    ]
    assert sandbox.payments() == []


def test_every_wrong_property_is_named(sandbox: RunningSandbox) -> None:
    body = collect(sandbox, amount=1.5, phoneNumber="0161", shop=None).json()
    assert [one["property"] for one in body["errors"]] == ["phoneNumber", "amount", "shop"]


@pytest.mark.parametrize("amount", [100, 2_000_000])
def test_smallest_and_largest_amount_are_accepted(sandbox: RunningSandbox, amount: int) -> None:
    assert collect(sandbox, amount=amount).json()["amount"] == amount


def test_phone_number_may_be_a_json_number(sandbox: RunningSandbox) -> None:
    assert collect(sandbox, phoneNumber=2290161000050).json()["phoneNumber"] == "2290161000050"


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b"[" * 50_000, b'{"amount": ' + b"9" * 5000 + b"}"], ids=range(5)
)
def test_broken_json_gets_400(sandbox: RunningSandbox, raw: bytes) -> None:
    answer = sandbox.post("/api/transactions/public/requesttopay/mtn", data=raw, headers=BEARER)
    assert (answer.status_code, answer.json()["error"]) == (400, "Bad Request")


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"5"])
def test_body_that_is_no_object_lacks_every_property(sandbox: RunningSandbox, raw: bytes) -> None:
    answer = sandbox.post("/api/transactions/public/requesttopay/mtn", data=raw, headers=BEARER)
    assert [one["property"] for one in answer.json()["errors"]] == ["phoneNumber", "amount", "shop"]


def test_body_over_100_kb_is_refused(sandbox: RunningSandbox) -> None:
    answer = sandbox.post("/api/transactions/public/requesttopay/mtn", data=b" " * 100_001, headers=BEARER)
    assert (answer.status_code, answer.json()["message"]) == (413, "request entity too large")


def test_callback_info_of_any_text_comes_back_unchanged(sandbox: RunningSandbox, shop: Receiver) -> None:
    echo = 'é "<b>" \u0000 \u202e 😀'
    reference = collect(sandbox, callback_info=echo).json()["reference"]
    assert status_of(sandbox, reference)["callback_info"] == echo
    sandbox.approve(reference)
    assert shop.wait_for(reference)[0].body["callback_info"] == echo


def test_lone_surrogate_in_callback_info_becomes_a_replacement_character(sandbox: RunningSandbox) -> None:
    assert collect(sandbox, callback_info="a\ud800b").json()["callback_info"] == "a\ufffdb"


def test_another_shop_is_not_found(sandbox: RunningSandbox) -> None:
    answer = collect(sandbox, shop="OTHERSHOP000001")
    assert answer.status_code == 404
    assert answer.json()["message"] == "Merchant or Shop not found"


def test_posting_twice_makes_two_payments(sandbox: RunningSandbox) -> None:
    first, second = (collect(sandbox, callback_info="twice").json()["reference"] for _ in range(2))
    assert first != second
    assert sandbox.prompts("twice") == 2


def test_status_has_the_14_fields_while_pending(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox, callback_info="attempt-1", description="500 coins").json()["reference"]
    body = status_of(sandbox, reference)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body.pop("date"))
    assert body == {
        "reference": reference,
        "amount": 5000,
        "phoneNumber": "2290161000050",
        "status": "PENDING",
        "callback_info": "attempt-1",
        "responsecode": None,
        "responsemsg": None,
        "transref": reference,
        "serviceref": None,
        "comment": "",
        "reason": None,
        "description": "500 coins",
        "operator_id": None,
    }


def test_status_of_a_failure_gives_the_reason(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox).json()["reference"]
    sandbox.decline(reference)
    body = status_of(sandbox, reference)
    assert (body["status"], body["reason"], body["responsecode"]) == ("FAILED", "APPROVAL_REJECTED", "92")


def test_status_of_an_unknown_reference_is_not_found(sandbox: RunningSandbox) -> None:
    answer = sandbox.get("/api/transactions/public/single/status/nobody", headers=BEARER)
    assert answer.status_code == 404
    assert answer.json() == {"statusCode": 404, "message": "Transaction not found", "code": "NOT_FOUND"}


@pytest.mark.parametrize("end", ["", "/"])
def test_status_without_a_reference_gets_400(sandbox: RunningSandbox, end: str) -> None:
    answer = sandbox.get(f"/api/transactions/public/single/status{end}", headers=BEARER)
    assert answer.status_code == 400
    assert answer.json() == {"statusCode": 400, "message": "Reference is required", "code": "MISSING_REFERENCE"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/transactions/public/requesttopay/mtn"),
        ("GET", "/api/transactions/getrequesttopay/integration/any"),
        ("POST", "/api/v1/payments/initiate"),
    ],
)
def test_unknown_path_is_refused_as_by_feexpay(sandbox: RunningSandbox, method: str, path: str) -> None:
    answer = sandbox.session.request(method, sandbox.base_url + path, timeout=60)
    assert answer.status_code == 404
    assert answer.json() == {"message": f"Cannot {method} {path}", "error": "Not Found", "statusCode": 404}


def test_history_row_has_the_fields_that_identify_a_payment(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox, callback_info="attempt-1", description="500 coins").json()["reference"]
    answer = search_history(sandbox)
    body = answer.json()
    body["data"][0].pop("date")
    assert (answer.status_code, body["success"], body["total"]) == (200, True, 1)
    assert body["data"] == [
        {
            "reference": reference,
            "type": "PAYMENT_API",
            "status": "PENDING",
            "amount": 5000,
            "reseau": "MTN",
            "phone_number": "2290161000050",
            "financial_transaction_id": None,
            "custom_id": None,
            "description": "500 coins",
            "callback_info": "attempt-1",
            "reason": None,
        }
    ]


@pytest.mark.parametrize(
    ("filters", "echoes"),
    [
        ({}, ["moov", "paid", "asked"]),
        ({"status": "PENDING"}, ["moov", "asked"]),
        ({"status": "SUCCESSFUL"}, ["paid"]),
        ({"status": "FAILED"}, []),
        ({"reseau": "MOOV"}, ["moov"]),
        ({"reseau": "ALL", "status": "ALL", "type": "ALL"}, ["moov", "paid", "asked"]),
        ({"type": "PAYIN", "reseau": "MTN"}, ["paid", "asked"]),
        ({"type": "PAYOUT"}, []),
        ({"start_date": "2020-01-01", "end_date": "2020-02-01"}, []),
    ],
)
def test_history_filters_by_type_status_network_and_day(
    sandbox: RunningSandbox, filters: dict[str, str], echoes: list[str]
) -> None:
    collect(sandbox, callback_info="asked")
    sandbox.approve(collect(sandbox, callback_info="paid").json()["reference"])
    collect(sandbox, suffix="moov", callback_info="moov")
    body = search_history(sandbox, **filters).json()
    assert [row["callback_info"] for row in body["data"]] == echoes
    assert body["total"] == len(echoes)


def test_history_returns_500_rows_at_most_but_counts_all(sandbox: RunningSandbox) -> None:
    for _ in range(502):
        collect(sandbox)
    body = search_history(sandbox).json()
    assert (len(body["data"]), body["total"]) == (500, 502)


@pytest.mark.parametrize(
    ("filters", "wrong"),
    [
        ({"start_date": None}, "start_date"),
        ({"end_date": "23/11/2026"}, "end_date"),
        ({"start_date": "2026-02-30"}, "start_date"),
        ({"start_date": "2026-01-01", "end_date": "2026-02-02"}, "end_date"),
        ({"start_date": "2026-01-02", "end_date": "2026-01-01"}, "end_date"),
    ],
)
def test_history_refuses_an_invalid_period(sandbox: RunningSandbox, filters: dict[str, str | None], wrong: str) -> None:
    answer = search_history(sandbox, **filters)
    assert answer.status_code == 400
    assert [one["property"] for one in answer.json()["errors"]] == [wrong]


def test_history_accepts_31_days(sandbox: RunningSandbox) -> None:
    assert search_history(sandbox, start_date="2026-01-01", end_date="2026-02-01").status_code == 200


def test_history_accepts_the_first_and_last_day_of_the_calendar(sandbox: RunningSandbox) -> None:
    assert search_history(sandbox, start_date="9999-12-31", end_date="9999-12-31").json()["data"] == []
    assert search_history(sandbox, start_date="0001-01-01", end_date="0001-01-01").json()["data"] == []


def test_history_of_another_shop_is_not_found(sandbox: RunningSandbox) -> None:
    assert search_history(sandbox, shop="OTHERSHOP000001").status_code == 404


def test_balance_grows_by_successful_payments_only(sandbox: RunningSandbox) -> None:
    sandbox.approve(collect(sandbox, amount=700).json()["reference"])
    sandbox.approve(collect(sandbox, amount=300).json()["reference"])
    sandbox.decline(collect(sandbox, amount=900).json()["reference"])
    sandbox.approve(collect(sandbox, suffix="moov", amount=500).json()["reference"])
    body = sandbox.get(f"/api/balance/public/getByShop/{SHOP_ID}", headers=BEARER).json()
    inner = body["data"]["data"]
    balances = inner.pop("balances")
    assert (body["success"], body["data"]["success"]) == (True, True)
    assert inner == {"shop_public_id": SHOP_ID, "shop_name": "Coin & <Shop>", "shop_id": SHOP_ID}
    assert {reseau: amount for reseau, amount in balances.items() if amount} == {"MTN": 1000, "MOOV": 500}
    assert len(balances) == 19


def test_balance_of_another_shop_is_not_found(sandbox: RunningSandbox) -> None:
    answer = sandbox.get("/api/balance/public/getByShop/OTHERSHOP000001", headers=BEARER)
    assert (answer.status_code, answer.json()["message"]) == (404, "Merchant or Shop not found")


def test_get_shop_needs_no_key(sandbox: RunningSandbox) -> None:
    body = sandbox.get(f"/api/shop/{SHOP_ID}/get_shop").json()
    assert body == {"name": "Coin & <Shop>", "reference": SHOP_ID, "systemCardPay": None}
    assert sandbox.get("/api/shop/OTHERSHOP000001/get_shop").json()["message"] == "Shop introuvable"


@pytest.mark.parametrize(
    ("ending", "status", "code", "words"),
    [
        ("00", "SUCCESSFUL", "0", "SUCCESS"),
        ("01", "FAILED", "10", "INSUFFICIENT FUNDS"),
        ("03", "FAILED", "92", "CANCELLED"),
    ],
)
def test_synchronous_moov_answers_after_the_payers_decision(ending: str, status: str, code: str, words: str) -> None:
    with run_sandbox("--moov-synchronous") as sandbox:
        body = collect(sandbox, ending, suffix="moov").json()
    assert (body["status"], body["statusCode"]) == (status, code)
    assert body["response_operator"] == {"description": [words], "status": [code]}


def test_synchronous_moov_answers_pending_after_its_timeout() -> None:
    with run_sandbox("--moov-synchronous", time_scale=0.001) as sandbox:
        body = collect(sandbox, "04", suffix="moov").json()
        assert (body["status"], body["message"]) == ("PENDING", "Accepted")
        sandbox.approve(body["reference"])
        wait_for_status(sandbox, body["reference"], "SUCCESSFUL")
