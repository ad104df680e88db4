"""`python -m tools.bench [--quick] [--gate]`, from the root of the repository.

The exit code is 0 when everything was measured; with `--gate` it is 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests import servers

if TYPE_CHECKING:
    from tools.bench.measuring import Effort, Figure

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("Django", "djangorestframework", "psycopg")


def main() -> int:
    options = _options()
    begun = time.monotonic()
    sys.path.insert(0, str(ROOT / "sample_project"))
    with servers.postgres() as url:
        os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tools.bench.settings"}
        missed = _report(_effort(quick=options.quick))
    print(f"\n{missed} goals missed, {time.monotonic() - begun:.0f} s in all")
    return int(options.gate and missed > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure costs as ratios.")
    parser.add_argument("--quick", action="store_true", help="measure briefly: only tests the program")
    parser.add_argument("--gate", action="store_true", help="exit with 1 when a goal is missed")
    return parser.parse_args()


def _effort(*, quick: bool) -> Effort:
    from tools.bench.measuring import Effort

    if quick:
        return Effort(
            2,
            2,
            small_rows=1000,
            large_rows=2000,
            due_rows=20,
            polls_seconds=0.1,
            concurrencies=(8,),
            engine_payments=2,
        )
    return Effort()


def _report(effort: Effort) -> int:
    """Print each figure when it is measured; return how many missed their goal."""
    import django

    django.setup()
    print(machine(PACKAGES), f"{'measure':62}{'measured':46}goal", "-" * 122, sep="\n", flush=True)
    missed = 0
    for figure in _figures(effort):
        print(_line(figure), flush=True)
        missed += figure.met is False
    return missed


def _figures(effort: Effort) -> Iterator[Figure]:
    from tools.bench import endpoints, engines, rows, table_size, worker
    from tools.bench.wsgi_site import Site

    rows.fill_small(effort.small_rows)
    large = rows.fill_large(effort.small_rows + 1, effort.large_rows)
    site = Site()
    yield from endpoints.status(site, effort)
    yield from endpoints.lists(site, effort)
    yield from table_size.history(site, effort, large)
    yield from table_size.due_rows(effort, large)
    large.close()
    yield from endpoints.webhook(site, effort)
    yield from endpoints.webhook_refusals(site, effort)
    yield from endpoints.initiate(site, effort)
    for concurrency in effort.concurrencies:
        yield from worker.polls(effort, concurrency)
    yield from engines.engines(effort)


def machine(named: Iterable[str]) -> str:
    """The machine, its load, and the versions of PostgreSQL and of the packages that are named."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        postgres = cursor.fetchone()[0]
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in named)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    processors = f"{os.cpu_count()} CPUs {platform.machine()}"
    return f"{processors}, {python}, {packages}, PostgreSQL {postgres}, load {os.getloadavg()[0]:.1f}\n"


def _line(figure: Figure) -> str:
    mark = {None: "", True: "✔", False: "✘"}[figure.met]
    return f"{figure.name:62}{figure.value:46}{figure.goal} {mark}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
