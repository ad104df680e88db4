"""Every magic number has the same outcome on every flow."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
import requests

from tests.sandbox.feexpay import BEARER, collect, search_history, status_of
from tests.sandbox.running import SHOP_ID, RunningSandbox, run_sandbox

# By ending: the final status, the amount paid, the number of prompts. 11 creates no payment.
ENDS = {
    "00": ("SUCCESSFUL", 5000, 1),
    "01": ("FAILED", 0, 0),
    "02": ("FAILED", 0, 0),
    "03": ("FAILED", 0, 1),
    "04": ("PENDING", 0, 1),
    "05": ("SUCCESSFUL", 5000, 1),
    "06": ("SUCCESSFUL", 5000, 1),
    "07": ("SUCCESSFUL", 5000, 1),
    "08": ("SUCCESSFUL", 5000, 1),
    "09": ("SUCCESSFUL", 5000, 1),
    "10": ("SUCCESSFUL", 5000, 1),
    "12": ("FAILED", 0, 0),
    "13": ("SUCCESSFUL", 4999, 1),
    "14": ("PENDING", 0, 1),
    "15": ("SUCCESSFUL", 5000, 1),
    "16": ("SUCCESSFUL", 5000, 1),
    "17": ("SUCCESSFUL", 5000, 1),
    "18": ("SUCCESSFUL", 5000, 1),
}


def _push(sandbox: RunningSandbox, ending: str) -> object:
    return collect(sandbox, ending)


def _one_step(sandbox: RunningSandbox, ending: str) -> object:
    return collect(sandbox, suffix="orange_bf", phoneNumber=f"226700000{ending}", otp="123456")


def _two_steps(sandbox: RunningSandbox, ending: str) -> object:
    first = collect(sandbox, ending, "coris")
    return collect(sandbox, ending, "coris", otp="123456") if first.status_code == 201 else first


def _redirect(sandbox: RunningSandbox, ending: str) -> object:
    return collect(sandbox, suffix="wave_ci", phoneNumber=f"22507000000{ending}")


def _hosted(sandbox: RunningSandbox, ending: str) -> object:
    body = {"shop": SHOP_ID, "amount": 5000, "paymentMethod": "CARD", "range": 1, "expireIn": 30}
    url = sandbox.post("/api/feexlinks/generate", json=body, headers=BEARER).json()["urlPay"]
    form = {"choice": "pay", "method": "VISA", "ending": ending}
    return sandbox.session.post(url, data=form, timeout=60, allow_redirects=False)


FLOWS = {"push": _push, "one step": _one_step, "two steps": _two_steps, "redirect": _redirect, "hosted": _hosted}


@pytest.fixture(scope="module")
def quick() -> Iterator[RunningSandbox]:
    with run_sandbox(time_scale=0.002) as sandbox:
        yield sandbox


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("ending", ENDS)
def test_magic_number_has_the_same_outcome_on_every_flow(quick: RunningSandbox, flow: str, ending: str) -> None:
    quick.reset()
    status, paid, prompts = ENDS[ending]
    with contextlib.suppress(requests.ConnectionError):
        FLOWS[flow](quick, ending)

    if flow == "two steps" and ending in ("01", "02"):
        prompts = 1  # the code was sent before the operator refused
    (row,) = search_history(quick).json()["data"]
    _wait_for(quick, row["reference"], status)
    (payment,) = quick.payments()
    assert (payment["status"], payment["paid_amount"], payment["prompts"]) == (status, paid, prompts)
    assert quick.charges() == (status == "SUCCESSFUL")


@pytest.mark.parametrize("flow", FLOWS)
def test_11_creates_no_payment(quick: RunningSandbox, flow: str) -> None:
    quick.reset()
    FLOWS[flow](quick, "11")

    assert (quick.payments(), quick.charges()) == ([], 0)


def _wait_for(sandbox: RunningSandbox, reference: str, status: str) -> None:
    """Poll until the final status: 16 fails before it succeeds."""
    give_up_at = time.monotonic() + 60
    while True:
        body = status_of(sandbox, reference)
        if body.get("data", body)["status"] == status:
            return
        assert time.monotonic() < give_up_at, body
        time.sleep(0.005)
