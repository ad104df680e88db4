"""One run of `make load`. Needs Django set up on the shop's database, which `__main__` does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management import call_command
from django.db import connection
from redis import Redis

from django_feexpay.models import Credit, Payment
from tests.soak import comparison, shop_rows
from tests.soak.clients import PAYMENTS, Sandbox, ask, wait_until
from tests.soak.processes import Processes
from tools.bench.__main__ import PACKAGES, machine
from tools.bench.process_usage import Process
from tools.load import report
from tools.load.payers import Driven, Payers
from tools.load.report import COUNTED, Paid, Usage
from tools.load.webhooks import post_in_turn

_WEBHOOKS_PER_SECOND = 50
_START_SECONDS = 60.0
_SETTLE_SECONDS = 60.0
_LOG_LINES = 15


@dataclass(frozen=True)
class Setup:
    """What is started, and for how long it runs. URLs end without a slash. `environment`: of all processes."""

    folder: Path
    shop: str
    sandbox: str
    environment: Mapping[str, str] = field(repr=False)
    seconds: int
    payers: int


def run(setup: Setup) -> int:
    """Exit code 0 when each charge was credited exactly once and nothing was refused."""
    with Processes(setup.folder, setup.environment) as processes:
        tokens = _start(processes, setup)
        sandbox = Sandbox(setup.sandbox)
        payers = Payers(setup.shop, sandbox, tokens)
        parts = _parts(processes)
        print(machine((*PACKAGES, "gunicorn")).strip(), _set_up(setup), "", sep="\n", flush=True)
        warm_up = payers.pay(0)
        _wait_until_settled()
        before, load = _used(parts), os.getloadavg()[0]
        driven = payers.pay(setup.seconds)
        _wait_until_settled()
        used = Usage({part: seconds - before[part] for part, seconds in _used(parts).items()})
        rows = sandbox.payments()
        problems = [*_refused(warm_up, driven), *_violations(rows)]
        credited = _seconds_to_credit(driven.started)
        report.print_payments(driven, used, credited, (load, os.getloadavg()[0]))
        paid = _paid(rows)
        if not problems:
            processes.stop("worker")
            counted = {part: pid for part, pid in parts.items() if part in COUNTED and part != "worker"}
            count = _WEBHOOKS_PER_SECOND * setup.seconds
            report.print_webhooks(*post_in_turn(setup.shop, count, setup.payers, lambda: _used(counted)))
    return report.verdict(paid, used.cores(len(driven.started)), problems)


# --- start and settle ----------------------------------------------------------------------------------


def _start(processes: Processes, setup: Setup) -> list[str]:
    """Start the gateway, the shop and its worker; return a token for each payer."""
    processes.start("gateway", "django_feexpay.sandbox")
    config = Path(__file__).resolve().parents[2] / "sample_project" / "deploy" / "gunicorn.conf.py"
    processes.start("web", "gunicorn", f"--config={config}")
    call_command("migrate", run_syncdb=True, verbosity=0)
    processes.start("worker", "manage", "feexpay_worker")
    tokens = shop_rows.make_players(setup.payers)

    def answers() -> bool:
        health = ask("GET", f"{setup.shop}{PAYMENTS}/health/")
        return health is not None and health.status_code == 200 and Sandbox(setup.sandbox).answers()

    all_answer = wait_until(lambda: answers() or bool(processes.ended()), seconds=_START_SECONDS)
    if ended := processes.ended():
        raise RuntimeError(
            f"{' and '.join(ended)} ended by itself; the end of its log:\n{_log_end(processes, ended[0])}"
        )
    if not all_answer:
        raise RuntimeError(f"the shop or the sandbox does not answer after {_START_SECONDS:.0f} s")
    return tokens


def _log_end(processes: Processes, name: str) -> str:
    return "\n".join(processes.logs()[name].splitlines()[-_LOG_LINES:])


def _parts(processes: Processes) -> dict[str, int]:
    """The process of each part whose descendants do its work."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        postgres = Process(cursor.fetchone()[0]).parent()
    with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        redis_pid: int = redis.info("server")["process_id"]
    ours = {name: processes.pid(name) for name in ("web", "worker", "gateway")}
    return ours | {"PostgreSQL": postgres, "Redis": redis_pid, "payers": os.getpid()}


def _used(parts: Mapping[str, int]) -> dict[str, float]:
    return {
        part: Process(pid).cpu_seconds() if part == "payers" else Process(pid).tree_cpu_seconds()
        for part, pid in parts.items()
    }


def _wait_until_settled() -> None:
    """Wait until each payment is settled and the shop was told. What is left then is a violation of the check."""
    wait_until(lambda: not shop_rows.unfinished(), seconds=_SETTLE_SECONDS, every_seconds=0.2)


def _violations(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Charges that were not credited exactly once, and receivers that were not told."""
    yield from comparison.compare(rows, shop_rows.attempts(), shop_rows.coins()).violations
    yield from shop_rows.undelivered_signals()


def _refused(*driven: Driven) -> Iterator[str]:
    for one in driven:
        yield from (f"{count} x {text}" for text, count in one.refused.items())


def _paid(rows: Sequence[Mapping[str, Any]]) -> Paid:
    """Everything that was paid, the warm-up included."""
    return Paid(Payment.objects.count(), Credit.objects.count(), sum(row["charged"] for row in rows))


def _seconds_to_credit(started: Sequence[str]) -> list[float]:
    """From the row of a payment to that of its credit."""
    times = Credit.objects.filter(payment__in=map(UUID, started)).values_list("payment__created_at", "created_at")
    return [(credited - begun).total_seconds() for begun, credited in times]


def _set_up(setup: Setup) -> str:
    web = setup.environment
    return (
        f"gunicorn gthread {web['WEB_PROCESSES']} x {web['WEB_THREADS']}, one feexpay_worker, PostgreSQL without fsync,"
        f" Redis, the sandbox; {setup.payers} payers for {setup.seconds} s"
    )
