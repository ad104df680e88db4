"""The most demanding tests through pgbouncer in transaction mode: `python -m tools.deployment.pgbouncer`.

It starts PostgreSQL from the wheel and Debian's pgbouncer with the file of sample_project/deploy, and runs those tests
that need row locks, leases, advisory locks, cursors and NOTIFY. Arguments go to pytest instead of that choice.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests import servers
from tools.deployment.site import DEPLOY

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 20.0

#: Concurrent starts and polls, SKIP LOCKED, advisory locks, cursors of every check, and event streams.
HARD_CORE = (
    "tests/payments/test_concurrency.py",
    "tests/payments/test_double_taps.py",
    "tests/payments/test_leases.py",
    "tests/payments/test_prompts.py",
    "tests/payments/test_verify.py",
    "tests/payments/test_webhook_bounds.py",
    "tests/api/test_live_status.py",
)


def program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


@contextmanager
def pooled(address: str, folder: Path) -> Iterator[str]:
    """Run pgbouncer in front of this server and yield its address. Raises: RuntimeError with its log."""
    server, port = urlsplit(address), servers.free_port()
    moved = {
        "shop = host=db.example port=5432": f"* = host={server.hostname} port={server.port}",
        "listen_port = 6432": f"listen_port = {port}",
        "/etc/pgbouncer/": f"{folder}/",
        "/var/log/postgresql/": f"{folder}/",
        "/var/run/postgresql/": f"{folder}/",
    }
    text = (DEPLOY / "pgbouncer" / "pgbouncer.ini").read_text()
    for old, new in moved.items():
        if old not in text:
            raise RuntimeError(f"pgbouncer.ini does not say {old}")
        text = text.replace(old, new)
    (folder / "pgbouncer.ini").write_text(text)
    (folder / "userlist.txt").write_text(f'"{server.username}" "{server.password}"\n')
    account = servers.unprivileged_account()
    folder.chmod(0o700)
    servers.hand_over(folder, account)
    command = [program() or "pgbouncer", "--quiet", str(folder / "pgbouncer.ini")]
    process = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, **account)
    try:
        give_up_at = time.monotonic() + _START_SECONDS
        while not (folder / "pgbouncer.pid").exists():
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"pgbouncer does not start: {(folder / 'pgbouncer.log').read_text()}")
            time.sleep(0.05)
        yield f"postgres://{server.username}:{server.password}@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait()


def main(arguments: list[str]) -> int:
    if program() is None:
        print("pgbouncer is not installed: apt-get install pgbouncer")
        return 2
    with tempfile.TemporaryDirectory(prefix="feexpay-pgbouncer-") as folder, servers.postgres() as address:
        server = urlsplit(address)
        with pooled(address, Path(folder)) as pool:
            variables = {"DATABASE_URL": pool, "DATABASE_DIRECT_HOST": f"{server.hostname}:{server.port}"}
            # The server is thrown away; dropping a database would wait for the pool's connections.
            command = [sys.executable, "-m", "pytest", "-q", "--reuse-db", *(arguments or HARD_CORE)]
            return subprocess.run(command, cwd=ROOT, env=os.environ | variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
