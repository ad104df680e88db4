"""The demo opens the client's window if it can, and continues without the window otherwise."""

from __future__ import annotations

import stat
import sys
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


def test_demo_says_that_the_display_does_not_answer_and_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real tool: DISPLAY names an X server that does not run."""
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":4711")
    with Processes(tmp_path, {}) as processes:
        demo._open_window(running(tmp_path), processes, Path(sys.executable))
        processes.check()

    printed = capfd.readouterr()
    assert printed.err.count("The client's window could not open: no display answers (DISPLAY=:4711).\n") == 1
    assert printed.out == "The demo goes on without the client's window.\n\n"
    assert not (tmp_path / "client.log").exists()


def test_display_that_hangs_does_not_hold_the_demo_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_DISPLAY_SECONDS", 0.1)
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)

    with Processes(tmp_path, {}) as processes:
        demo._open_window(running(tmp_path), processes, hanging)

    assert "The client's window could not open: the display did not answer" in capsys.readouterr().out


@pytest.mark.parametrize(("exit_code", "named"), [(0, 0), (1, 1)])
def test_window_that_ends_with_an_error_is_named_once(tmp_path: Path, exit_code: int, named: int) -> None:
    """A window that its user closed is not."""
    with Processes(tmp_path, {}) as processes:
        processes.start_window("client", fake_python(tmp_path, exit_code), "feexpay_client", {})
        for child in processes._children:
            child.process.wait(20)
        logs = processes.failed_windows() + processes.failed_windows()
        processes.check()

    assert logs == [tmp_path / "client.log"] * named


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
