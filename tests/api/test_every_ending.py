"""Every magic number with every flow, with the API, the sandbox and the webhooks over real sockets."""

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

# The live server has threads and a connection of its own, which SQLite in memory does not give it.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

TIMEOUT_SECONDS = 60
PRICE = 5000

SUCCESSFUL, FAILED = ("successful", "credited", None), "failed"
EXPIRED = (FAILED, "expired", "expired")
REVIEW = ("pending", "under_review", None)

#: What each ending comes to: status, detail, reason.
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
    "11": ("pending", "checking", None),  # for a day, until it surely never arrived
    "12": (FAILED, "declined", "low_balance"),
    "13": REVIEW,
    "14": EXPIRED,
    "15": SUCCESSFUL,
    "16": SUCCESSFUL,
    "17": SUCCESSFUL,
    "18": SUCCESSFUL,
}
#: Where the sandbox itself comes to rest; elsewhere it is SUCCESSFUL or never was there.
AT_SANDBOX = {"01": "FAILED", "02": "FAILED", "03": "FAILED", "04": "PENDING", "12": "FAILED", "14": "PENDING"}

# flow: (provider, number without its ending, what goes along)
FLOWS: dict[str, tuple[str, str, dict[str, str]]] = {
    "push": ("mtn_bj", "01610000", {}),
    "synchronous": ("moov_bj", "01950000", {}),
    "push in SOAP": ("celtiis_bj", "01400000", {}),
    "code first": ("orange_bf", "740000", {"otp": "123456"}),
    "code later": ("coris_bj", "01610000", {}),
    "operator's page": ("wave_ci", "07000000", {}),
}


@pytest.fixture
def open_doors(
    sandbox: RunningSandbox, live_server: LiveServer, configure: Configure, clock: Clock
) -> Iterator[RunningSandbox]:
    """The sandbox sends its webhooks to this very process, which has no limit a minute."""
    configure(RATE_LIMIT="100000/min")
    sandbox.post("/control/conditions", json={"webhook_url": f"{live_server.url}{BASE}webhook/"}).raise_for_status()
    yield sandbox
    sandbox.post("/control/conditions/reset").raise_for_status()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """For what happens in the sandbox, whose time is not ours."""
    give_up_at = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.02)


def at_rest(sandbox: RunningSandbox, echoes: dict[str, str]) -> bool:
    rows = {row["echo"] or row["custom_id"]: row["status"] for row in sandbox.payments()}
    wanted = {echo: AT_SANDBOX.get(ending, "SUCCESSFUL") for ending, echo in echoes.items() if ending != "11"}
    return {echo: rows.get(echo) for echo in wanted} == wanted


def settle_all(clock: Clock) -> None:
    """Look whenever it is time to, until forty minutes have gone by: past every expiry and the looks that follow."""
    end = clock.at.timestamp() + 2400
    for _ in range(500):
        instant = next_due_at()
        if instant is None or instant.timestamp() > end:
            webhook_hints.match_late_references()  # the worker does, at its heartbeat
            return
        clock.advance_to(instant)
        sweep()
    raise AssertionError("it never comes to rest")


def press(sandbox: RunningSandbox, payment: dict[str, Any], method: str, choice: str, **form: str) -> None:
    """A button on FeexPay's page; a line that is cut then is cut for the payer's browser, not for us."""
    with suppress(requests.ConnectionError):
        path = urlsplit(payment["redirect_url"]).path
        sandbox.post(path, data={"choice": choice, "method": method, **form}, allow_redirects=False)


def told(caller: Caller, ids: dict[str, str]) -> dict[str, tuple[str, str, str | None]]:
    bodies = {ending: caller.get(f"{payment_id}/status/").json() for ending, payment_id in ids.items()}
    return {
        ending: (body["status"], body["detail"], body["reason"] and body["reason"]["code"])
        for ending, body in bodies.items()
    }


def echoes_of(ids: dict[str, str]) -> dict[str, str]:
    attempts = {str(payment_id): str(pk) for pk, payment_id in Attempt.objects.values_list("pk", "payment_id")}
    return {ending: attempts[payment_id] for ending, payment_id in ids.items()}


def assert_right(sandbox: RunningSandbox, caller: Caller, ids: dict[str, str]) -> None:
    assert told(caller, ids) == ENDINGS
    paid = {ids[ending] for ending, end in ENDINGS.items() if end == SUCCESSFUL}
    assert {str(pk) for pk in Credit.objects.values_list("pk", flat=True)} == paid
    assert {credit.amount for credit in Credit.objects.all()} == {PRICE}
    rows = sandbox.payments()
    by_attempt = {
        echo: [row for row in rows if echo in (row["echo"], row["custom_id"])] for echo in echoes_of(ids).values()
    }
    assert max(sum(row["charged"] for row in mine) for mine in by_attempt.values()) == 1
    assert max(sum(row["prompts"] for row in mine) for mine in by_attempt.values()) == 1
    assert list(invariants.violations()) == []


@pytest.mark.parametrize("flow", FLOWS)
def test_every_ending_is_reached(flow: str, caller: Caller, open_doors: RunningSandbox, clock: Clock) -> None:
    provider, number, more = FLOWS[flow]
    ids: dict[str, str] = {}
    for ending in ENDINGS:
        wish: dict[str, Any] = {"provider": provider, "phone": number + ending, "merchant_reference": ending, **more}
        body = caller.initiate(amount=PRICE, **wish).json()
        ids[ending] = body["id"]
        if body["otp_required"]:
            assert caller.post(f"{body['id']}/otp/", {"otp": "123456"}).status_code == 200
    sweep()  # what the worker sends
    wait_until(lambda: at_rest(open_doors, echoes_of(ids)), "the sandbox did not get there")

    settle_all(clock)

    assert_right(open_doors, caller, ids)


def test_every_ending_of_a_card_is_reached(caller: Caller, open_doors: RunningSandbox, clock: Clock) -> None:
    ids: dict[str, str] = {}
    for ending in ENDINGS:
        body = caller.initiate(provider="visa", phone=None, amount=PRICE, merchant_reference=ending).json()
        assert (body["detail"], body["reference"]) == ("redirect", None)
        ids[ending] = body["id"]
        press(open_doors, body, "VISA", "pay", ending=ending)
    wait_until(lambda: at_rest(open_doors, echoes_of(ids)), "the sandbox did not get there")

    settle_all(clock)

    # No request to collect is answered here, so what an ending does to that answer does nothing to a page.
    expected = ENDINGS | {"11": told(caller, ids)["11"]}
    assert told(caller, ids) == expected
    assert expected["11"][0] == "failed"
    paid = {ids[ending] for ending, end in expected.items() if end == SUCCESSFUL}
    assert {str(pk) for pk in Credit.objects.values_list("pk", flat=True)} == paid
    assert open_doors.charges() == len(paid) + 1  # the one that was a franc short
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
    open_doors: RunningSandbox,
    clock: Clock,
) -> None:
    body = caller.initiate(provider="mastercard", phone=None, amount=PRICE).json()
    for choice in choices:
        press(open_doors, body, "MASTERCARD", choice)
        wait_until(lambda: all(row["status"] != "PENDING" for row in open_doors.payments()), "nothing came of it")

    settle_all(clock)

    [status] = told(caller, {"": body["id"]}).values()
    assert status[0] == expected[0]
    assert (Credit.objects.count(), open_doors.charges()) == ((1, 1) if expected == SUCCESSFUL else (0, 0))
    assert Payment.objects.count() == 1


def test_wrong_and_expired_codes_charge_nothing(caller: Caller, open_doors: RunningSandbox, clock: Clock) -> None:
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
    assert (Credit.objects.count(), open_doors.charges()) == (0, 0)
