"""Every magic number of the sandbox with every flow; API, sandbox and webhooks over real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from pytest_django.live_server_helper import LiveServer

from django_feexpay.models import Attempt, Credit, Payment
from django_feexpay.payments import invariants, webhook_hints
from tests.api.caller import BASE, Caller
from tests.conftest import Configure
from tests.payments.fakes import Clock, next_due_at, sweep
from tests.sandbox.running import RunningSandbox

# The live server has its own threads and connections, and SQLite in memory cannot share a database with them.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

TIMEOUT_SECONDS = 60
PRICE = 5000

SUCCESSFUL, FAILED = ("successful", "credited", None), "failed"
EXPIRED = (FAILED, "expired", "expired")
REVIEW = ("pending", "under_review", None)

#: The result of each ending: status, detail, reason.
ENDINGS: dict[str, tuple[str, str, str | None]] = {
    "00": SUCCESSFUL,
    "01": (FAILED, "declined", "low_balance"),
    "02": (FAILED, "declined", "payer_not_found"),
    "03": (FAILED, "declined", "payer_declined"),
    "04": EXPIRED,
    "05": SUCCESSFUL,
    "06": SUCCESSFUL,
    "07": SUCCESSFUL,
    "08": SUCCESSFUL,
    "09": SUCCESSFUL,
    "10": SUCCESSFUL,
    "11": ("pending", "checking", None),  # for a day, until it is certain that it never arrived
    "12": (FAILED, "declined", "low_balance"),
    "13": REVIEW,
    "14": EXPIRED,
    "15": SUCCESSFUL,
    "16": SUCCESSFUL,
    "17": SUCCESSFUL,
    "18": SUCCESSFUL,
}
#: The last status at the sandbox; for the other endings it is SUCCESSFUL, or there is no payment ("11").
SANDBOX_STATUSES = {"01": "FAILED", "02": "FAILED", "03": "FAILED", "04": "PENDING", "12": "FAILED", "14": "PENDING"}

# flow: (provider, number without its ending, other fields)
FLOWS: dict[str, tuple[str, str, dict[str, str]]] = {
    "push": ("mtn_bj", "01610000", {}),
    "synchronous": ("moov_bj", "01950000", {}),
    "push in SOAP": ("celtiis_bj", "01400000", {}),
    "code first": ("orange_bf", "740000", {"otp": "123456"}),
    "code later": ("coris_bj", "01610000", {}),
    "operator's page": ("wave_ci", "07000000", {}),
}


@pytest.fixture
def sandbox_with_webhooks(
    sandbox: RunningSandbox, live_server: LiveServer, configure: Configure, clock: Clock
) -> Iterator[RunningSandbox]:
    """The sandbox, sending its webhooks to this process, whose rate limit is never reached."""
    configure(RATE_LIMIT="100000/min")
    sandbox.post("/control/conditions", json={"webhook_url": f"{live_server.url}{BASE}webhook/"}).raise_for_status()
    yield sandbox
    sandbox.post("/control/conditions/reset").raise_for_status()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait in real time, because the sandbox has its own clock."""
    give_up_at = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.02)


def has_finished(sandbox: RunningSandbox, attempts: dict[str, str]) -> bool:
    rows = {row["echo"] or row["custom_id"]: row["status"] for row in sandbox.payments()}
    wanted = {echo: SANDBOX_STATUSES.get(ending, "SUCCESSFUL") for ending, echo in attempts.items() if ending != "11"}
    return {echo: rows.get(echo) for echo in wanted} == wanted


def settle_all(clock: Clock) -> None:
    """Run every poll of the next forty minutes when it is due: past every expiry and the polls that follow."""
    end = clock.at.timestamp() + 2400
    for _ in range(500):
        instant = next_due_at()
        if instant is None or instant.timestamp() > end:
            webhook_hints.match_late_references()  # the worker does this at each heartbeat
            return
        clock.advance_to(instant)
        sweep()
    raise AssertionError("polls are still due after 500 sweeps")


def press_button(sandbox: RunningSandbox, payment: dict[str, Any], method: str, choice: str, **form: str) -> None:
    """Press a button on the payment page. Some endings cut this connection: it is the one of the payer's browser."""
    with suppress(requests.ConnectionError):
        path = urlsplit(payment["redirect_url"]).path
        sandbox.post(path, data={"choice": choice, "method": method, **form}, allow_redirects=False)


def results(caller: Caller, ids: dict[str, str]) -> dict[str, tuple[str, str, str | None]]:
    bodies = {ending: caller.get(f"{payment_id}/status/").json() for ending, payment_id in ids.items()}
    return {
        ending: (body["status"], body["detail"], body["reason"] and body["reason"]["code"])
        for ending, body in bodies.items()
    }


def attempt_ids(ids: dict[str, str]) -> dict[str, str]:
    attempts = {str(payment_id): str(pk) for pk, payment_id in Attempt.objects.values_list("pk", "payment_id")}
    return {ending: attempts[payment_id] for ending, payment_id in ids.items()}


def assert_endings(sandbox: RunningSandbox, caller: Caller, ids: dict[str, str]) -> None:
    assert results(caller, ids) == ENDINGS
    paid = {ids[ending] for ending, end in ENDINGS.items() if end == SUCCESSFUL}
    assert {str(pk) for pk in Credit.objects.values_list("pk", flat=True)} == paid
    assert {credit.amount for credit in Credit.objects.all()} == {PRICE}
    rows = sandbox.payments()
    by_attempt = {
        echo: [row for row in rows if echo in (row["echo"], row["custom_id"])] for echo in attempt_ids(ids).values()
    }
    assert max(sum(row["charged"] for row in mine) for mine in by_attempt.values()) == 1
    assert max(sum(row["prompts"] for row in mine) for mine in by_attempt.values()) == 1
    assert list(invariants.violations()) == []


@pytest.mark.parametrize("flow", FLOWS)
def test_every_ending_is_reached(
    flow: str, caller: Caller, sandbox_with_webhooks: RunningSandbox, clock: Clock
) -> None:
    provider, number, more = FLOWS[flow]
    ids: dict[str, str] = {}
    for ending in ENDINGS:
        fields: dict[str, Any] = {"provider": provider, "phone": number + ending, "merchant_reference": ending, **more}
        body = caller.initiate(amount=PRICE, **fields).json()
        ids[ending] = body["id"]
        if body["otp_required"]:
            assert caller.post(f"{body['id']}/otp/", {"otp": "123456"}).status_code == 200
    sweep()  # send the queued payments, as the worker does
    wait_until(lambda: has_finished(sandbox_with_webhooks, attempt_ids(ids)), "the sandbox did not finish")

    settle_all(clock)

    assert_endings(sandbox_with_webhooks, caller, ids)


def test_lost_answer_is_found_in_a_history_that_shows_the_echo_as_an_object(
    caller: Caller, sandbox_with_webhooks: RunningSandbox, clock: Clock
) -> None:
    sandbox_with_webhooks.post(
        "/control/conditions", json={"history_object": True, "webhook_lost_percent": 100}
    ).raise_for_status()
    started = caller.initiate(amount=PRICE, phone="0161000010").json()
    assert (started["detail"], started["reference"]) == ("checking", None)

    settle_all(clock)

    assert results(caller, {"10": started["id"]}) == {"10": SUCCESSFUL}


def test_every_ending_of_a_card_is_reached(caller: Caller, sandbox_with_webhooks: RunningSandbox, clock: Clock) -> None:
    ids: dict[str, str] = {}
    for ending in ENDINGS:
        body = caller.initiate(provider="visa", phone=None, amount=PRICE, merchant_reference=ending).json()
        assert (body["detail"], body["reference"]) == ("redirect", None)
        ids[ending] = body["id"]
        press_button(sandbox_with_webhooks, body, "VISA", "pay", ending=ending)
    wait_until(lambda: has_finished(sandbox_with_webhooks, attempt_ids(ids)), "the sandbox did not finish")

    settle_all(clock)

    # With ending 11 the page answers the payer's browser with 503 and makes no payment, so the attempt expires.
    expected = ENDINGS | {"11": results(caller, ids)["11"]}
    assert results(caller, ids) == expected
    assert expected["11"][0] == "failed"
    paid = {ids[ending] for ending, end in expected.items() if end == SUCCESSFUL}
    assert {str(pk) for pk in Credit.objects.values_list("pk", flat=True)} == paid
    assert sandbox_with_webhooks.charges() == len(paid) + 1  # the review of ending 13: one franc too little
    assert list(invariants.violations()) == []


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ([], EXPIRED),
        (["fail"], (FAILED, "declined", "payer_declined")),
        (["fail", "pay"], SUCCESSFUL),
        (["pay", "pay"], SUCCESSFUL),
    ],
)
def test_button_on_the_card_page_decides(
    choices: list[str],
    expected: tuple[str, str, str | None],
    caller: Caller,
    sandbox_with_webhooks: RunningSandbox,
    clock: Clock,
) -> None:
    body = caller.initiate(provider="mastercard", phone=None, amount=PRICE).json()
    for choice in choices:
        press_button(sandbox_with_webhooks, body, "MASTERCARD", choice)
        wait_until(
            lambda: all(row["status"] != "PENDING" for row in sandbox_with_webhooks.payments()),
            "the button had no effect",
        )

    settle_all(clock)

    [status] = results(caller, {"": body["id"]}).values()
    assert status[0] == expected[0]
    assert (Credit.objects.count(), sandbox_with_webhooks.charges()) == ((1, 1) if expected == SUCCESSFUL else (0, 0))
    assert Payment.objects.count() == 1


def test_wrong_and_expired_codes_charge_nothing(
    caller: Caller, sandbox_with_webhooks: RunningSandbox, clock: Clock
) -> None:
    for code in ("000000", "999999"):
        first = caller.initiate(
            provider="orange_bf", phone="74000000", otp=code, merchant_reference=f"bf {code}"
        ).json()
        later = caller.initiate(provider="coris_bj", phone="0161000000", merchant_reference=f"bj {code}").json()
        assert caller.post(f"{later['id']}/otp/", {"otp": code}).status_code == 422
        settle_all(clock)
        for body in (first, later):
            now = caller.get(f"{body['id']}/status/").json()
            assert (now["status"], now["reason"]["code"], now["can_retry"]) == ("failed", "otp_rejected", True)
    assert (Credit.objects.count(), sandbox_with_webhooks.charges()) == (0, 0)
