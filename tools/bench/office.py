"""`python -m tools.bench.office [--payments N]`: server time and statements of the back office's pages.

On PostgreSQL with a year of made-up payments. Not part of `make bench`: a million payments take some minutes to write.
DATABASE_URL names a database that lasts; without it a server of our own runs and is filled.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from tools.bench import filled

if TYPE_CHECKING:
    from django.test import Client

_ROUNDS, _ROUNDS_OF_A_LINK = 5, 3
_LISTS = (
    *("payment", "attempt", "paymentevent", "credit", "webhookdelivery", "outboxmessage", "idempotencyrecord"),
    *("incident", "refund", "payout", "discrepancy", "finding", "comparison", "reviewproposal", "promptlift"),
    *("staffaction", "dailytotal", "provider", "heartbeat"),
)
_ADMIN = "/admin/feexpay/"


class _Timing(NamedTuple):
    """Milliseconds of the fastest request and the median, those the fastest spent in SQL, and its statements.

    `cpu`: the least of this process; `postgres_cpu`: the mean of PostgreSQL's, 0 if it runs elsewhere. Other programs
    on the machine lengthen them much less.
    """

    fastest: float
    median: float
    in_sql: float
    statements: int
    cpu: float
    postgres_cpu: float


def main() -> int:
    payments = filled.parser("office", __doc__).parse_args().payments
    with filled.database(payments):
        _measure()
    return 0


def _measure() -> None:
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client

    with connection.cursor() as cursor:
        cursor.execute("SET max_parallel_workers_per_gather = 0")  # else CPU of PostgreSQL is in several processes
    staff, _ = User.objects.get_or_create(username="bench", defaults={"is_staff": True, "is_superuser": True})
    client = Client()
    client.force_login(staff)
    print(f"{'page':84}{'min ms':>8}{'median':>8}{'in SQL':>8}{'statements':>12}{'CPU ms':>8}{'PostgreSQL':>12}")
    for page in _pages():
        _show(page, _timed(client, page))
    for name in _LISTS:
        _show(f"{name}/", _timed(client, f"{name}/"))
        if timings := {page: _timed(client, page, _ROUNDS_OF_A_LINK) for page in _links(client, f"{name}/")}:
            slowest = max(timings, key=timings.__getitem__)
            _show(f"slowest of its {len(timings)} filters and pages: {slowest}", timings[slowest])


def _show(words: str, timing: _Timing) -> None:
    waited = f"{timing.fastest:8.0f}{timing.median:8.0f}{timing.in_sql:8.0f}{timing.statements:12}"
    print(f"{words:84}{waited}{timing.cpu:8.0f}{timing.postgres_cpu:12.0f}", flush=True)


def _pages() -> Iterator[str]:
    from django_feexpay.models import Payment

    payment = Payment.objects.filter(status="successful", user__isnull=False).latest("created_at")
    yield "payment/overview/"
    yield from (f"dailytotal/dashboard/?days={days}" for days in (1, 7, 30))
    yield f"dailytotal/dashboard/?days=30&provider={payment.provider_id}"
    yield from ("credit/statement/", f"credit/statement/?provider={payment.provider_id}")
    yield f"payment/{payment.pk}/change/"
    for term in (payment.merchant_reference, payment.attempt.gateway_reference, payment.user, "nothing-like-this"):
        yield from (f"{name}/?q={quote(str(term))}" for name in ("payment", "attempt", "paymentevent"))


def _links(client: Client, page: str) -> list[str]:
    """Every link of a list that filters, sorts or turns its pages."""
    html = client.get(_ADMIN + page).content.decode()
    found = {unescape(query) for query in re.findall(rf'href="(?:{_ADMIN}{page})?(\?[^"]+)"', html)}
    return [page + query for query in sorted(found)]


def _timed(client: Client, page: str, rounds: int = _ROUNDS) -> _Timing:
    """The time of a page, with an empty cache each time. Raises: SystemExit for a page that does not open."""
    from django.core.cache import cache
    from django.db import connection

    timings: list[tuple[float, float, int]] = []
    cpu: list[float] = []
    waits: list[float] = []

    def count(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        begun = time.perf_counter()
        try:
            return execute(sql, parameters, many, context)
        finally:
            waits.append((time.perf_counter() - begun) * 1000)

    client.get(_ADMIN + page)  # compiles templates
    postgres_before = _postgres_cpu()
    for _ in range(rounds):
        cache.clear()
        waits.clear()
        begun, begun_cpu = time.perf_counter(), time.process_time()
        with connection.execute_wrapper(count):
            answer: Any = client.get(_ADMIN + page)
        cpu.append((time.process_time() - begun_cpu) * 1000)
        timings.append(((time.perf_counter() - begun) * 1000, sum(waits), len(waits)))
        if answer.status_code != 200:
            raise SystemExit(f"{page} answered {answer.status_code}")
    postgres_cpu = (_postgres_cpu() - postgres_before) / rounds
    fastest, in_sql, statements = min(timings)
    median = statistics.median(total for total, _, _ in timings)
    return _Timing(fastest, median, in_sql, statements, min(cpu), postgres_cpu)


def _postgres_cpu() -> float:
    """Milliseconds of CPU that PostgreSQL's process for our connection has used; 0 if it is on another machine."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        process = Path(f"/proc/{cursor.fetchone()[0]}")
    if not process.exists() or not (process / "comm").read_text().startswith("postgres"):
        return 0
    user, system = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) * 1000 / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
