"""The poll rate of the worker with a gateway that answers in 200 ms, relative to the highest possible rate."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from django_feexpay import conf
from django_feexpay.background.worker import Worker
from django_feexpay.gateway.client import CallSeen, Gateway
from django_feexpay.gateway.transport import HttpTransport
from tools.bench import rows
from tools.bench.measuring import Effort, Figure, counted

GATEWAY_SECONDS = 0.2
LEAST_OF_IDEAL = 0.85
MOST_CPU = 1.3
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class PollRun:
    """One run. `rate`: polls per second. The other two are per poll."""

    rate: float
    cpu_seconds: float
    statement_count: float


class AnswerCounter:
    """An observer of calls that sets `done` after `count` of them."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()
        self.done = threading.Event()

    def note(self, seen: CallSeen) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.done.set()


def polls(effort: Effort, concurrency: int) -> Iterator[Figure]:
    """Measure `feexpay_worker` with `concurrency` polling threads."""
    ideal = concurrency / GATEWAY_SECONDS
    count = max(2 * concurrency, int(ideal * effort.polls_seconds))
    with _gateway() as url:
        settings.FEEXPAY = settings.FEEXPAY | {"BASE_URL": url}
        worker = _worker(count, concurrency, effort)
        bare = _without_worker(url, count, concurrency)
    share = worker.rate / ideal
    name = f"worker, {concurrency} at once, gateway of 200 ms"
    value = f"{worker.rate:.0f} polls/s of {ideal:.0f} ({share:.0%}), bare {bare.rate:.0f}"
    yield Figure(name, value, f"≥ {LEAST_OF_IDEAL:.0%}", share >= LEAST_OF_IDEAL)
    cpu = worker.cpu_seconds / bare.cpu_seconds
    times = f"{worker.cpu_seconds * 1e3:.2f} / {bare.cpu_seconds * 1e3:.2f} ms"
    yield Figure(
        f"worker, {concurrency} at once, CPU a poll : bare calls",
        f"{cpu:.2f}  {times}",
        f"≤ {MOST_CPU} ×",
        cpu <= MOST_CPU,
    )
    yield Figure(
        f"worker, {concurrency} at once, SQL a poll",
        f"{worker.statement_count:.1f} statements",
        "2 a batch",
        None,
    )


def _worker(count: int, concurrency: int, effort: Effort) -> PollRun:
    """Poll `count` attempts. What the worker does once a minute is done before, so it is not in the figures."""
    with counted() as seen, Worker(concurrency=concurrency) as worker:
        rows.make_due(0, effort.small_rows)
        worker.sweep()
        rows.make_due(count, effort.small_rows)
        answers, stop = AnswerCounter(count), threading.Event()
        conf.observe(answers.note)
        loop = threading.Thread(target=_work, args=(worker, stop))
        seen.clear()
        begun, cpu = time.perf_counter(), time.process_time()
        loop.start()
        finished = answers.done.wait(_TIMEOUT_SECONDS)
        seconds = time.perf_counter() - begun
        stop.set()
        loop.join()
    if not finished:
        raise RuntimeError(f"the worker did not ask {count} times in {_TIMEOUT_SECONDS} s")
    return PollRun(count / seconds, (time.process_time() - cpu) / count, len(seen) / count)


def _work(worker: Worker, stop: threading.Event) -> None:
    worker.run(stop)
    connection.close()


def _without_worker(url: str, count: int, concurrency: int) -> PollRun:
    """The same gateway calls from as many threads, without the worker."""
    gateway = Gateway(api_key="bench", shop_id="bench", base_url=url, transport=HttpTransport(), sandbox_allowed=True)
    with ThreadPoolExecutor(concurrency) as threads:
        begun, cpu = time.perf_counter(), time.process_time()
        list(threads.map(gateway.fetch_status, [f"ref-{number}" for number in range(count)]))
        return PollRun(count / (time.perf_counter() - begun), (time.process_time() - cpu) / count, 0)


@contextmanager
def _gateway() -> Iterator[str]:
    command = [sys.executable, "-m", "tools.bench.slow_gateway", str(GATEWAY_SECONDS)]
    process: subprocess.Popen[Any]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin  # noqa: S101 -- a pipe, by the line above
        assert process.stdout  # noqa: S101 -- likewise
        with process.stdin:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/api"
