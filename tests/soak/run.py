"""One soak from start to report. Needs Django set up on the shop's database, which `__main__` does."""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection

from django_feexpay import conf
from tests.soak import comparison, hung_receiver, shop_rows
from tests.soak.clients import PAYMENTS, Sandbox, Webhooks, ask, wait_until
from tests.soak.faults import Faults
from tests.soak.payers import Payers, WebhookAttacker
from tests.soak.plan import TIME_SCALE, Plan, is_canary
from tests.soak.players import Players
from tests.soak.processes import Processes

_START_SECONDS = 60.0
_SERVER_ERROR = re.compile(r'HTTP/1\.[01]" 5(?!03)\d\d')
#: Where a line of `monitoring.logs` begins, as text.
_RECORD = re.compile(r"^(?=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 [A-Z]+ )", re.MULTILINE)
_RAISED = re.compile(r"^[\w.]+(?:: .*)?$", re.MULTILINE)
_HANGS = "tests.soak.hung_receiver.hang does not return on"
_TRACEBACK = "Traceback (most recent call last)"
_SERVER_DETAILS = ("DETAIL:", "HINT:", "CONTEXT:")
_DATABASE_AWAY = ("django.db.utils.OperationalError", "django.db.utils.InterfaceError")

# django-q2 logs its own errors in its own format; the rows show whether our tasks in it worked.
_UNCHECKED_LOGS = ("cluster",)
_WORKERS = ("worker-1", "worker-2")

# How many minutes the clock is put ahead: past the longest lease; past two empty searches in history, ten minutes
# apart; past the day after which an attempt is closed if history never listed it.
_AFTER_LEASES = 3
_AFTER_SEARCHES = (14, 26, 24 * 60 + 5)
# After the comparison, and again for the questions that FeexPay was too busy to answer.
_AFTER_NIGHT = (_AFTER_SEARCHES[-1] + 5, _AFTER_SEARCHES[-1] + 25)


@dataclass(frozen=True)
class Setup:
    """Addresses and folders of a soak. URLs end without a slash. `timeout_seconds`: for `_wait_until_done`."""

    folder: Path
    database_url: str
    shop: str
    sandbox: str
    webhook_secret: str
    environment: Mapping[str, str]
    timeout_seconds: float


class Soak:
    """One run of a plan."""

    def __init__(self, plan: Plan, setup: Setup) -> None:
        self._plan = plan
        self._setup = setup
        self._began_at = time.monotonic()
        self._hung = Path(setup.environment[hung_receiver.FILE])
        self._sandbox = Sandbox(setup.sandbox)
        self._payers = Payers(self._sandbox, plan)
        webhooks = Webhooks(setup.shop, setup.webhook_secret)
        self._attacker = WebhookAttacker(self._sandbox, webhooks, plan.seed)

    def run(self) -> int:
        """Exit code 0 when the rows of both sides match and every invariant holds."""
        call_command("migrate", verbosity=0)
        timeout = self._plan.player_timeout_seconds
        self._players = Players(self._setup.shop, shop_rows.make_players(self._plan.players), timeout_seconds=timeout)
        with Processes(self._setup.folder, self._setup.environment) as processes:
            self._start(processes)
            self._load(processes)
            self._wait_until_done()
            self._fast_forward(processes)
            rows = self._sandbox.payments()
        return self._report(rows, processes.logs())

    # --- start, load, finish ------------------------------------------------------------------------------

    def _start(self, processes: Processes) -> None:
        processes.start("sandbox", "django_feexpay.sandbox", f"--time-scale={TIME_SCALE}")
        self._hung.touch()
        host = self._setup.shop.removeprefix("http://")
        processes.start("shop", "manage", "runserver", "--noreload", host)
        for name in _WORKERS:
            processes.start(name, "manage", "feexpay_worker", "--concurrency=4")
        if self._plan.with_cluster:
            call_command("feexpay_schedule", stdout=StringIO())
            processes.start("cluster", "manage", "qcluster")
        if not wait_until(self._everything_answers, seconds=_START_SECONDS):
            raise RuntimeError(f"the shop or the sandbox does not answer; the logs are in {self._setup.folder}")
        self._say(f"started; {len(self._plan.purchases)} purchases in {self._plan.seconds:.0f} s")

    def _everything_answers(self) -> bool:
        health = ask("GET", f"{self._setup.shop}{PAYMENTS}/health/")
        return health is not None and health.status_code == 200 and self._sandbox.answers()

    def _load(self, processes: Processes) -> None:
        """Make the purchases while payers decide, webhooks are forged and faults happen."""
        faults = Faults(processes, self._setup.database_url, self._say)
        interrupted = threading.Event()
        with _in_background(self._payers.run, self._attacker.run), ThreadPoolExecutor(1) as pool:
            self._players.play_charged_errors(self._plan, self._sandbox)
            injecting = pool.submit(faults.inject_all, self._plan, interrupted)
            try:
                self._players.play(self._plan)
                injecting.result()
            finally:
                interrupted.set()
        connection.close()  # a fault has closed it

    def _wait_until_done(self) -> None:
        """Wait without faults for the last decisions, the last webhooks and the leases of killed processes."""
        self._say("purchases and faults are over")
        if wait_until(self._is_done, seconds=self._setup.timeout_seconds, every_seconds=0.5):
            self._say("nothing is left to do")
        else:
            left = ", ".join(f"{count} {kind}" for kind, count in shop_rows.unfinished().items()) or "late payers"
            self._say(f"still to do after {self._setup.timeout_seconds:.0f} s: {left}")

    def _fast_forward(self, processes: Processes) -> None:
        """Finish with a clock ahead: leases of killed processes, late payers, searches in history, the nightly job."""
        if self._plan.with_cluster:
            processes.kill("cluster")  # with SIGTERM it would first finish a sweep of up to 45 s
        self._died = processes.stop(*_WORKERS)  # also while a receiver hangs
        self._hung.unlink()
        self._fast_forwarded_at = conf.now()
        shop_rows.sweep_with_clock_ahead(_AFTER_LEASES)
        self._payers.act(at_once=True)
        for minutes in _AFTER_SEARCHES:
            shop_rows.sweep_with_clock_ahead(minutes)
        self._say("swept a day ahead")
        comparison = shop_rows.compare_with_history(_AFTER_SEARCHES[-1])
        for minutes in _AFTER_NIGHT:
            shop_rows.sweep_with_clock_ahead(minutes)
        self._comparison_state = comparison.state
        self._say(f"compared with FeexPay's history: {comparison.state}")

    def _is_done(self) -> bool:
        return not self._payers.act() and not shop_rows.unfinished()

    # --- report ---------------------------------------------------------------------------------

    def _report(self, rows: list[dict[str, Any]], logs: Mapping[str, str]) -> int:
        verdict = comparison.compare(rows, shop_rows.attempts(), shop_rows.coins())
        verdict.other += [*map(str, shop_rows.violations(_AFTER_NIGHT[-1])), *shop_rows.leaks()]
        verdict.forgotten += shop_rows.undelivered_signals()
        verdict.other += [*self._webhook_errors(rows), *self._idempotency_errors(), *_log_errors(logs)]
        verdict.other += self._players.unexpected
        if self._comparison_state != "complete":
            verdict.other.append(f"the comparison with FeexPay's history is {self._comparison_state}")
        verdict.other += [f"{name} had died, or did not end" for name in self._died]
        _print_outcomes(self._plan)
        self._print_numbers(rows, logs)
        for text in verdict.violations:
            print(f"VIOLATION {text}")
        print(self._last_line(verdict))
        return 1 if verdict.violations else 0

    def _webhook_errors(self, rows: list[dict[str, Any]]) -> Iterator[str]:
        """Webhooks answered with 200 and not stored, and forged webhooks that were not refused."""
        stored = shop_rows.deliveries()
        sent = {(row["reference"], hook["status"]) for row in rows for hook in row["webhooks"] if hook["delivered"]}
        for reference, status in sorted((sent | self._attacker.stored) - stored):
            yield f"webhook {reference} {status}: answered with 200 and not stored"
        for (signed, code), count in self._attacker.codes.items():
            if code not in ((0, 200, 503) if signed else (0, 401, 503)):
                yield f"{count} {'signed' if signed else 'forged'} webhooks answered with {code}"

    def _idempotency_errors(self) -> Iterator[str]:
        """Idempotency keys with more or less than one payment, in the answers or in the rows."""
        started = shop_rows.payments_of(list(self._players.ids))
        for key, ids in self._players.ids.items():
            if len(ids | started.get(key, set())) != 1:
                yield f"idempotency key {key}: {len(ids)} payments answered, {len(started.get(key, ()))} started"

    def _print_numbers(self, rows: list[dict[str, Any]], logs: Mapping[str, str]) -> None:
        given_up = sum(text.count(_HANGS) for text in logs.values())
        hung = {
            "payments a receiver hung on": hung_receiver.count_hung(self._hung),
            "receiver calls given up": given_up,
        }
        for name, count in (shop_rows.tally() | hung).items():
            print(f"  {count:6} {name}")
        print(f"  requests with an unknown outcome: {_counted(shop_rows.lost_answers())}")
        print(f"  discrepancies: {_counted(shop_rows.discrepancy_counts())}")
        print(f"  decisions and follow-ups: {_counted(self._payers.chosen)}")
        print(f"  HTTP codes: {_counted(self._players.codes)}")
        waits = self._waits(rows)
        if len(waits) > 1:
            cuts = statistics.quantiles(waits, n=100, method="inclusive")
            print(f"  from charge to credit: p50 {cuts[49]:.1f} s, p95 {cuts[94]:.1f} s, slowest {max(waits):.1f} s")

    def _waits(self, rows: list[dict[str, Any]]) -> list[float]:
        """Seconds from the charge to the credit, of the payments credited before the clock was put ahead."""
        credited_at = {echo: at for echo, at in shop_rows.credited_at().items() if at < self._fast_forwarded_at}
        return [
            (credited_at[comparison.attempt_id(row)] - datetime.fromisoformat(row["settled_at"])).total_seconds()
            for row in rows
            if row["charged"] and comparison.attempt_id(row) in credited_at and row["prompts"]
        ]

    def _last_line(self, verdict: comparison.Verdict) -> str:
        result = "failed" if verdict.violations else "ok"
        seconds = time.monotonic() - self._began_at
        credited = shop_rows.tally()["credited"]
        return (
            f"soak {result}: N={len(self._plan.purchases)} seed={self._plan.seed} seconds={seconds:.0f}"
            f" credited={credited} lost={len(verdict.lost)} duplicates={len(verdict.duplicates)}"
            f" forgotten={len(verdict.forgotten)}"
        )

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began_at:6.1f} s] {text}", flush=True)


@contextmanager
def _in_background(*jobs: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run these in threads during the block; raise their errors after it."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(job, stop) for job in jobs]
        try:
            yield
        finally:
            stop.set()
        for job in running:
            job.result()


def _counted(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _print_outcomes(plan: Plan) -> None:
    """Print a line for each ending and case with the statuses of its payments."""
    label_of = {purchase.amount: purchase.label for purchase in plan.purchases}
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for (amount, status), count in shop_rows.outcomes().items():
        table[label_of[amount]][status] += count
    statuses = ("successful", "failed", "rejected", "expired", "review")
    print("\n  ending  " + "".join(f"{status:>12}" for status in statuses))
    for ending in sorted(table):
        print(f"  {ending:8}" + "".join(f"{table[ending][status] or '·':>12}" for status in statuses))
    print()


def _log_errors(logs: Mapping[str, str]) -> Iterator[str]:
    """Payers' numbers, 5xx answers other than 503 and tracebacks in the logs."""
    for name, text in logs.items():
        for number, line in enumerate(text.splitlines(), 1):
            if is_canary(line):
                yield f"{name}.log:{number}: a payer's number"
            if _SERVER_ERROR.search(line):
                yield f"{name}.log:{number}: {line.strip()[:200]}"
        if name not in _UNCHECKED_LOGS:
            yield from (f"{name}.log: {error[:200]}" for error in _errors(text))


def _errors(text: str) -> Iterator[str]:
    """The last line of each traceback, except those of an unavailable database."""
    for record in _RECORD.split(text):
        if _TRACEBACK in record:
            # PostgreSQL adds lines such as "DETAIL:  Consistent recovery state has not been yet reached."
            last = [line for line in _RAISED.findall(record) if not line.startswith(_SERVER_DETAILS)][-1]
            if not last.startswith(_DATABASE_AWAY):
                yield last
