"""`python -m tools.mutants [--target NAME …] [--fresh] [--show] [--workers 2]`, from the root of the repository.

Exits with 0 if in every target at least 95 % of the mutants are killed and each survivor is listed, with its reason, in
`survivors.toml`. It can be interrupted at any time: the next call goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from tools.mutants import running
from tools.mutants.loop import MutantLoop
from tools.mutants.mutations import Mutant, mutants_of
from tools.mutants.results import KILLED, LIVED, Results
from tools.mutants.survivors import listed_survivors
from tools.mutants.targets import FOLDER, TARGETS, Target

LEAST_PERCENT = 95.0
#: A mutant may take this many times as long as the clean run, and this much more.
_TIMES_LONGER, _SECONDS_LONGER = 10, 60
_LONGEST_SESSION_SECONDS = 8 * 3600

Record = Callable[[Mutant, str], None]


def main() -> int:
    options = _options()
    chosen = [target for target in TARGETS if not options.target or target.name in options.target]
    FOLDER.mkdir(exist_ok=True)
    running.import_libraries()
    if not options.show:
        for target in chosen:
            if options.fresh:
                Results(target).file.unlink(missing_ok=True)
            run_target(target, only=options.only, workers=options.workers)
    verdicts = [report(target, listed_survivors(target)) for target in chosen]
    return int(not all(verdicts))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description="Find changes that no test notices.")
    names = [target.name for target in TARGETS]
    parser.add_argument("--target", action="append", choices=names, help="only this module; may be repeated")
    parser.add_argument("--only", default="", help="only mutants whose name contains this text")
    workers = int(os.environ.get("WORKERS") or 2)  # `make mutants WORKERS=1`
    parser.add_argument("--workers", type=int, default=workers, help="processes that run mutants at the same time")
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    parser.add_argument("--show", action="store_true", help="only print the results of earlier runs")
    return parser.parse_args()


def run_target(target: Target, *, only: str = "", workers: int = 1) -> None:
    """Run every mutant of the target that has no result yet. Raises: RuntimeError if the tests fail without one."""
    found = Results(target)
    found.load()
    mutants = [mutant for mutant in mutants_of(target.path.read_text()) if only in mutant.name]
    waiting = [mutant for mutant in mutants if mutant.name not in found.by_name]
    print(f"{target.name}: {len(mutants)} mutants, {len(waiting)} to run", flush=True)
    if not waiting:
        return
    begun = time.monotonic()
    console = os.fdopen(os.dup(sys.stdout.fileno()), "w")  # stays when a fork sends its output to the log

    def record(mutant: Mutant, result: str) -> None:
        found.add(mutant.name, result)
        if result == LIVED:
            print(f"  lived: line {mutant.line}: {mutant.name}", file=console, flush=True)

    _run_functions(target, waiting, record, max(workers, 1))
    found.load()
    _run_module(target, [mutant for mutant in waiting if mutant.name not in found.by_name], record)
    print(f"{target.name}: {len(waiting)} mutants in {time.monotonic() - begun:.0f} s", flush=True)


def _run_functions(target: Target, mutants: Sequence[Mutant], record: Record, workers: int) -> None:
    """Run the mutants of functions, in one pytest session."""
    loop = MutantLoop(target, mutants, record, workers)
    if running.run(target, None, seconds=_LONGEST_SESSION_SECONDS, plugins=[loop]) != running.PASSED:
        raise RuntimeError(f"{target.name}: the tests fail without a mutant, too: see {target.log}")


def _run_module(target: Target, mutants: Sequence[Mutant], record: Record) -> None:
    """Run the mutants of what a module does when it is imported, each with a new import.

    First with the other modules as they are, which is quick and kills most; those that live, in a new process.
    """
    if not mutants:
        return
    seconds = _seconds_of_clean_run(target)
    limit = _TIMES_LONGER * seconds + _SECONDS_LONGER
    child = os.fork()
    if child == 0:
        _kill_in_warm_process(target, mutants, record, limit)
    os.waitpid(child, 0)
    found = Results(target)
    found.load()
    for mutant in mutants:
        if mutant.name not in found.by_name:
            passed = running.run(target, mutant.source, seconds=limit) == running.PASSED
            record(mutant, LIVED if passed else KILLED)


def _seconds_of_clean_run(target: Target) -> float:
    """Run the tests without a change, and with a module that only raises. Raises: RuntimeError if one ends wrongly."""
    begun = time.monotonic()
    if running.run(target, target.path.read_text(), seconds=600) != running.PASSED:
        raise RuntimeError(f"{target.name}: the tests fail without a mutant, too: see {target.log}")
    seconds = time.monotonic() - begun
    if running.run(target, "raise RuntimeError\n", seconds=600) == running.PASSED:
        raise RuntimeError(f"{target.name}: the tests do not import {target.module}")
    return seconds


def _kill_in_warm_process(target: Target, mutants: Sequence[Mutant], record: Record, limit: float) -> NoReturn:
    """Record the mutants that a quick run kills, unless such a run fails without a change, too."""
    try:
        with target.log.open("w") as log:
            os.dup2(log.fileno(), 1)
            running.warm_up(target)
            if running.run(target, target.path.read_text(), seconds=limit) == running.PASSED:
                for mutant in mutants:
                    if running.run(target, mutant.source, seconds=limit) != running.PASSED:
                        record(mutant, KILLED)
    finally:
        os._exit(0)


def report(target: Target, listed: Mapping[str, str]) -> bool:
    """Print the share of killed mutants and every survivor without a reason; True if the target passes."""
    found = Results(target)
    found.load()
    names = [mutant.name for mutant in mutants_of(target.path.read_text())]
    missing = [name for name in names if name not in found.by_name]
    lived = [name for name in names if found.by_name.get(name) == LIVED]
    killed = len(names) - len(missing) - len(lived)
    percent = 100 * killed / len(names)
    print(f"{target.name:<12} {killed:4} of {len(names):4} mutants killed  {percent:6.2f} %  {len(lived)} lived")
    complaints = [f"not run: {len(missing)} mutants"] if missing else []
    complaints += [f"no reason is listed: {name}" for name in lived if name not in listed]
    complaints += [f"listed, but killed or gone: {name}" for name in listed if name not in lived and not missing]
    for complaint in complaints:
        print(f"             {complaint}")
    return percent >= LEAST_PERCENT and not complaints


if __name__ == "__main__":
    sys.exit(main())
