"""`python -m tests.simulation --seeds 200`: run seeds. `--seed 17`: repeat one, and print its trace.

Prints one line for each failing seed, with the way to repeat it, the rule and the last steps, and a closing line.
Exit code 1 on a violation.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import django

from tests.simulation import database

if TYPE_CHECKING:
    from tests.simulation.run import Result

LAST_STEPS = 12

_empty_database: Callable[[], None]


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is a part of the run
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.simulation", *arguments], os.environ | {"PYTHONHASHSEED": "0"}
        )
    seeds = range(options.first, options.first + options.seeds) if options.seed is None else [options.seed]
    began_at = time.perf_counter()
    with ExitStack() as stack:
        _set_up(stack, postgres=options.postgres)
        results = []
        for result in _results(seeds, options):
            results.append(result)
            if result.violation:
                print(failure_text(result), flush=True)
            if options.seed is not None:
                print("\n".join(result.trace))
                print(f"trace={result.trace_hash}")
    print(closing_line(results, time.perf_counter() - began_at))
    return 1 if any(result.violation for result in results) else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds (default 200)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--seed", type=int, help="repeat this one and print its trace")
    parser.add_argument("--processes", type=int, default=1, help="processes that share the seeds (SQLite only)")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite in memory")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.processes < 1:
        parser.error("--seeds and --processes must be at least 1")
    return options


def _set_up(stack: ExitStack, *, postgres: bool) -> None:
    global _empty_database  # noqa: PLW0603 -- forked processes find the migrated database here
    sys.path.insert(0, os.path.join(os.getcwd(), "sample_project"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.testing"
    os.environ["DATABASE_URL"] = stack.enter_context(database.address(postgres=postgres))
    django.setup()
    _empty_database = database.prepare()


def _results(seeds: Sequence[int], options: argparse.Namespace) -> Iterator[Result]:
    """The results in the order of the seeds. A fork of this process has its own copy of the database in memory."""
    if options.processes == 1 or options.postgres or len(seeds) == 1:
        yield from map(_run, seeds)
        return
    with ProcessPoolExecutor(options.processes, mp_context=multiprocessing.get_context("fork")) as pool:
        yield from pool.map(_run, seeds)


def _run(seed: int) -> Result:
    from tests.simulation.run import run_seed

    return run_seed(seed, _empty_database)


def failure_text(result: Result) -> str:
    last = "\n".join(f"    {line}" for line in result.trace[-LAST_STEPS:])
    return f"seed {result.seed}: {result.violation}. Repeat it with: make simulate SEED={result.seed}\n{last}"


def closing_line(results: Sequence[Result], seconds: float) -> str:
    sums = {
        name: sum(getattr(result, name) for result in results)
        for name in ("steps", "payments", "charges", "credits", "kills")
    }
    counts = " ".join(f"{name}={count}" for name, count in sums.items())
    broken = sum(bool(result.violation) for result in results)
    return f"seeds={len(results)} {counts} violations={broken} seconds={seconds:.1f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
