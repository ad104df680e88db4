"""`python -m tools.bench.streams [--streams 1000] [--seconds 60]`: what open event streams cost one uvicorn process.

Each stream follows a payment of its own on PostgreSQL; no engine runs. Not part of `make bench`, because it needs the
machine for some minutes. It prints the memory, threads and database connections of the server with all streams open,
its CPU while nothing happens, and the time from the commit of a change to the reader.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import servers
from tools.bench.process_usage import Process

ROOT = Path(__file__).resolve().parents[2]
_ADDRESS = "/api/v1/payments/feexpay/{}/events/"
_START_SECONDS = 60
_OPEN_AT_ONCE = 20
_CHANGES = 200


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=60, help="how long the server is watched while nothing happens")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "sample_project"))
    with servers.postgres() as url:
        os.environ |= {
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "config.settings.testing",
            "PYTHONPATH": f"{ROOT}:{ROOT}/sample_project",
        }
        token, payments = _prepare(options.streams)
        with _server() as (address, process):
            asyncio.run(_measure(address, process, token, payments, options.seconds))
    return 0


def _prepare(count: int) -> tuple[str, list[Any]]:
    """A player's token and payments that wait for the payer, as FeexPay's stand-in in memory accepted them."""
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection
    from knox.models import AuthToken

    from django_feexpay import conf, start_payment
    from django_feexpay.models import Attempt
    from tests.payments.fake_gateway import ModelGateway

    call_command("migrate", verbosity=0)
    user = User.objects.create_user("payer")
    with conf.use_transport(ModelGateway()):
        payments = [
            start_payment(
                user=user, provider="mtn_bj", amount=500, phone="0161000050", merchant_reference=f"order-{number}"
            )
            for number in range(count)
        ]
    Attempt.objects.update(next_poll_at=conf.now() + conf.CLOCK_SLACK * 30)
    token = AuthToken.objects.create(user=user)[1]
    connection.close()
    return token, payments


@contextmanager
def _server() -> Iterator[tuple[tuple[str, int], Process]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        listener.set_inheritable(True)
        command = [sys.executable, "-m", "uvicorn", "config.asgi:application", f"--fd={listener.fileno()}"]
        server = subprocess.Popen(
            [*command, "--log-level=error"], cwd=ROOT / "sample_project", pass_fds=[listener.fileno()]
        )
        try:
            yield listener.getsockname(), Process(server.pid)
        finally:
            server.terminate()
            server.wait(_START_SECONDS)


async def _measure(address: tuple[str, int], process: Process, token: str, payments: list[Any], seconds: int) -> None:
    first = await _open(address, token, payments[0])  # also waits for the server's start
    await asyncio.sleep(1)
    before, memory = process.cpu_seconds(), process.memory_kib()
    gate, begun = asyncio.Semaphore(_OPEN_AT_ONCE), time.monotonic()

    async def opened(payment: Any) -> asyncio.StreamReader:
        async with gate:
            return await _open(address, token, payment)

    readers = [first, *await asyncio.gather(*(opened(payment) for payment in payments[1:]))]
    others, elapsed = len(readers) - 1, time.monotonic() - begun
    await asyncio.sleep(3)
    cpu, now = 1000 * (process.cpu_seconds() - before) / others, process.memory_kib()
    print(f"{len(readers)} streams opened in {elapsed:.1f} s, {cpu:.1f} ms of CPU each")
    print(f"memory {now / 1024:.0f} MiB, {(now - memory) / others:.0f} KiB a stream; threads {process.threads()}")
    print(f"database connections of the server: {await asyncio.to_thread(_connections)}")
    before, begun = process.cpu_seconds(), time.monotonic()
    await asyncio.sleep(seconds)
    share = 100 * (process.cpu_seconds() - before) / (time.monotonic() - begun)
    print(f"nothing happens: {share:.1f} % of one core")
    await _change(process, list(zip(payments, readers, strict=True))[:_CHANGES])


async def _change(process: Process, followed: list[tuple[Any, asyncio.StreamReader]]) -> None:
    """Settle the payments one after another; print how long each took from its commit to its reader."""
    before, delays = process.cpu_seconds(), []
    for payment, reader in followed:
        await asyncio.to_thread(_settle, payment)
        committed = time.monotonic()
        async with asyncio.timeout(_START_SECONDS):
            await reader.readuntil(b'"status":"failed"')
        delays.append(1000 * (time.monotonic() - committed))
    p95 = statistics.quantiles(delays, n=20)[-1]
    cpu, p50 = 1000 * (process.cpu_seconds() - before) / len(delays), statistics.median(delays)
    print(f"from the commit to the reader: p50 {p50:.0f} ms, p95 {p95:.0f} ms; {cpu:.1f} ms of CPU")


async def _open(address: tuple[str, int], token: str, payment: Any) -> asyncio.StreamReader:
    """Open a stream and read its first event."""
    async with asyncio.timeout(_START_SECONDS):
        reader, writer = await asyncio.open_connection(*address)
        _open_writers.append(writer)
        lines = f"GET {_ADDRESS.format(payment.pk)} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}"
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await reader.readuntil(b'"status":"pending"')
    return reader


#: A writer that is collected closes its connection.
_open_writers: list[asyncio.StreamWriter] = []


def _connections() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def _settle(payment: Any) -> None:
    from django.db import connection

    from django_feexpay.lifecycle import Status
    from django_feexpay.payments import ledger

    cause = ledger.Cause(source=ledger.Source.WORKER, because="declined")
    ledger.move(payment.latest_attempt_id, Status.FAILED, cause)
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
