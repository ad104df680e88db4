"""The named scenarios: on the control page and by the control interface."""

from __future__ import annotations

import re
import time
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests

from django_feexpay.sandbox.fault_scenarios import FAULT_DETAILS, FAULT_SCENARIOS, FAULTS
from django_feexpay.sandbox.fault_settings import every_setting
from tests.sandbox.feexpay import collect, search_history
from tests.sandbox.receiver import Receiver
from tests.sandbox.running import ROOT, RunningSandbox, run_sandbox

NAMES = list(FAULT_SCENARIOS)

#: What stands beside a fault that is on.
SINCE = r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


def _text(answer: requests.Response) -> str:
    return " ".join(unescape(re.sub("<[^>]*>", " ", answer.text)).replace("\u00a0", " ").split())


def _press(sandbox: RunningSandbox, act: str) -> requests.Response:
    answer = sandbox.post("/control", data={"act": act})
    assert answer.status_code == 200
    return answer


def _conditions(sandbox: RunningSandbox) -> dict[str, Any]:
    conditions: dict[str, Any] = sandbox.get("/control/conditions").json()["conditions"]
    return conditions


def _scenarios_on(sandbox: RunningSandbox) -> list[str]:
    return [one["name"] for one in sandbox.get("/control/scenarios").json()["scenarios"] if one["on"]]


def _history(sandbox: RunningSandbox) -> list[str]:
    answer = search_history(sandbox)
    assert answer.status_code == 200
    return [row["reference"] for row in answer.json()["data"]]


@pytest.mark.parametrize("name", NAMES)
def test_one_button_starts_a_scenario_and_one_ends_it(sandbox: RunningSandbox, name: str) -> None:
    before, title = _conditions(sandbox), FAULT_SCENARIOS[name].title[1]
    assert "No fault is on" in _text(sandbox.get("/control"))
    page = _press(sandbox, f"start:{name}")
    assert re.search(rf"Faults on now {re.escape(title)} {SINCE} End", _text(page))
    assert _scenarios_on(sandbox) == [name]
    assert sandbox.get("/control/scenarios").json()["other_faults"] == []
    page = _press(sandbox, f"end:{name}")
    assert "No fault is on" in _text(page)
    assert _conditions(sandbox) == before


def test_each_scenario_ends_alone(sandbox: RunningSandbox) -> None:
    for name in NAMES:
        _press(sandbox, f"start:{name}")
    assert _scenarios_on(sandbox) == NAMES
    for ended in range(len(NAMES)):
        assert _scenarios_on(sandbox) == NAMES[ended:]
        _press(sandbox, f"end:{NAMES[ended]}")
    assert _scenarios_on(sandbox) == []


def test_ending_orange_keeps_the_other_networks_under_maintenance(sandbox: RunningSandbox) -> None:
    sandbox.change(maintenance=["mtn"])
    _press(sandbox, "start:orange_down")
    assert "maintenance = mtn,orange_ci" in _text(sandbox.get("/control"))
    _press(sandbox, "end:orange_down")
    assert _conditions(sandbox)["maintenance"] == ["mtn"]


def test_page_names_faults_set_by_hand_with_their_field(sandbox: RunningSandbox) -> None:
    sandbox.change(webhook_duplicate_percent=50, latency_seconds=3)
    page = sandbox.get("/control")
    assert re.search(rf"Webhooks sent twice \(%\) {SINCE} webhook_duplicate_percent = 50", _text(page))
    assert 'href="#webhook_duplicate_percent"' in page.text
    # The delay of a slow answer is no fault while no answer is slow.
    assert "latency_seconds = 3" not in _text(page)
    assert sandbox.get("/control/scenarios").json()["other_faults"] == ["webhook_duplicate_percent"]


def test_fault_tells_since_when_it_is_on_whatever_else_changes(sandbox: RunningSandbox) -> None:
    def since() -> str:
        found = re.search(rf"Orange is down ({SINCE})", _text(sandbox.get("/control")))
        assert found
        return found[1]

    _press(sandbox, "start:orange_down")
    begun = since()
    time.sleep(1.1)
    sandbox.change(maintenance=[*_conditions(sandbox)["maintenance"], "mtn"], html_502_percent=5)
    assert since() == begun
    _press(sandbox, "end:orange_down")
    _press(sandbox, "start:orange_down")
    assert since() > begun


def test_everything_normal_again_ends_every_fault_and_keeps_the_rest() -> None:
    with run_sandbox("--language=en", "--set", "webhook_lost_percent=100", "--set", "flows=orange_sn=otp") as sandbox:
        assert "Webhooks lost since the start End" in _text(sandbox.get("/control"))
        assert _scenarios_on(sandbox) == ["webhooks_lost"]
        for name in NAMES:
            _press(sandbox, f"start:{name}")
        sandbox.change(reset_percent=1, opening_balance=500, webhook_on_failure=False, fault_calls=["status"])
        page = _press(sandbox, "start:normal")
        assert "No fault is on" in _text(page)
        conditions = _conditions(sandbox)
    assert (conditions["flows"], conditions["opening_balance"]) == ({"orange_sn": "otp"}, 500)
    defaults = {name: conditions[name] for name in ("reset_percent", "webhook_on_failure", "fault_calls")}
    assert defaults == {"reset_percent": 0, "webhook_on_failure": True, "fault_calls": []}


def test_scenario_survives_a_restart(tmp_path: Path) -> None:
    state = f"--state={tmp_path / 'state.sqlite3'}"
    with run_sandbox(state) as sandbox:
        _press(sandbox, "start:double_charge")
        sandbox.kill()
    with run_sandbox(state) as sandbox:
        assert _scenarios_on(sandbox) == ["double_charge"]


def test_orange_is_down_and_other_networks_are_not(sandbox: RunningSandbox) -> None:
    _press(sandbox, "start:orange_down")
    answer = collect(sandbox, suffix="orange_ml", phoneNumber="22370000050")
    assert (answer.status_code, answer.json()["code"]) == (503, "NETWORK_UNAVAILABLE")
    assert collect(sandbox).status_code == 200


def test_lost_webhooks_are_listed_as_lost(sandbox: RunningSandbox, shop: Receiver) -> None:
    _press(sandbox, "start:webhooks_lost")
    sandbox.approve(collect(sandbox).json()["reference"])
    assert "SUCCESSFUL → lost" in _text(sandbox.get("/payments"))


def test_double_charge_charges_once_more(sandbox: RunningSandbox) -> None:
    _press(sandbox, "start:double_charge")
    sandbox.approve(collect(sandbox).json()["reference"])
    assert (sandbox.prompts(), sandbox.charges()) == (1, 2)


def test_late_history_shows_the_payment_later(sandbox: RunningSandbox) -> None:
    _press(sandbox, "start:history_late")
    assert collect(sandbox).status_code == 500
    [payment] = sandbox.payments()
    assert payment["status"] == "PENDING"
    # Long enough that a busy machine cannot let the time pass.
    sandbox.change(history_late_seconds=1e6)
    assert _history(sandbox) == []
    _press(sandbox, "start:normal")
    assert _history(sandbox) == [payment["reference"]]


def test_control_interface_starts_and_ends_scenarios(sandbox: RunningSandbox) -> None:
    started = sandbox.post("/control/scenarios/slow_gateway/start")
    assert (started.status_code, started.json()["conditions"]["latency_seconds"]) == (200, 8)
    assert _scenarios_on(sandbox) == ["slow_gateway"]
    ended = sandbox.post("/control/scenarios/normal/start").json()["conditions"]
    assert (ended["latency_percent"], ended["latency_seconds"]) == (0, 20)


@pytest.mark.parametrize("path", ["unheard/start", "slow_gateway/stop", "normal/end"])
def test_unknown_scenario_changes_nothing(sandbox: RunningSandbox, path: str) -> None:
    before = _conditions(sandbox)
    assert sandbox.post(f"/control/scenarios/{path}").status_code == 404
    name, choice = path.split("/")
    assert sandbox.post("/control", data={"act": f"{choice}:{name}"}).status_code == 404
    assert _conditions(sandbox) == before


@pytest.mark.parametrize(("language", "index", "button"), [("fr", 0, "Lancer"), ("en", 1, "Start")])
def test_page_says_what_staff_will_see_in_both_languages(
    sandbox: RunningSandbox, language: str, index: int, button: str
) -> None:
    text = _text(sandbox.get("/control", params={"lang": language}))
    for one in FAULT_SCENARIOS.values():
        assert f"{one.title[index]} {one.effect[index].replace(chr(160), ' ')} {button}" in text


def test_every_scenario_is_on_the_reference_page() -> None:
    page = (ROOT / "docs/reference/sandbox.md").read_text()
    for name, one in FAULT_SCENARIOS.items():
        assert f"| `{name}` | {one.title[1]} |" in page


def test_faults_are_settings_and_every_percentage_is_one() -> None:
    named = {*FAULTS, *FAULT_DETAILS}
    assert named <= set(every_setting())
    assert {name for name in every_setting() if name.endswith("_percent")} <= named
