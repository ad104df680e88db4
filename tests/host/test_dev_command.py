"""`feexpay_dev` runs the sandbox and the worker until it is stopped, and never in production."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import requests

from tests import servers
from tests.host.conftest import RunInHost

_SECONDS = 60


def lines_until(process: subprocess.Popen[str], part: str) -> list[str]:
    """The lines that the command prints, up to one that contains `part`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if part in line:
            return lines
    raise AssertionError(f"no line with {part!r} in {lines}")


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_sandbox_and_worker_run_until_ctrl_c(host_environment: dict[str, str], migrated: Path, tmp_path: Path) -> None:
    port = servers.free_port()
    environment = {**host_environment, "DJANGO_SETTINGS_MODULE": "variants.plain", "SANDBOX_PORT": str(port)}
    shutil.copy(migrated, tmp_path)
    command = [sys.executable, "-u", "-m", "django", "feexpay_dev"]
    errors = tmp_path / "errors.txt"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        try:
            printed = "".join(lines_until(process, "The worker is running"))
            payments = requests.get(f"http://127.0.0.1:{port}/control/payments", timeout=_SECONDS)
            process.send_signal(signal.SIGINT)
            assert lines_until(process, "stopped")[-1] == "Sandbox and worker stopped.\n"
            assert process.wait(_SECONDS) == 0
        finally:
            process.kill()

    assert "FeexPay sandbox ready" in printed
    assert f":{port}/api" in printed
    assert payments.json()["payments"] == []
    assert not is_open(port)
    assert "does not answer" not in errors.read_text(), "the worker started before the sandbox listened"


def test_taken_port_ends_the_command(
    run_in_host: RunInHost, host_environment: dict[str, str], migrated: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated, tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        host_environment["SANDBOX_PORT"] = str(taken.getsockname()[1])

        done = run_in_host("plain", "-m", "django", "feexpay_dev")

    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    assert "The sandbox stopped; its last lines are above." in done.stderr


def test_command_is_refused_in_production(run_in_host: RunInHost) -> None:
    done = run_in_host("production_without_keys", "-m", "django", "feexpay_dev")

    assert done.returncode == 1
    assert "This is production" in done.stderr
