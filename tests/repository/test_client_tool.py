"""What `make client` and `make demo` print if no window can open."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from tools import client


def test_complete_system_misses_no_package() -> None:
    assert client.missing_packages(lambda _: True, lambda: True, "linux") == []


def test_missing_library_is_named_by_its_debian_package() -> None:
    def without_egl(library: str) -> bool:
        return library != "libEGL.so.1"

    assert client.missing_packages(without_egl, lambda: True, "linux") == ["libegl1"]
    assert client.missing_packages(lambda _: True, lambda: False, "linux") == ["libgl1-mesa-dri"]


def test_only_linux_needs_packages() -> None:
    assert client.missing_packages(lambda _: False, lambda: False, "darwin") == []


def test_missing_libraries_print_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(client, "missing_packages", lambda: ["libgl1", "libmtdev1"])

    assert client.graphics() == 1
    assert "apt-get install libgl1 libmtdev1" in capsys.readouterr().err


def test_client_finds_the_running_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEEXPAY_SERVER", raising=False)
    monkeypatch.setattr(client, "DEMO_ADDRESS", tmp_path / "address")
    assert client.server() == ""

    (tmp_path / "address").write_text("http://127.0.0.1:4711\n")
    assert client.server() == "http://127.0.0.1:4711"

    monkeypatch.setenv("FEEXPAY_SERVER", "https://shop.example")
    assert client.server() == "https://shop.example"


def test_client_without_a_server_explains_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FEEXPAY_SERVER", raising=False)
    monkeypatch.setattr(client, "DEMO_ADDRESS", tmp_path / "address")

    assert client.run() == 1
    assert "make demo" in capsys.readouterr().err


NO_DISPLAY = {"DISPLAY": ":4711", "WAYLAND_DISPLAY": "", "XDG_RUNTIME_DIR": ""}


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """DISPLAY names an X server that does not run; the libraries are there."""
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    for name, value in NO_DISPLAY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(client, "missing_packages", list)


@pytest.mark.usefixtures("unreachable")
def test_display_that_does_not_answer_is_named_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert client.window() == 1
    assert capsys.readouterr().err == ("The client's window could not open: no display answers (DISPLAY=:4711).\n")


@pytest.mark.usefixtures("unreachable")
def test_client_does_not_start_where_no_one_would_see_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEEXPAY_SERVER", "https://shop.example")
    monkeypatch.setattr(client.subprocess, "call", lambda *_given, **_more: pytest.fail("it was started"))

    assert client.run() == 1
    assert "no display answers" in capsys.readouterr().err


def test_display_is_needed_on_linux_unless_a_driver_is_chosen() -> None:
    assert not client.has_display(NO_DISPLAY, "linux")
    assert not client.has_display({}, "linux")
    assert client.has_display(NO_DISPLAY, "darwin")
    assert client.has_display({**NO_DISPLAY, "SDL_VIDEODRIVER": "offscreen"}, "linux")


def test_wayland_display_is_one_whose_socket_answers() -> None:
    with tempfile.TemporaryDirectory() as folder:  # the path of a socket is short
        here = {"WAYLAND_DISPLAY": "wayland-0", "XDG_RUNTIME_DIR": folder}
        assert not client.has_display(here | {"DISPLAY": ":4711"}, "linux")
        with socket.socket(socket.AF_UNIX) as compositor:
            compositor.bind(f"{folder}/wayland-0")
            compositor.listen()
            assert client.has_display(here, "linux")
