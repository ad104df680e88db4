"""The state after `kill -9`, and the stop by a signal."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3
import threading
from pathlib import Path

import pytest
import requests

from tests.sandbox.feexpay import collect, status_of, wait_for_status
from tests.sandbox.receiver import receive_webhooks
from tests.sandbox.running import RunningSandbox, run_sandbox


def test_payments_survive_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite3"
    with run_sandbox(state=state) as sandbox:
        paid = collect(sandbox, callback_info="a").json()["reference"]
        asked = collect(sandbox, callback_info="b").json()["reference"]
        sandbox.approve(paid)
        before = sandbox.payments()
        sandbox.kill()
    with run_sandbox(state=state) as sandbox:
        assert sandbox.payments() == before
        sandbox.approve(asked)
        assert status_of(sandbox, asked)["status"] == "SUCCESSFUL"


def test_planned_step_runs_after_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite3"
    with receive_webhooks() as shop:
        with run_sandbox(state=state, webhook_url=shop.url) as sandbox:
            reference = collect(sandbox, "05").json()["reference"]
            sandbox.kill()
        with run_sandbox(state=state, webhook_url=shop.url) as sandbox:
            wait_for_status(sandbox, reference, "SUCCESSFUL")
            assert shop.wait_for(reference)[0].body["status"] == "SUCCESSFUL"


def test_unsent_webhook_is_sent_after_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite3"
    with receive_webhooks() as gone:
        url = gone.url
    with run_sandbox(state=state, webhook_url=url) as sandbox:
        reference = collect(sandbox).json()["reference"]
        sandbox.approve(reference)
        sandbox.kill()
    with (
        receive_webhooks(int(url.split(":")[2].split("/")[0])) as shop,
        run_sandbox(state=state, webhook_url=url),
    ):
        assert shop.wait_for(reference)[0].body["reference"] == reference


def test_webhook_interrupted_by_a_kill_is_sent_again(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite3"
    may_answer = threading.Event()

    def answer_late(_received: object) -> int:
        may_answer.wait(60)
        return 200

    with receive_webhooks() as shop:
        shop.answer = answer_late
        with run_sandbox(state=state, webhook_url=shop.url) as sandbox:
            reference = collect(sandbox).json()["reference"]
            sandbox.approve(reference)
            shop.wait_for(reference)
            sandbox.kill()
        may_answer.set()
        with run_sandbox(state=state, webhook_url=shop.url):
            first, second = shop.wait_for(reference, 2)
    assert first.raw == second.raw


def test_clean_stop_leaves_one_state_file(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite3"
    with run_sandbox(state=state) as sandbox:
        collect(sandbox)
        assert sandbox.stop() == 0
    assert [file.name for file in tmp_path.iterdir()] == ["state.sqlite3"]


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_the_sandbox_cleanly(signal_number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    with run_sandbox() as sandbox:
        collect(sandbox, "05")
        sandbox.process.send_signal(signal_number)
        assert sandbox.process.wait(timeout=60) == 0
    assert capfd.readouterr().err == ""


def test_slow_answer_does_not_delay_a_stop() -> None:
    with run_sandbox(time_scale=1.0) as sandbox:
        asking = threading.Thread(target=_collect_until_the_connection_ends, args=(sandbox,))
        asking.start()
        while not sandbox.payments():
            continue
        assert sandbox.stop() == 0
        asking.join()


def _collect_until_the_connection_ends(sandbox: RunningSandbox) -> None:
    with contextlib.suppress(requests.ConnectionError):
        collect(sandbox, "17")


def test_temporary_state_starts_empty() -> None:
    with run_sandbox() as sandbox:
        collect(sandbox)
    with run_sandbox() as sandbox:
        assert sandbox.payments() == []


def test_state_file_contains_no_pin(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite3"
    with run_sandbox(state=state) as sandbox:
        reference = collect(sandbox).json()["reference"]
        sandbox.post(f"/phone/{reference}", data={"pin": "7391", "choice": "approve"})
        sandbox.stop()
    with sqlite3.connect(state) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert reference in dump
    # Whole words: four digits in a row also stand in a time, such as 1796009739.14.
    assert "7391" not in re.findall(r"\w+", dump.replace(reference, ""))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("PRAGMA user_version = 2", "another version of the sandbox wrote it"),
        ("INSERT INTO named_values VALUES ('settings', '{\"speed\": 9}')", "there is no setting 'speed'"),
    ],
)
def test_state_file_of_another_version_is_refused_with_advice(
    tmp_path: Path, change: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state.sqlite3"
    with run_sandbox(state=state) as sandbox:
        sandbox.stop()
    with contextlib.closing(sqlite3.connect(state)) as connection, connection:
        connection.execute(change)
    with pytest.raises(RuntimeError), run_sandbox(state=state):
        pass
    advice = "Delete the file to start with an empty state."
    assert capfd.readouterr().err == f"cannot keep the state in {state}: {reason}. {advice}\n"
