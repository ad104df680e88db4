"""What `make client` and `make demo` print if no window can open."""

from __future__ import annotations

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
