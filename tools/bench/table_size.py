"""The cost of a larger table: statements of the app in a small and in a large database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from django_feexpay import conf
from django_feexpay.api.pagination import Cursor
from django_feexpay.lifecycle import LIVE
from django_feexpay.models import Payment
from django_feexpay.payments import leases
from tools.bench import rows
from tools.bench.authentication import player
from tools.bench.measuring import Effort, Figure, at_most, interleave, ratio
from tools.bench.wsgi_site import Site

DUE_INDEX = "feexpay_attempt_due"


def history(site: Site, effort: Effort, large: Any) -> Iterator[Figure]:
    """The SELECT of the first page of history and of a page in the middle."""
    sizes = f"{effort.large_rows:,} : {effort.small_rows:,} rows"
    yield _compare(f"history, first page, {sizes}", effort, large, lambda: _page(site, ""))
    yield _compare(f"history, page in the middle, {sizes}", effort, large, lambda: _page(site, _middle_cursor()))


def due_rows(effort: Effort, large: Any) -> Iterator[Figure]:
    """The SELECT that finds and locks due attempts, with equally many of them in both databases, and its query plan."""
    rows.make_due(effort.due_rows, effort.small_rows)
    with rows.use(large):
        rows.make_due(effort.due_rows, effort.large_rows)
    name = f"due, {effort.due_rows} rows of {effort.large_rows:,} : of {effort.small_rows:,}"
    yield _compare(name, effort, large, lambda: _find_due(effort))
    with rows.use(large):
        nodes = list(_nodes(_plan(_select_of(lambda: _find_due(effort)))))
    scans = ", ".join(node["Node Type"] for node in nodes if "Scan" in node["Node Type"])
    indexes = {node.get("Index Name") for node in nodes}
    fine = DUE_INDEX in indexes and "Seq Scan" not in scans
    yield Figure("due, plan on the large table", scans, f"index {DUE_INDEX}", fine)


def _page(site: Site, cursor: str) -> None:
    site.call("GET", f"/feexpay/history/?page_size=100&cursor={cursor}")


def _middle_cursor() -> str:
    payments = Payment.objects.filter(user=player())
    row = payments.order_by("-created_at", "-id")[payments.count() // 2]
    return str(Cursor(row.created_at, row.pk, backwards=False))


def _find_due(effort: Effort) -> None:
    values: dict[str, Any] = {"statuses": sorted(LIVE), "now": conf.now(), "limit": 2 * effort.due_rows}
    with connection.cursor() as cursor:
        cursor.execute(leases.DUE, values)
        if cursor.rowcount != effort.due_rows:
            raise RuntimeError(f"{cursor.rowcount} attempts were due, not {effort.due_rows}")


def _compare(name: str, effort: Effort, large: Any, work: Callable[[], None]) -> Figure:
    """The ratio of wall times of the SELECT of `work`: large database to small database."""
    runs: dict[str, Callable[[], object]] = {}
    for size, database in (("small", connections["default"]), ("large", large)):
        with rows.use(database):
            runs[size] = _reader(database, _select_of(work))
    times = interleave(runs, effort, clock=time.perf_counter)
    return at_most(name, ratio(times["large"], times["small"]), 3.0)


def _select_of(work: Callable[[], None]) -> str:
    """The longest SELECT that `work` executes, with its parameters filled in."""
    with CaptureQueriesContext(connection) as captured:
        work()
    texts = [query["sql"] for query in captured.captured_queries]
    return max((text for text in texts if text.startswith("SELECT")), key=len)


def _reader(database: Any, sql: str) -> Callable[[], object]:
    """A function that runs `sql` in autocommit, so that its row locks are released at once."""

    def read() -> None:
        with database.cursor() as cursor:
            cursor.execute(sql)
            cursor.fetchall()

    return read


def _plan(sql: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        written = cursor.fetchone()[0]
    plan: dict[str, Any] = (json.loads(written) if isinstance(written, str) else written)[0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
