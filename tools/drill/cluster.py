"""A PostgreSQL that keeps what it commits: with an archive of its log, base backups, restores and replicas."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests import servers

_SECONDS = 60.0
_SETTINGS = {
    "archive_mode": "on",
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "max_wal_senders": "4",
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "unix_socket_directories": "",
    "wal_level": "replica",
}


@dataclass(frozen=True)
class Place:
    """What all servers of one drill share: folder, account, programs and the password."""

    folder: Path
    account: servers.Account
    programs: Path
    password: str = field(repr=False)

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    def run(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL. Raises: RuntimeError with its output."""
        servers.run([f"{self.programs}/{program}", *arguments], self.folder, self.account)


@dataclass
class Server:
    """One data folder and the port that its server listens on."""

    place: Place
    name: str
    port: int

    @property
    def data(self) -> Path:
        return self.place.folder / self.name

    @property
    def address(self) -> str:
        return f"postgres://postgres:{self.place.password}@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        archive = f"test ! -f {self.place.archive}/%f && cp %p {self.place.archive}/%f"
        settings = [f"--set={name}={value}" for name, value in (_SETTINGS | {"archive_command": archive}).items()]
        password = f"--pwfile={self.place.folder}/password"
        self.place.run("initdb", f"--pgdata={self.data}", *servers.INITDB_OPTIONS, password, *settings)

    def start(self) -> None:
        options = f"-c port={self.port}"
        self.place.run("pg_ctl", "start", f"--pgdata={self.data}", "--wait", "--timeout=60", f"--options={options}")

    def accepts_writes(self) -> bool:
        with psycopg.connect(self.address) as connection:
            row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
        return row == (False,)

    def kill(self) -> None:
        """kill -9, as a machine that loses its power; the children end, too."""
        process = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(process, signal.SIGKILL)

    def archive_now(self) -> None:
        """Close the log segment, and wait until it is in the archive."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        segment = self.place.archive / row[0] if row else self.place.archive
        wait_until(segment.exists)

    def back_up(self, name: str, *options: str) -> Path:
        """A base backup of the running server."""
        target = self.place.folder / name
        connection = f"--dbname=host=127.0.0.1 port={self.port} user=postgres passfile={self.place.folder}/pgpass"
        self.place.run("pg_basebackup", connection, f"--pgdata={target}", "--checkpoint=fast", "--no-sync", *options)
        return target

    def restored(self, backup: Path, name: str) -> Server:
        """A server that starts from the backup and reads everything that is in the archive."""
        other = Server(self.place, name, self.port)
        backup.rename(other.data)
        restore = f"restore_command = 'cp {self.place.archive}/%f %p'\narchive_mode = 'off'\n"
        with (other.data / "postgresql.auto.conf").open("a") as settings:
            settings.write(restore + "recovery_target_timeline = 'latest'\n")
        (other.data / "recovery.signal").touch()
        servers.hand_over(other.data, self.place.account)
        return other

    def promote(self) -> None:
        self.place.run("pg_ctl", "promote", f"--pgdata={self.data}", "--wait")

    def stop(self) -> None:
        """Stop it. Safe to repeat: yes; a killed server has left its pid file behind and is no longer running."""
        with suppress(RuntimeError):
            self.place.run("pg_ctl", "stop", f"--pgdata={self.data}", "--mode=immediate", "--wait")


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """The folder of a drill. Servers that still run at the end are stopped."""
    account = servers.unprivileged_account()
    found = Place(folder, account, servers.postgres_binaries(folder, account), secrets.token_hex(16))
    found.archive.mkdir()
    (folder / "password").write_text(found.password)
    (folder / "pgpass").write_text(f"*:*:*:postgres:{found.password}\n")
    (folder / "pgpass").chmod(0o600)
    servers.hand_over(folder, account)
    try:
        yield found
    finally:
        for pid_file in folder.glob("*/postmaster.pid"):
            Server(found, pid_file.parent.name, 0).stop()


def wait_until(done: Callable[[], bool], seconds: float = _SECONDS) -> None:
    give_up_at = time.monotonic() + seconds
    while not done():
        if time.monotonic() > give_up_at:
            raise RuntimeError("it did not happen in time")
        time.sleep(0.05)
