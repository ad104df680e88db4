"""The demo opens the client's window if it can, and continues without the window otherwise."""

from __future__ import annotations

import stat
from pathlib import Path

import demo
import pytest
from demo_processes import Processes


def running(folder: Path) -> demo.Demo:
    return demo.Demo(folder, 4711, 4712)


def fake_python(folder: Path, exit_code: int) -> Path:
    """A script in place of the client's Python. It writes its arguments to `started` and exits with `exit_code`."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\necho "$@ $FEEXPAY_SERVER" >> "{folder}/started"\nexit {exit_code}\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def test_demo_continues_without_the_clients_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Processes(tmp_path, {}) as processes:
        demo._open_window(running(tmp_path), processes, tmp_path / "nothing")

    assert "goes on without the client's window" in capsys.readouterr().out
    assert not (tmp_path / "client.log").exists()


def test_demo_continues_without_graphics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Processes(tmp_path, {}) as processes:
        demo._open_window(running(tmp_path), processes, fake_python(tmp_path, 1))

    assert "goes on without the client's window" in capsys.readouterr().out
    assert not (tmp_path / "client.log").exists()


def test_window_gets_the_address_of_the_shop(tmp_path: Path) -> None:
    with Processes(tmp_path, {}) as processes:
        demo._open_window(running(tmp_path), processes, fake_python(tmp_path, 0))
        for child in processes._children:
            child.process.wait(60)
        processes.check()

    assert "feexpay_client http://127.0.0.1:4711" in (tmp_path / "started").read_text()


def test_make_client_finds_the_demo_only_while_it_is_running(tmp_path: Path) -> None:
    with demo._announced(running(tmp_path)):
        assert (tmp_path / "address").read_text() == "http://127.0.0.1:4711"

    assert not (tmp_path / "address").exists()
