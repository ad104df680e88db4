"""The demo's processes, with small modules instead of servers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from demo_processes import DemoError, Processes

from tests.repository.tree import ROOT

TIMEOUT_SECONDS = 60.0

# Prints its pid, then waits; with `stubborn` it ignores SIGTERM.
WAITING = """
import os, signal, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(f"pid {os.getpid()}", flush=True)
time.sleep(600)
"""
ENDING = """
print("the reason is here")
raise SystemExit(3)
"""
DEMO = """
import sys, time
from pathlib import Path
from demo_processes import Processes
with Processes(Path(sys.argv[1]), {"PYTHONPATH": sys.argv[1]}) as processes:
    processes.start("first", "waiting", *sys.argv[2:])
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "waiting.py").write_text(WAITING)
    (tmp_path / "ending.py").write_text(ENDING)
    (tmp_path / "empty.py").write_text("")
    return tmp_path


def processes(folder: Path) -> Processes:
    return Processes(folder, {"PYTHONPATH": str(folder)})


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition becomes true before the timeout."""
    give_up_at = time.monotonic() + TIMEOUT_SECONDS
    while not condition() and time.monotonic() < give_up_at:
        time.sleep(0.02)
    return condition()


def pid_in(log: Path) -> int:
    assert eventually(lambda: log.exists() and log.read_text().startswith("pid ") and log.read_text().endswith("\n"))
    return int(log.read_text().split()[1])


def is_running(pid: int) -> bool:
    try:
        # After its demo was killed, no process may reap the child, so it may remain as a zombie.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("reaction", ["ends", "stubborn"])
def test_processes_end_with_the_block(folder: Path, reaction: str) -> None:
    with processes(folder) as running:
        running.start("first", "waiting", reaction)
        pid = pid_in(folder / "first.log")
        assert is_running(pid)

    assert not is_running(pid)


@pytest.mark.parametrize("reaction", ["ends", "stubborn"])
def test_process_ends_after_its_demo_was_killed(folder: Path, reaction: str) -> None:
    environment = {"PYTHONPATH": str(ROOT / "sample_project")}
    demo = subprocess.Popen([sys.executable, "-c", DEMO, str(folder), reaction], env=environment)
    try:
        pid = pid_in(folder / "first.log")
    finally:
        demo.send_signal(signal.SIGKILL)
        demo.wait()

    assert eventually(lambda: not is_running(pid))


def test_process_that_exits_is_reported_with_its_last_lines(folder: Path) -> None:
    with processes(folder) as running:
        running.start("shop", "ending")
        with pytest.raises(DemoError) as told:
            eventually(lambda: running.check() is not None)

    assert str(told.value) == "shop exited (exit code 3). Its log ends with:\n    the reason is here"


def test_failed_step_is_reported_with_its_last_lines(folder: Path) -> None:
    with processes(folder) as running, pytest.raises(DemoError) as told:
        running.run("setup", "ending")

    assert str(told.value) == "setup failed (exit code 3). Its log ends with:\n    the reason is here"


def test_step_that_succeeds_returns(folder: Path) -> None:
    with processes(folder) as running:
        running.run("setup", "empty")

    assert (folder / "setup.log").read_text() == ""


def test_processes_get_only_the_given_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEEXPAY_API_KEY", "fp_of_somebody")
    (folder / "shown.py").write_text("import os; print('FEEXPAY_API_KEY' in os.environ, os.environ['OURS'])")

    with Processes(folder, {"PYTHONPATH": str(folder), "OURS": "yes"}) as running:
        running.run("shown", "shown")

    assert (folder / "shown.log").read_text() == "False yes\n"


def test_window_may_be_closed_and_is_stopped_with_the_other_processes(folder: Path) -> None:
    with processes(folder) as started:
        started.start_window("closed", Path(sys.executable), "empty", {})
        started.start_window("window", Path(sys.executable), "waiting", {"MORE": "1"})
        assert eventually(lambda: "pid" in (folder / "window.log").read_text())
        started.check()
        pid = int((folder / "window.log").read_text().split()[1])

    assert eventually(lambda: not Path(f"/proc/{pid}").exists())
