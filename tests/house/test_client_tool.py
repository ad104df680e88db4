"""What `make client` and `make demo` say where no window can open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import client


def test_a_whole_system_misses_nothing() -> None:
    assert client.missing_packages(lambda _: True, lambda: True, "linux") == []


def test_what_is_missing_is_named_by_its_debian_package() -> None:
    def without_egl(library: str) -> bool:
        return library != "libEGL.so.1"

    assert client.missing_packages(without_egl, lambda: True, "linux") == ["libegl1"]
    assert client.missing_packages(lambda _: True, lambda: False, "linux") == ["libgl1-mesa-dri"]


def test_only_linux_takes_its_graphics_from_packages() -> None:
    assert client.missing_packages(lambda _: False, lambda: False, "darwin") == []


def test_missing_libraries_fail_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(client, "missing_packages", lambda: ["libgl1", "libmtdev1"])

    assert client.graphics() == 1
    assert "apt-get install libgl1 libmtdev1" in capsys.readouterr().err


def test_client_finds_the_demo_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEEXPAY_SERVER", raising=False)
    monkeypatch.setattr(client, "DEMO_ADDRESS", tmp_path / "address")
    assert client.server() == ""

    (tmp_path / "address").write_text("http://127.0.0.1:4711\n")
    assert client.server() == "http://127.0.0.1:4711"

    monkeypatch.setenv("FEEXPAY_SERVER", "https://shop.example")
    assert client.server() == "https://shop.example"


def test_without_a_server_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FEEXPAY_SERVER", raising=False)
    monkeypatch.setattr(client, "DEMO_ADDRESS", tmp_path / "address")

    assert client.run() == 1
    assert "make demo" in capsys.readouterr().err
