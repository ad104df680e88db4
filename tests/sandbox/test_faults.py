"""Fault injection by percentage and seed, in answers and in webhooks."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests

from django_feexpay.sandbox.fault_settings import OPERATIONS, FaultSettings, SettingError, changed
from django_feexpay.sandbox.faults import Fault, fault_of, may_fail, operation_of
from tests.sandbox.feexpay import BEARER, collect, search_history, sent_statuses, status_of
from tests.sandbox.receiver import Receiver, receive_webhooks
from tests.sandbox.running import SHOP_ID, RunningSandbox, run_sandbox


def _set(sandbox: RunningSandbox, **conditions: Any) -> None:
    answer = sandbox.post("/control/conditions", json=conditions)
    assert answer.status_code == 200, answer.text


def _outcomes(sandbox: RunningSandbox, count: int = 30) -> list[str]:
    """The outcome of each of `count` requests to collect."""
    outcomes = []
    for _ in range(count):
        try:
            answer = collect(sandbox)
        except requests.ConnectionError:
            outcomes.append("reset")
        else:
            try:
                outcomes.append(f"{answer.status_code} {answer.json().get('status', '')}")
            except json.JSONDecodeError:
                outcomes.append(f"{answer.status_code} broken")
    return outcomes


EVERY_FAULT = {
    "reset_percent": 15,
    "error_500_percent": 15,
    "html_502_percent": 15,
    "error_503_percent": 15,
    "rate_limit_percent": 15,
    "truncate_percent": 15,
}


def test_same_seed_gives_the_same_faults(sandbox: RunningSandbox) -> None:
    _set(sandbox, seed=7, **EVERY_FAULT)
    first = _outcomes(sandbox)
    sandbox.reset()
    _set(sandbox, seed=7, **EVERY_FAULT)
    assert _outcomes(sandbox) == first
    assert {"reset", "500 ", "502 broken", "503 ", "429 ", "200 broken", "200 PENDING"} == set(first)
    sandbox.reset()
    _set(sandbox, seed=8, **EVERY_FAULT)
    assert _outcomes(sandbox) != first


def test_sequence_of_faults_continues_after_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite3"
    with run_sandbox(state=state) as sandbox:
        _set(sandbox, seed=7, **EVERY_FAULT)
        whole = _outcomes(sandbox, 20)
        sandbox.reset()
        _set(sandbox, seed=7, **EVERY_FAULT)
        before = _outcomes(sandbox, 10)
        sandbox.kill()
    with run_sandbox(state=state) as sandbox:
        assert before + _outcomes(sandbox, 10) == whole


def test_fault_happens_before_or_after_the_request_is_handled(sandbox: RunningSandbox) -> None:
    _set(sandbox, seed=1, html_502_percent=100)
    assert set(_outcomes(sandbox, 20)) == {"502 broken"}
    assert 0 < len(sandbox.payments()) < 20


@pytest.mark.parametrize(("condition", "acted_on"), [("rate_limit_percent", 0), ("truncate_percent", 10)])
def test_429_charges_nothing_and_a_cut_answer_follows_the_charge(
    sandbox: RunningSandbox, condition: str, acted_on: int
) -> None:
    _set(sandbox, **{condition: 100})
    _outcomes(sandbox, 10)
    assert len(sandbox.payments()) == acted_on


@pytest.mark.parametrize("code", ["400", "429", "500", "503"])
@pytest.mark.parametrize("named", [0, 100])
def test_accepted_request_may_be_answered_with_an_error(sandbox: RunningSandbox, code: str, named: int) -> None:
    _set(
        sandbox,
        charged_error_percent=100,
        charged_error_codes=[code],
        charged_error_named_percent=named,
        retry_after_seconds=7,
    )

    answer = collect(sandbox, "50")

    [payment] = sandbox.payments()
    body = answer.json()
    assert (answer.status_code, body["statusCode"], payment["prompts"]) == (int(code), int(code), 1)
    assert (body.get("reference"), body.get("status")) == ((payment["reference"], "PENDING") if named else (None, None))
    assert answer.headers.get("Retry-After") == ("7" if code == "429" else None)
    sandbox.approve(payment["reference"])
    assert status_of(sandbox, payment["reference"])["status"] == "SUCCESSFUL"


def test_truncated_answer_is_not_replaced_by_a_charged_error(sandbox: RunningSandbox) -> None:
    _set(sandbox, charged_error_percent=100, charged_error_codes=["500"], charged_error_named_percent=100)

    answer = collect(sandbox, "18")

    [payment] = sandbox.payments()
    assert (answer.status_code, payment["prompts"]) == (200, 1)
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_charged_error_is_random_and_affects_only_collect(sandbox: RunningSandbox) -> None:
    _set(sandbox, seed=3, charged_error_percent=50, charged_error_named_percent=50)

    outcomes = _outcomes(sandbox, 40)

    assert len(sandbox.payments()) == 40
    assert {outcome[:3] for outcome in outcomes} == {"200", "400", "429", "500", "503"}
    assert {outcome[4:] for outcome in outcomes if outcome[:3] != "200"} == {"", "PENDING"}
    assert search_history(sandbox).status_code == 200


def test_refused_request_keeps_its_own_error(sandbox: RunningSandbox) -> None:
    _set(sandbox, charged_error_percent=100, charged_error_codes=["500"], shop_disabled=True)

    answer = collect(sandbox)

    assert (answer.status_code, answer.json()["message"]) == (404, "Shop is disabled")


def test_429_has_a_retry_after_header(sandbox: RunningSandbox) -> None:
    _set(sandbox, rate_limit_percent=100, retry_after_seconds=7)
    answer = collect(sandbox)
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (
        429,
        "RATE_LIMIT_EXCEEDED",
        "7",
    )


def test_faults_may_be_limited_to_some_calls(sandbox: RunningSandbox) -> None:
    _set(sandbox, error_500_percent=100, fault_calls=["history", "balance"])
    reference = collect(sandbox).json()["reference"]
    assert status_of(sandbox, reference)["status"] == "PENDING"
    assert search_history(sandbox).status_code == 500
    assert sandbox.get(f"/api/balance/public/getByShop/{SHOP_ID}", headers=BEARER).status_code == 500


def test_slow_answer_is_complete_and_the_payment_continues() -> None:
    with run_sandbox(time_scale=0.05) as sandbox:
        _set(sandbox, latency_percent=100, latency_seconds=10, fault_calls=["collect"])
        started_at = time.monotonic()
        answer = collect(sandbox, "00").json()
        assert time.monotonic() - started_at >= 0.5
        assert answer["status"] == "PENDING"
        assert status_of(sandbox, answer["reference"])["status"] == "SUCCESSFUL"


@pytest.mark.parametrize("ending", ["09", "18"])
def test_fault_injection_keeps_the_fault_of_a_magic_number(sandbox: RunningSandbox, ending: str) -> None:
    _set(sandbox, truncate_percent=100)
    with pytest.raises((requests.ConnectionError, json.JSONDecodeError)):
        collect(sandbox, ending).json()
    assert sandbox.charges() == 1


def test_control_interface_has_no_faults(sandbox: RunningSandbox) -> None:
    _set(sandbox, error_500_percent=100)
    assert sandbox.payments() == []


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/api/transactions/public/requesttopay/mtn", "collect"),
        ("/api/transactions/requesttopay/integration", "collect"),
        ("/api/transactions/public/single/status/x", "status"),
        ("/api/transactions/history", "history"),
        ("/api/balance/public/getByShop/x", "balance"),
        ("/api/feexlinks/generate", "link"),
        ("/api/payouts/public/mtn_ci", "payout"),
        ("/api/shop/x/get_shop", "other"),
    ],
)
def test_every_path_belongs_to_an_operation(path: str, operation: str) -> None:
    assert operation_of(path) == operation
    assert operation in OPERATIONS


def test_share_of_faults_matches_the_percentages() -> None:
    conditions = FaultSettings(seed=3, reset_percent=20.0, rate_limit_percent=30.0)
    kinds = Counter(fault_of(conditions, "collect", count).kind for count in range(2000))
    assert 300 < kinds["reset"] < 500
    assert 500 < kinds["rate_limit"] < 700
    assert set(kinds) == {"", "reset", "rate_limit"}


def test_default_settings_inject_no_fault() -> None:
    assert not may_fail(FaultSettings(), "collect")
    assert fault_of(FaultSettings(), "collect", 1) == Fault()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nothing", 1),
        ("success_code", 204),
        ("success_code", True),
        ("flows", {"mtn": "otp"}),
        ("flows", "orange_sn"),
        ("flows", 5),
        ("moov_synchronous", "perhaps"),
        ("status_unknown_seconds", -1),
        ("status_unknown_seconds", "nan"),
        ("latency_percent", 101),
        ("latency_percent", None),
        ("latency_percent", True),
        ("latency_percent", 10**400),
        ("not_activated", ["mtn_cm"]),
        ("not_activated", 5),
        ("allowed_addresses", ["localhost"]),
        ("fault_calls", ["pay"]),
        ("seed", 1.5),
        ("seed", "٣"),
        ("seed", ""),
        ("opening_balance", -1),
        ("retry_after_seconds", 10**30),
        ("webhook_url", "shop.test"),
        ("webhook_url", "ftp://shop.test"),
        ("webhook_url", "http://["),
        ("webhook_url", 5),
    ],
)
def test_invalid_setting_is_refused_with_its_name(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=name):
        changed(FaultSettings(), {name: value})


def test_settings_are_read_from_text_as_from_json() -> None:
    from_text = changed(
        FaultSettings(),
        {"flows": "orange_sn=otp, moov_bf=push", "blocked": "mtn, moov", "latency_percent": "12.5", "webhook_v1": "on"},
    )
    from_json = changed(
        FaultSettings(),
        {
            "flows": {"orange_sn": "otp", "moov_bf": "push"},
            "blocked": ["mtn", "moov"],
            "latency_percent": 12.5,
            "webhook_v1": True,
        },
    )
    assert from_text == from_json


# Faults of webhooks


def _paid(sandbox: RunningSandbox) -> str:
    reference: str = collect(sandbox).json()["reference"]
    sandbox.approve(reference)
    return reference


def test_lost_webhook_is_listed_and_never_sent(sandbox: RunningSandbox, shop: Receiver) -> None:
    _set(sandbox, webhook_lost_percent=100)
    reference = _paid(sandbox)
    _set(sandbox, webhook_lost_percent=0)
    shop.wait_for(_paid(sandbox))
    assert shop.about(reference) == []
    (webhook,) = sandbox.payments()[1]["webhooks"]
    assert (webhook["outcome"], webhook["attempts"]) == ("lost", 0)


def test_duplicate_webhook_has_the_same_body(sandbox: RunningSandbox, shop: Receiver) -> None:
    _set(sandbox, webhook_duplicate_percent=100)
    first, second = shop.wait_for(_paid(sandbox), 2)
    assert first.raw == second.raw


def test_disorder_sends_an_older_status_after_the_newer(sandbox: RunningSandbox, shop: Receiver) -> None:
    _set(sandbox, webhook_disorder_percent=100)
    reference = _paid(sandbox)
    assert {one.body["status"] for one in shop.wait_for(reference, 2)} == {"SUCCESSFUL", "PENDING"}
    assert sent_statuses(sandbox, reference) == ["SUCCESSFUL", "PENDING"]


def test_forged_webhook_has_another_status_or_amount(sandbox: RunningSandbox, shop: Receiver) -> None:
    _set(sandbox, webhook_forged_percent=100)
    forged = set()
    for _ in range(12):
        bodies = [one.body for one in shop.wait_for(_paid(sandbox), 2)]
        forged |= {(body["status"], body["amount"]) for body in bodies}
    assert forged == {("SUCCESSFUL", 5000), ("FAILED", 5000), ("SUCCESSFUL", 5001)}


def test_webhook_may_be_followed_by_one_with_an_unknown_reference(sandbox: RunningSandbox, shop: Receiver) -> None:
    _set(sandbox, webhook_unknown_percent=100)
    echo = "unknown-beside"
    reference = collect(sandbox, callback_info=echo).json()["reference"]
    sandbox.approve(reference)
    stranger = shop.wait_for_one(lambda body: body.get("callback_info") == echo and body["reference"] != reference)
    assert status_of(sandbox, stranger["reference"])["code"] == "NOT_FOUND"


def test_delayed_webhook_is_not_sent_yet(sandbox: RunningSandbox, shop: Receiver) -> None:
    _set(sandbox, webhook_delay_seconds=1e6)
    reference = _paid(sandbox)
    _set(sandbox, webhook_delay_seconds=0)
    shop.wait_for(_paid(sandbox))
    assert shop.about(reference) == []


def test_webhook_may_arrive_before_the_answer(sandbox: RunningSandbox, shop: Receiver) -> None:
    _set(sandbox, webhook_before_answer=True)
    reference = collect(sandbox).json()["reference"]
    assert [one.body["status"] for one in shop.about(reference)] == ["PENDING"]


def test_failure_sends_no_webhook_when_switched_off(sandbox: RunningSandbox, shop: Receiver) -> None:
    _set(sandbox, webhook_on_failure=False)
    failed = collect(sandbox).json()["reference"]
    sandbox.decline(failed)
    shop.wait_for(_paid(sandbox))
    assert shop.about(failed) == []


def test_v1_webhook_has_a_numeric_phone_and_no_operator_reference(sandbox: RunningSandbox, shop: Receiver) -> None:
    _set(sandbox, webhook_v1=True)
    body = shop.wait_for(_paid(sandbox))[0].body
    assert body["phoneNumber"] == 2290161000050
    assert "ref_operator" not in body


def test_initial_settings_come_from_options() -> None:
    with receive_webhooks() as shop:
        options = ("--set=webhook_v1=true", "--set=success_code=202", "--set=webhook_on_failure=no")
        with run_sandbox(*options, webhook_url=shop.url) as sandbox:
            assert collect(sandbox).status_code == 202
            _set(sandbox, success_code=201)
            sandbox.reset()
            assert collect(sandbox).status_code == 202


def test_webhook_address_changes_while_the_sandbox_runs() -> None:
    with receive_webhooks() as shop, run_sandbox() as sandbox:
        _set(sandbox, webhook_url=shop.url)
        reference = _paid(sandbox)
        assert shop.wait_for(reference)[0].body["status"] == "SUCCESSFUL"
        sandbox.reset()
        _paid(sandbox)
        assert sandbox.payments()[0]["webhooks"] == []
