"""Forced statuses, webhooks by hand, links and fault settings, by the control interface and by its pages."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from django_feexpay.sandbox.fault_settings import every_setting
from tests.sandbox.feexpay import BEARER, collect, status_of
from tests.sandbox.receiver import Receiver, receive_webhooks
from tests.sandbox.running import SHOP_ID, RunningSandbox, run_sandbox


def _control(sandbox: RunningSandbox, path: str, body: Any = None) -> requests.Response:
    return sandbox.post(f"/control/{path}", json=body)


def _collect(sandbox: RunningSandbox, **changes: Any) -> str:
    reference: str = collect(sandbox, **changes).json()["reference"]
    return reference


# Force a status


@pytest.mark.parametrize(
    ("fields", "status", "reason", "amount"),
    [
        ({"status": "SUCCESSFUL"}, "SUCCESSFUL", None, 5000),
        ({"status": "SUCCESSFUL", "paid_amount": 4000}, "SUCCESSFUL", None, 4000),
        ({"status": "FAILED"}, "FAILED", "APPROVAL_REJECTED", 5000),
        ({"status": "FAILED", "reason": "SENDER_ACCOUNT_NOT_ACTIVE"}, "FAILED", "SENDER_ACCOUNT_NOT_ACTIVE", 5000),
        ({"status": "PENDING"}, "PENDING", None, 5000),
    ],
)
def test_any_status_replaces_any_other(
    sandbox: RunningSandbox, fields: dict[str, Any], status: str, reason: str | None, amount: int
) -> None:
    reference = _collect(sandbox)
    sandbox.approve(reference)
    assert _control(sandbox, f"payments/{reference}/force", fields).json()["status"] == status
    body = status_of(sandbox, reference)
    assert (body["status"], body["reason"], body["amount"]) == (status, reason, amount)


def test_forced_status_ends_the_script_and_sends_a_webhook_by_default(sandbox: RunningSandbox, shop: Receiver) -> None:
    quiet, loud = _collect(sandbox, ending="05"), _collect(sandbox, ending="05")
    _control(sandbox, f"payments/{quiet}/force", {"status": "FAILED", "webhook": False})
    _control(sandbox, f"payments/{loud}/force", {"status": "FAILED", "reason": "EXPIRED"})
    assert shop.wait_for(loud)[0].body["reason"] == "EXPIRED"
    # A later payment with the same script has ended, so a remaining step of the first would have run, too.
    later = _collect(sandbox, ending="05")
    assert shop.wait_for(later)[0].body["status"] == "SUCCESSFUL"
    assert shop.about(quiet) == []
    assert status_of(sandbox, quiet)["status"] == "FAILED"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"status": "PAID"},
        {"status": "FAILED", "reason": 5},
        {"status": "SUCCESSFUL", "paid_amount": "5"},
        {"status": "SUCCESSFUL", "paid_amount": -1},
        {"status": "SUCCESSFUL", "webhook": "yes"},
        {"status": "SUCCESSFUL", "amount": 5},
        [],
    ],
)
def test_invalid_force_changes_nothing_and_names_the_error(sandbox: RunningSandbox, fields: object) -> None:
    reference = _collect(sandbox)
    answer = _control(sandbox, f"payments/{reference}/force", fields)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert status_of(sandbox, reference)["status"] == "PENDING"


# Webhooks by hand


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({}, {"status": "PENDING", "amount": 5000}),
        ({"status": "SUCCESSFUL"}, {"status": "SUCCESSFUL", "amount": 5000}),
        ({"status": "SUCCESSFUL", "amount": 1}, {"status": "SUCCESSFUL", "amount": 1}),
    ],
)
def test_webhook_has_the_given_status_and_amount(
    sandbox: RunningSandbox, shop: Receiver, fields: dict[str, Any], sent: dict[str, Any]
) -> None:
    reference = _collect(sandbox)
    assert _control(sandbox, f"payments/{reference}/webhook", fields).status_code == 200
    assert sent.items() <= shop.wait_for(reference)[0].body.items()
    assert status_of(sandbox, reference)["status"] == "PENDING"


def test_webhook_is_repeated_delayed_and_names_another_reference(sandbox: RunningSandbox, shop: Receiver) -> None:
    reference = _collect(sandbox, callback_info="often")
    _control(sandbox, f"payments/{reference}/webhook", {"count": 3, "delay_seconds": 1})
    assert len(shop.wait_for(reference, 3)) == 3
    _control(sandbox, f"payments/{reference}/webhook", {"reference": "unknown-reference"})
    assert shop.wait_for("unknown-reference")[0].body["order_id"] == "unknown-reference"


@pytest.mark.parametrize(
    "fields",
    [{"count": 0}, {"count": 101}, {"count": True}, {"delay_seconds": -1}, {"status": 5}, {"x": 1}, {"signed": 1}],
)
def test_invalid_webhook_is_not_sent(sandbox: RunningSandbox, fields: dict[str, Any]) -> None:
    reference = _collect(sandbox)
    assert _control(sandbox, f"payments/{reference}/webhook", fields).status_code == 400
    assert sandbox.payments()[0]["webhooks"] == []


def test_unsigned_webhook_has_no_signature_header() -> None:
    options = ("--webhook-mode=hmac", "--webhook-secret=s3cret-of-at-least-24-bytes", "--webhook-header=X-Seal")
    with receive_webhooks() as shop, run_sandbox(*options, webhook_url=shop.url) as sandbox:
        reference = _collect(sandbox)
        _control(sandbox, f"payments/{reference}/webhook", {"status": "SUCCESSFUL", "signed": False})
        assert "X-Seal" not in shop.wait_for(reference)[0].headers
        sandbox.resend(reference)
        assert "X-Seal" in shop.wait_for(reference, 2)[1].headers


def test_standard_webhook_signs_id_timestamp_and_body() -> None:
    key = b"a key of at least twenty-four bytes"
    secret = "whsec_" + base64.b64encode(key).decode()
    options = ("--webhook-mode=standard_webhooks", f"--webhook-secret={secret}")
    with receive_webhooks() as shop, run_sandbox(*options, webhook_url=shop.url) as sandbox:
        received = shop.wait_for(_paid(sandbox))[0]
    headers = {name.lower(): value for name, value in received.headers.items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + received.raw
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60


def _paid(sandbox: RunningSandbox) -> str:
    reference = _collect(sandbox)
    sandbox.approve(reference)
    return reference


def test_webhooks_of_a_payment_are_listed_with_their_bodies(sandbox: RunningSandbox, shop: Receiver) -> None:
    reference = _paid(sandbox)
    shop.wait_for(reference)
    (webhook,) = sandbox.get(f"/control/payments/{reference}/webhooks").json()["webhooks"]
    assert (webhook["body"]["reference"], webhook["body"]["phoneNumber"]) == (reference, "+229 01 •••••• 50")


@pytest.mark.parametrize("path", ["force", "webhook", "webhooks"])
def test_action_on_an_unknown_payment_is_not_found(sandbox: RunningSandbox, path: str) -> None:
    ask = sandbox.get if path == "webhooks" else sandbox.post
    assert ask(f"/control/payments/nobody/{path}").status_code == 404


# Links by hand


def _link(sandbox: RunningSandbox, **changes: Any) -> str:
    body = {"shop": SHOP_ID, "amount": 5000, "paymentMethod": "CARD", "range": 1, "expireIn": 30, "custom_id": "l"}
    answer = sandbox.post("/api/feexlinks/generate", json=body | changes, headers=BEARER)
    return urlsplit(answer.json()["urlPay"]).path.split("/")[2]


def test_link_is_paid_failed_and_cancelled_without_a_browser(sandbox: RunningSandbox) -> None:
    code = _link(sandbox)
    statuses = [_control(sandbox, f"links/{code}/{choice}").json()["status"] for choice in ("fail", "cancel", "pay")]
    assert statuses == ["FAILED", "FAILED", "SUCCESSFUL"]
    assert _control(sandbox, f"links/{code}/pay").status_code == 400
    (link,) = sandbox.get("/control/links", params={"custom_id": "l"}).json()["links"]
    assert (link["code"], link["uses"], link["range"]) == (code, 1, 1)
    assert sandbox.get("/control/links", params={"custom_id": "other"}).json()["links"] == []


def test_link_runs_a_magic_number_by_card_or_phone(sandbox: RunningSandbox) -> None:
    code = _link(sandbox, paymentMethod="ALL", range=0)
    card = _control(sandbox, f"links/{code}/pay", {"method": "MASTERCARD", "ending": "04"}).json()
    mobile = _control(sandbox, f"links/{code}/pay", {"method": "MTN", "phone": "2290161000004"}).json()
    assert [(one["status"], one["suffix"]) for one in (card, mobile)] == [("PENDING", "mastercard"), ("PENDING", "mtn")]
    assert _control(sandbox, f"links/{code}/pay", {"method": "MTN", "phone": "5"}).status_code == 400


@pytest.mark.parametrize(("switch", "back", "status"), [("deactivate", "activate", 400), ("expire", None, 410)])
def test_link_is_deactivated_or_expired(sandbox: RunningSandbox, switch: str, back: str | None, status: int) -> None:
    code = _link(sandbox)
    assert _control(sandbox, f"links/{code}/{switch}").status_code == 200
    assert _control(sandbox, f"links/{code}/pay").status_code == status
    if back:
        _control(sandbox, f"links/{code}/{back}")
        assert _control(sandbox, f"links/{code}/pay").json()["status"] == "SUCCESSFUL"


@pytest.mark.parametrize("path", ["links/nobody00/pay", "links/{code}/steal"])
def test_unknown_link_or_choice_is_not_found(sandbox: RunningSandbox, path: str) -> None:
    assert _control(sandbox, path.format(code=_link(sandbox))).status_code == 404


# The fault settings


def test_fault_settings_change_all_together_or_not_at_all(sandbox: RunningSandbox) -> None:
    before = sandbox.get("/control/conditions").json()["conditions"]
    assert list(before) == list(every_setting())
    answer = _control(sandbox, "conditions", {"success_code": 202, "seed": "many"})
    assert (answer.status_code, answer.json()["error"]) == (400, "seed must be a whole number from 0 to 1000000000")
    assert sandbox.get("/control/conditions").json()["conditions"] == before
    assert _control(sandbox, "conditions", {"success_code": 202}).json()["conditions"]["success_code"] == 202
    assert _control(sandbox, "conditions/reset").json()["conditions"] == before


@pytest.mark.parametrize("raw", [b"{", b"[]", b"5", b"\xff", b"[" * 50_000])
def test_body_that_is_no_object_is_refused(sandbox: RunningSandbox, raw: bytes) -> None:
    assert sandbox.post("/control/conditions", data=raw).status_code == 400


def test_settings_links_and_codes_survive_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite3"
    with run_sandbox(state=state) as sandbox:
        _control(sandbox, "conditions", {"success_code": 202, "blocked": ["moov"], "flows": {"orange_ml": "redirect"}})
        code = _link(sandbox)
        waiting = collect(sandbox, "00", "coris").json()["reference"]
        conditions = sandbox.get("/control/conditions").json()
        sandbox.kill()
    with run_sandbox(state=state) as sandbox:
        assert sandbox.get("/control/conditions").json() == conditions
        assert _control(sandbox, f"links/{code}/pay").json()["status"] == "SUCCESSFUL"
        second = collect(sandbox, "00", "coris", otp="123456")
        assert (second.status_code, second.json()["reference"]) == (202, waiting)


# The pages


def _text(answer: requests.Response) -> str:
    return " ".join(unescape(re.sub("<[^>]*>", " ", answer.text)).replace("\u00a0", " ").split())


def test_payment_page_shows_the_payment_and_its_buttons_work(sandbox: RunningSandbox, shop: Receiver) -> None:
    reference = _collect(sandbox, callback_info="attempt-1")
    path = f"/payments/{reference}"
    assert f'href="{path}"' in sandbox.get("/payments").text
    assert "2290161000050" not in sandbox.get(path).text
    for act in ("resend", "twice", "forge_success", "forge_failure", "forge_amount", "forge_unsigned"):
        assert sandbox.post(path, data={"act": act}).status_code == 200
    sent = sorted((one.body["status"], one.body["amount"]) for one in shop.wait_for(reference, 7))
    assert sent == [("FAILED", 5000), *[("PENDING", 5000)] * 3, *[("SUCCESSFUL", 5000)] * 2, ("SUCCESSFUL", 5001)]
    sandbox.post(path, data={"act": "forge_reference"})
    shop.wait_for("00000000-0000-4000-8000-000000000000")
    sandbox.post(path, data={"act": "approve"})
    page = _text(sandbox.get(path))
    assert "Successful Amount 5 000 F CFA · paid 5 000 F CFA Network MTN Number +229 01 •••••• 50" in page
    assert "Decide for the payer" not in page


def test_payment_page_forces_a_status(sandbox: RunningSandbox) -> None:
    reference = _paid(sandbox)
    form = {"act": "force", "status": "FAILED", "reason": "EXPIRED", "paid_amount": ""}
    assert "Failed · expired" in _text(sandbox.post(f"/payments/{reference}", data=form))
    assert status_of(sandbox, reference)["status"] == "FAILED"
    wrong = sandbox.post(f"/payments/{reference}", data=form | {"paid_amount": "much"})
    assert (wrong.status_code, "paid_amount must be a whole number" in _text(wrong)) == (400, True)


@pytest.mark.parametrize("form", [{"act": "steal"}, {}])
def test_unknown_button_changes_nothing(sandbox: RunningSandbox, form: dict[str, str]) -> None:
    assert sandbox.post(f"/payments/{_collect(sandbox)}", data=form).status_code == 404
    assert sandbox.post("/control", data=form).status_code == 404


def test_control_page_shows_and_saves_every_fault_setting(sandbox: RunningSandbox) -> None:
    page = sandbox.get("/control")
    assert all(f'id="{name}"' in page.text for name in every_setting())
    form = dict(re.findall(r'name="(\w+)" value="([^"]*)" autocomplete', page.text))
    saved = sandbox.post("/control", data=form | {"act": "change", "blocked": "mtn,moov", "webhook_v1": "true"})
    assert (saved.status_code, "Saved." in saved.text) == (200, True)
    assert "Saved." not in page.text
    conditions = sandbox.get("/control/conditions").json()["conditions"]
    assert (conditions["blocked"], conditions["webhook_v1"], conditions["latency_seconds"]) == (
        ["mtn", "moov"],
        True,
        20,
    )
    wrong = sandbox.post("/control", data={"act": "change", "seed": "many"})
    assert (wrong.status_code, "seed must be" in wrong.text) == (400, True)
    sandbox.post("/control", data={"act": "reset_settings"})
    assert sandbox.get("/control/conditions").json()["conditions"]["blocked"] == []


def test_unticked_checkbox_switches_off(sandbox: RunningSandbox) -> None:
    # A browser sends the hidden field before the box, and the box only when it is ticked.
    sandbox.post("/control", data=[("act", "change"), ("payouts_enabled", "false"), ("payouts_enabled", "true")])
    assert sandbox.get("/control/conditions").json()["conditions"]["payouts_enabled"] is True
    sandbox.post("/control", data={"act": "change", "payouts_enabled": "false"})
    assert sandbox.get("/control/conditions").json()["conditions"]["payouts_enabled"] is False


@pytest.mark.parametrize(("language", "words"), [("fr", "Réponses lentes"), ("en", "Slow answers")])
def test_control_page_is_in_french_and_english(sandbox: RunningSandbox, language: str, words: str) -> None:
    assert words in sandbox.get("/control", params={"lang": language}).text
