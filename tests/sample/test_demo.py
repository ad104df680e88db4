"""`make demo` with real processes and sockets, started in an environment of another project."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from demo import print_result
from demo_purchase import Outcome

from tests.repository.tree import ROOT

DEMO = [sys.executable, str(ROOT / "sample_project" / "demo.py")]

# Variables of another project. Each of them would break the demo or make it call the real FeexPay.
OTHER_PROJECT = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:9/nothing",
    "FEEXPAY_BASE_URL": "https://api-v2.feexpay.me/api",
    "FEEXPAY_API_KEY": "fp_of_somebody",
    "FEEXPAY_DISPATCH": "nonsense",
    "FEEXPAY_SANDBOX_WEBHOOK_MODE": "header",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "LOG_FORMAT": "xml",
}


@contextmanager
def demo(state: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the demo in the block."""
    process = subprocess.Popen(
        [*DEMO, f"--state={state}", *options],
        env={**os.environ, **OTHER_PROJECT},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_addresses(process: subprocess.Popen[str]) -> str:
    """Wait until the demo has printed its addresses, and return its output."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "database and logs" in line:
            return "".join(lines)
    pytest.fail("".join(lines))


def children(pid: int) -> list[int]:
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # this process has just ended
            stats.append(path.read_text())
    parents = {int(stat.split()[0]): int(stat.rpartition(")")[2].split()[1]) for stat in stats}
    return [child for child, parent in parents.items() if parent == pid]


def is_open(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def test_demo_once_credits_once_and_leaves_no_files(tmp_path: Path) -> None:
    with demo(tmp_path / "a b", "--once") as process:
        output, _ = process.communicate(timeout=120)

    assert process.returncode == 0, output
    assert re.fullmatch(r"credited=1 charges=1 seconds=\d+\.\d", output.splitlines()[-1])
    steps = [
        "signed in",
        "initiate answered 201",
        "asks: pay 5 000 F CFA?",
        "approved",
        "the payer's screen shows it",
        "the webhook came",
        "credited:",
    ]
    assert sorted(steps, key=output.index) == steps
    assert '"phone": "+229 01 •• •• •• 50"' in output
    assert "97000050" not in output.replace(" ", "")
    assert list((tmp_path / "a b").iterdir()) == []


def test_one_purchase_with_a_year_of_payments_is_refused(tmp_path: Path) -> None:
    with demo(tmp_path, "--once", "--data") as process:
        output, _ = process.communicate(timeout=120)

    assert process.returncode == 2
    assert "run make demo ONCE=1, or make demo DATA=1" in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("credits", "charges", "code"), [(1, 1, 0), (0, 1, 1), (2, 1, 1), (1, 2, 1), (0, 0, 1)])
def test_only_one_charge_and_one_credit_is_success(
    capsys: pytest.CaptureFixture[str], credits: int, charges: int, code: int
) -> None:
    assert print_result(Outcome(credits, charges, 3.44)) == code

    assert capsys.readouterr().out == f"credited={credits} charges={charges} seconds=3.4\n"


def test_sigterm_stops_all_processes_of_the_demo(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        output = read_addresses(process)
        addresses = re.findall(r"http://127\.0\.0\.1:\d+/$", output, re.MULTILINE)
        started = children(process.pid)
        assert (len(started), [is_open(url) for url in addresses]) == (3, [True, True])

        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=120)

    assert (process.returncode, rest.strip()) == (0, "stopped")
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
    assert [is_open(url) for url in addresses] == [False, False]


def test_sigint_stops_a_demo_that_a_script_started_in_the_background(tmp_path: Path) -> None:
    """A shell starts it with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with demo(tmp_path) as process:
            signal.signal(signal.SIGINT, before)
            read_addresses(process)
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=120)
    finally:
        signal.signal(signal.SIGINT, before)

    assert (process.returncode, rest.strip()) == (0, "stopped")


def test_port_that_is_in_use_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demo(tmp_path, f"--port={port}") as process:
            output, _ = process.communicate(timeout=120)

    assert process.returncode == 1
    assert f"The demo failed: port {port} is not available" in output
