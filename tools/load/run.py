"""One run of `make load`. Needs Django set up on the shop's database, which `__main__` does."""

from __future__ import annotations

import os
import statistics
import time
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
from tools.load.payers import Driven, Payers
from tools.load.webhooks import Posted, post_in_turn

#: What a payment costs. The gateway is FeexPay's, and the payers' phones are not the shop's.
COUNTED = ("web", "worker", "PostgreSQL", "Redis")
_WEBHOOKS_PER_SECOND = 50
#: P13 of the goals: the share of the minimum's requests a second, and the cores of 1,000 webhooks a second.
_LEAST_OF_MINIMUM, _MOST_CORES = 0.75, 1.5
_START_SECONDS = 60.0
_SETTLE_SECONDS = 120.0


@dataclass(frozen=True)
class Setup:
    """What is started, and for how long it runs. URLs end without a slash. `environment`: of all processes."""

    folder: Path
    shop: str
    sandbox: str
    environment: Mapping[str, str] = field(repr=False)
    seconds: float
    payers: int


@dataclass(frozen=True)
class Usage:
    """CPU seconds of each part between two moments, and the seconds between them."""

    cpu_seconds: dict[str, float]
    seconds: float

    def counted(self) -> float:
        return sum(self.cpu_seconds[part] for part in COUNTED)


def run(setup: Setup) -> int:
    """Exit code 0 when each charge was credited exactly once and nothing was refused."""
    with Processes(setup.folder, setup.environment) as processes:
        tokens = _start(processes, setup)
        sandbox = Sandbox(setup.sandbox)
        payers = Payers(setup.shop, sandbox, tokens)
        parts = _parts(processes)
        print(f"{machine((*PACKAGES, 'gunicorn')).strip()}\n{_set_up(setup)}\n", flush=True)
        warm_up = payers.pay(0)
        _wait_until_settled()
        before, began, load = _used(parts), time.monotonic(), os.getloadavg()[0]
        driven = payers.pay(setup.seconds)
        _wait_until_settled()
        used = Usage({part: seconds - before[part] for part, seconds in _used(parts).items()}, time.monotonic() - began)
        problems = [*warm_up.refused, *driven.refused, *_violations(sandbox.payments())]
        _print_payments(driven, used, load)
        if not problems:
            processes.stop("worker")
            counted = {part: pid for part, pid in parts.items() if part in COUNTED and part != "worker"}
            posted = post_in_turn(
                setup.shop, int(_WEBHOOKS_PER_SECOND * setup.seconds), setup.payers, lambda: _used(counted)
            )
            _print_webhooks(*posted)
        for problem in problems:
            print(f"VIOLATION {problem}")
        return _print_last_line(sandbox.payments(), driven, used, failed=bool(problems))


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

    if not wait_until(answers, seconds=_START_SECONDS):
        raise RuntimeError("the shop or the sandbox does not answer")
    return tokens


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


# --- report ----------------------------------------------------------------------------------------------


def _set_up(setup: Setup) -> str:
    web = setup.environment
    return (
        f"gunicorn gthread {web['WEB_PROCESSES']} x {web['WEB_THREADS']}, one feexpay_worker, PostgreSQL without fsync,"
        f" Redis, the sandbox; {setup.payers} payers for {setup.seconds:.0f} s"
    )


def _print_payments(driven: Driven, used: Usage, load: float) -> None:
    count = len(driven.started)
    credited = _seconds_to_credit(driven.started)
    lines = {
        "payments started": f"{count}",
        "credited": f"{len(credited)}",
        "payments per second": f"{count / driven.seconds:.1f}",
        "initiate": _p50_p99(driven.initiate_seconds),
        "from start to credited": _p50_p99(credited),
        "status reads": f"{driven.status_reads / max(count, 1):.1f} a payment",
        "CPU seconds": ", ".join(f"{part} {used.cpu_seconds[part]:.2f}" for part in COUNTED)
        + "".join(f"; {part} {used.cpu_seconds[part]:.2f} (not counted)" for part in ("gateway", "payers")),
        "load average": f"{load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end",
    }
    print("".join(f"{name:26}{value}\n" for name, value in lines.items()))
    each = ", ".join(f"{part} {_cores(used.cpu_seconds[part], count):.1f}" for part in COUNTED)
    print(f"cores per 1,000 payments/s: {_cores(used.counted(), count):.1f} ({each})", flush=True)


def _print_webhooks(ours: Posted, minimum: Posted) -> None:
    share = ours.per_second / minimum.per_second
    each = ", ".join(f"{part} {ours.milliseconds(part):.1f}" for part in ours.cpu_seconds)
    total, least = (sum(map(posted.milliseconds, posted.cpu_seconds)) for posted in (ours, minimum))
    print(
        f"webhooks alone: {ours.per_second:.0f}/s of the minimum's {minimum.per_second:.0f}/s ({share:.2f},"
        f" goal ≥ {_LEAST_OF_MINIMUM})\n"
        f"cores per 1,000 webhooks/s: {total:.1f} ({each}), the minimum {least:.1f} (goal ≤ {_MOST_CORES})",
        flush=True,
    )


def _print_last_line(rows: Sequence[Mapping[str, Any]], driven: Driven, used: Usage, *, failed: bool) -> int:
    """Count what was paid, the warm-up included; exit code 0 only if all three counts agree."""
    paid = Payment.objects.filter(merchant_reference__startswith="load-")
    payments, credited = paid.count(), Credit.objects.filter(payment__in=paid).count()
    charges = sum(row["charged"] for row in rows)
    cores = _cores(used.counted(), len(driven.started))
    print(f"payments={payments} credited={credited} charges={charges} cores_per_1000={cores:.1f}")
    return int(failed or not payments == credited == charges > 0)


def _seconds_to_credit(started: Sequence[str]) -> list[float]:
    """From the row of a payment to that of its credit."""
    wanted = set(map(UUID, started))
    times = Credit.objects.values_list("payment_id", "payment__created_at", "created_at")
    return [(credited - begun).total_seconds() for payment, begun, credited in times if payment in wanted]


def _p50_p99(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "too few"
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return f"p50 {1000 * cuts[49]:.0f} ms, p99 {1000 * cuts[98]:.0f} ms"


def _cores(cpu_seconds: float, count: int) -> float:
    """CPU seconds of 1,000 payments: as many cores are busy when 1,000 payments are made each second."""
    return 1000 * cpu_seconds / max(count, 1)
