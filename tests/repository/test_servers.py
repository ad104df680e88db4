"""The suite's servers end and remove their files, even if the process that started them is killed."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
import time
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import servers
from tests.repository.tree import ROOT

# Starts one server, prints its address, and waits to be killed.
STARTER = """
import sys
from tests import servers
with getattr(servers, sys.argv[1])() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def listens(url: str) -> bool:
    place = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((place.hostname, place.port)) == 0


def gone_within(url: str, folder: Path, seconds: float) -> bool:
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if not listens(url) and not list(folder.iterdir()):
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parent of the servers' folders. If we are root, the servers' user needs access to it."""
    private = takewhile(lambda folder: not folder.stat().st_mode & stat.S_IXOTH, (tmp_path, *tmp_path.parents))
    for folder in list(private):
        folder.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_postgres_asks_for_its_password(temporary_folder: Path) -> None:
    with servers.postgres() as url:
        with psycopg.connect(url) as connection:
            assert connection.info.server_version // 10000 == 18
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url.replace(urlsplit(url).password or "", "guess"))


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_server_is_gone_after_its_block(name: str, temporary_folder: Path) -> None:
    with getattr(servers, name)() as url:
        assert listens(url)

    assert not listens(url)
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_server_is_gone_after_its_starter_was_killed(name: str, temporary_folder: Path) -> None:
    command = [sys.executable, "-c", STARTER, name]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        url = starter.stdout.readline().strip()
        assert listens(url)

        starter.kill()

    assert gone_within(url, temporary_folder, seconds=120)
