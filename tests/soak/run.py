"""One soak from start to verdict. Needs Django set up on the shop's own database (`__main__` does that)."""

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
from tests.soak import books, hung_receiver, ours
from tests.soak.faults import Faults
from tests.soak.fleet import Fleet
from tests.soak.payers import Payers, Troublemaker
from tests.soak.plan import TIME_SCALE, Plan, is_canary
from tests.soak.players import Players
from tests.soak.wire import PAYMENTS, Sandbox, Webhooks, ask, wait_until

_START_SECONDS = 60.0
_SERVER_ERROR = re.compile(r'HTTP/1\.[01]" 5(?!03)\d\d')
_RECORD = re.compile(r"^(?=\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} )", re.MULTILINE)
_RAISED = re.compile(r"^[\w.]+(?:: .*)?$", re.MULTILINE)
_HANGS = "tests.soak.hung_receiver.hang does not return on"
_TRACEBACK = "Traceback (most recent call last)"
_DATABASE_AWAY = ("django.db.utils.OperationalError", "django.db.utils.InterfaceError")

# django-q2 prints what it stumbles over as it likes; our tasks in it are judged by the rows.
_NOT_OURS = ("cluster",)
_WORKERS = ("worker-1", "worker-2")

# Minutes ahead: past the longest lease, past two empty searches in history ten minutes apart, and past the day after
# which what is in no history is closed.
_PAST_LEASES = 3
_PAST_SEARCHES = (14, 26, 24 * 60 + 5)
#: After the comparison; then again, for what FeexPay was too busy to answer the first time.
_PAST_NIGHT = (_PAST_SEARCHES[-1] + 5, _PAST_SEARCHES[-1] + 25)


@dataclass(frozen=True)
class Place:
    """Where a soak runs. URLs end without a slash; `timeout_seconds`: how long to wait for quiet in real time."""

    folder: Path
    database_url: str
    shop: str
    sandbox: str
    webhook_secret: str
    environment: Mapping[str, str]
    timeout_seconds: float


class Soak:
    """One run of a plan."""

    def __init__(self, plan: Plan, place: Place) -> None:
        self._plan = plan
        self._place = place
        self._began_at = time.monotonic()
        self._hung = Path(place.environment[hung_receiver.FILE])
        self._sandbox = Sandbox(place.sandbox)
        self._payers = Payers(self._sandbox, plan)
        webhooks = Webhooks(place.shop, place.webhook_secret)
        self._trouble = Troublemaker(self._sandbox, webhooks, plan.seed)

    def run(self) -> int:
        """Exit code 0 only when the books of both sides agree and every invariant holds."""
        call_command("migrate", verbosity=0)
        patience = self._plan.player_patience_seconds
        self._players = Players(self._place.shop, ours.make_players(self._plan.players), timeout_seconds=patience)
        with Fleet(self._place.folder, self._place.environment) as fleet:
            self._start(fleet)
            self._load(fleet)
            self._await_quiet()
            self._hurry(fleet)
            rows = self._sandbox.payments()
        return self._report(rows, fleet.logs())

    # --- the three acts ------------------------------------------------------------------------------

    def _start(self, fleet: Fleet) -> None:
        fleet.start("sandbox", "django_feexpay.sandbox", f"--time-scale={TIME_SCALE}")
        self._hung.touch()
        host = self._place.shop.removeprefix("http://")
        fleet.start("shop", "manage", "runserver", "--noreload", host)
        for name in _WORKERS:
            fleet.start(name, "manage", "feexpay_worker", "--concurrency=4")
        if self._plan.with_cluster:
            call_command("feexpay_schedule", stdout=StringIO())
            fleet.start("cluster", "manage", "qcluster")
        if not wait_until(self._everything_answers, seconds=_START_SECONDS):
            raise RuntimeError(f"the shop or the sandbox does not answer; the logs are in {self._place.folder}")
        self._say(f"started; {len(self._plan.purchases)} purchases in {self._plan.seconds:.0f} s")

    def _everything_answers(self) -> bool:
        health = ask("GET", f"{self._place.shop}{PAYMENTS}/health/")
        return health is not None and health.status_code == 200 and self._sandbox.answers()

    def _load(self, fleet: Fleet) -> None:
        """Purchases, payers, forgeries and faults, all at once."""
        faults = Faults(fleet, self._place.database_url, self._say)
        interrupted = threading.Event()
        with _beside(self._payers.run, self._trouble.run), ThreadPoolExecutor(1) as pool:
            self._players.meet_errors(self._plan, self._sandbox)
            happening = pool.submit(faults.happen, self._plan, interrupted)
            try:
                self._players.play(self._plan)
                happening.result()
            finally:
                interrupted.set()
        connection.close()  # it was cut off with all the others

    def _await_quiet(self) -> None:
        """No more faults: the last payers choose, the last webhooks arrive, the leases of the dead end."""
        self._say("no more purchases and faults")
        if wait_until(self._is_quiet, seconds=self._place.timeout_seconds, every_seconds=0.5):
            self._say("quiet")
        else:
            left = ", ".join(f"{count} {kind}" for kind, count in ours.unfinished().items()) or "late payers"
            self._say(f"not quiet within {self._place.timeout_seconds:.0f} s: {left}")

    def _hurry(self, fleet: Fleet) -> None:
        """What the dead held for minutes, payers long after their time, and who is to be found in no history."""
        if self._plan.with_cluster:
            fleet.kill("cluster")  # asked to end, it would first finish a sweep of up to 45 s
        self._died = fleet.stop(*_WORKERS)  # also while a receiver hangs
        self._hung.unlink()
        self._hurried_at = conf.now()
        ours.sweep_ahead(_PAST_LEASES)
        self._payers.look(hurried=True)
        for minutes in _PAST_SEARCHES:
            ours.sweep_ahead(minutes)
        self._say("looked a day ahead")
        comparison = ours.compare_with_history(_PAST_SEARCHES[-1])
        for minutes in _PAST_NIGHT:
            ours.sweep_ahead(minutes)
        self._comparison_state = comparison.state
        self._say(f"compared with FeexPay's history: {comparison.state}")

    def _is_quiet(self) -> bool:
        return not self._payers.look() and not ours.unfinished()

    # --- the verdict ---------------------------------------------------------------------------------

    def _report(self, rows: list[dict[str, Any]], logs: Mapping[str, str]) -> int:
        verdict = books.compare(rows, ours.attempts(), ours.coins())
        verdict.other += [*map(str, ours.violations(_PAST_NIGHT[-1])), *ours.leaks()]
        verdict.forgotten += ours.untold()
        verdict.other += [*self._webhooks_astray(rows), *self._keys_astray(), *_log_flaws(logs)]
        verdict.other += self._players.surprises
        if self._comparison_state != "complete":
            verdict.other.append(f"the comparison with FeexPay's history is {self._comparison_state}")
        verdict.other += [f"{name} had ended by itself, or would not end" for name in self._died]
        _print_outcomes(self._plan)
        self._print_numbers(rows, logs)
        for text in verdict.violations:
            print(f"VIOLATION {text}")
        print(self._last_line(verdict))
        return 1 if verdict.violations else 0

    def _webhooks_astray(self, rows: list[dict[str, Any]]) -> Iterator[str]:
        """Whatever the shop answered with 200 is stored; what was forged is not even taken."""
        stored = ours.deliveries()
        sent = {(row["reference"], hook["status"]) for row in rows for hook in row["webhooks"] if hook["delivered"]}
        for reference, status in sorted((sent | self._trouble.stored) - stored):
            yield f"webhook {reference} {status}: answered with 200 and not stored"
        for (signed, code), count in self._trouble.codes.items():
            if code not in ((0, 200, 503) if signed else (0, 401, 503)):
                yield f"{count} {'signed' if signed else 'forged'} webhooks answered with {code}"

    def _keys_astray(self) -> Iterator[str]:
        """One key, one payment: in what the players were told, and in the rows."""
        started = ours.payments_of(list(self._players.ids))
        for key, ids in self._players.ids.items():
            if len(ids | started.get(key, set())) != 1:
                yield f"idempotency key {key}: {len(ids)} payments answered, {len(started.get(key, ()))} started"

    def _print_numbers(self, rows: list[dict[str, Any]], logs: Mapping[str, str]) -> None:
        left_count = sum(text.count(_HANGS) for text in logs.values())
        hung = {
            "payments a receiver hung on": hung_receiver.count_hung(self._hung),
            "calls given up as hung": left_count,
        }
        for name, count in (ours.tally() | hung).items():
            print(f"  {count:6} {name}")
        print(f"  requests in doubt: {_counted(ours.doubts())}")
        print(f"  differences: {_counted(ours.differences())}")
        print(f"  payers and FeexPay did: {_counted(self._payers.chosen)}")
        print(f"  players were answered: {_counted(self._players.codes)}")
        waits = self._waits(rows)
        if len(waits) > 1:
            cuts = statistics.quantiles(waits, n=100, method="inclusive")
            print(f"  from charge to credit: p50 {cuts[49]:.1f} s, p95 {cuts[94]:.1f} s, slowest {max(waits):.1f} s")

    def _waits(self, rows: list[dict[str, Any]]) -> list[float]:
        """Seconds from the charge at the gateway to the credit, of all that were credited in real time."""
        credited_at = {echo: at for echo, at in ours.credited_at().items() if at < self._hurried_at}
        return [
            (credited_at[books.attempt_id(row)] - datetime.fromisoformat(row["settled_at"])).total_seconds()
            for row in rows
            if row["charged"] and books.attempt_id(row) in credited_at and row["prompts"]
        ]

    def _last_line(self, verdict: books.Verdict) -> str:
        good = "failed" if verdict.violations else "ok"
        seconds = time.monotonic() - self._began_at
        credited = ours.tally()["credited"]
        return (
            f"soak {good}: N={len(self._plan.purchases)} seed={self._plan.seed} seconds={seconds:.0f}"
            f" credited={credited} lost={len(verdict.lost)} duplicates={len(verdict.duplicates)}"
            f" forgotten={len(verdict.forgotten)}"
        )

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began_at:6.1f} s] {text}", flush=True)


@contextmanager
def _beside(*works: Callable[[threading.Event], None]) -> Iterator[None]:
    """These run in threads for as long as the block does. Raises what one of them raised."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(works)) as pool:
        running = [pool.submit(work, stop) for work in works]
        try:
            yield
        finally:
            stop.set()
        for work in running:
            work.result()


def _counted(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _print_outcomes(plan: Plan) -> None:
    """A line for each ending and each case: how many were started, and where their payments stand."""
    label_of = {purchase.amount: purchase.label for purchase in plan.purchases}
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for (amount, status), count in ours.outcomes().items():
        table[label_of[amount]][status] += count
    statuses = ("successful", "failed", "rejected", "expired", "review")
    print("\n  ending  " + "".join(f"{status:>12}" for status in statuses))
    for ending in sorted(table):
        print(f"  {ending:8}" + "".join(f"{table[ending][status] or '·':>12}" for status in statuses))
    print()


def _log_flaws(logs: Mapping[str, str]) -> Iterator[str]:
    """A payer's number in a log, an answer of 500, an error other than that the database is away."""
    for name, text in logs.items():
        for number, line in enumerate(text.splitlines(), 1):
            if is_canary(line):
                yield f"{name}.log:{number}: a payer's number"
            if _SERVER_ERROR.search(line):
                yield f"{name}.log:{number}: {line.strip()[:200]}"
        if name not in _NOT_OURS:
            yield from (f"{name}.log: {error[:200]}" for error in _errors(text))


def _errors(text: str) -> Iterator[str]:
    """How each traceback ended, one a record of the log, but for those of a database that is away."""
    for record in _RECORD.split(text):
        if _TRACEBACK in record:
            last = _RAISED.findall(record)[-1]
            if not last.startswith(_DATABASE_AWAY):
                yield last
