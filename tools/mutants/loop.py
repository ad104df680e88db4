"""The loop over the mutants of a target, inside one pytest session.

The session collects the tests and runs them once without a change, so imports, the test database and the fixtures of
the session exist before the first mutant. Each mutant then runs in a fork, which gets the changed code of one function
and the tests that call that function: first those that killed other mutants of it, then file by file, the quickest
first. A fork costs milliseconds where a new pytest costs seconds.

Mutants outside a function get no result here: `running` imports the whole module for each of them.
"""

from __future__ import annotations

import gc
import inspect
import mmap
import os
import resource
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import _lru_cache_wrapper
from types import CodeType, FrameType, FunctionType
from typing import NoReturn

import pytest
from _pytest.runner import runtestprotocol

from tools.mutants.mutations import Mutant
from tools.mutants.results import KILLED, LIVED
from tools.mutants.running import wait_for
from tools.mutants.targets import Target

#: A mutant may use this many times the processor time of its tests, and this much more.
_TIMES_LONGER, _SECONDS_LONGER = 4, 5
#: One test may last this long on the clock: a mutant that only waits is found, and a busy machine kills no mutant.
_SECONDS_OF_ONE_TEST = 300


@dataclass
class MutantLoop:
    """A pytest plugin that runs mutants instead of the tests, in `workers` forks of this process.

    `record` gets each result as soon as it is known.
    """

    target: Target
    mutants: Sequence[Mutant]
    record: Callable[[Mutant, str], None]
    workers: int
    _cached: list[_lru_cache_wrapper[object]] = field(default_factory=list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        functions = _functions_of(str(self.target.path))
        self._cached = _cached_functions_of(str(self.target.path))
        calls = _run_clean(session.items, functions)
        self._refuse_blind_tests(session, functions, calls)
        children = []
        for place in range(self.workers):
            children.append(child := os.fork())
            if child == 0:
                self._run_part(self.mutants[place :: self.workers], session, functions, calls)
        if any(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children):
            raise RuntimeError(f"a worker of {self.target.name} failed")
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Call cached functions anew in each test: it would not call them, and a mutant would never run."""
        for function in self._cached:
            function.cache_clear()

    def _run_part(
        self,
        mutants: Sequence[Mutant],
        session: pytest.Session,
        functions: Mapping[str, list[FunctionType]],
        calls: Mapping[str, list[_Test]],
    ) -> NoReturn:
        failed = 1
        try:
            kills: dict[str, Counter[str]] = defaultdict(Counter)
            for mutant in mutants:
                code = _code_of(mutant, functions)
                if code is None:
                    continue  # outside a function: it needs a new import of the module
                name = code.co_qualname
                tests = _in_order(calls[name], kills[name])
                killed, killer = _run(tests, session.items, functions[name], code)
                if killed and killer is not None:
                    kills[name][killer.item.nodeid] += 1
                self.record(mutant, KILLED if killed else LIVED)
            failed = 0
        except Exception:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(failed)

    def _refuse_blind_tests(
        self, session: pytest.Session, functions: Mapping[str, list[FunctionType]], calls: Mapping[str, list[_Test]]
    ) -> None:
        """Check that a function that only raises fails its tests. Raises: RuntimeError."""
        name = next(name for name in calls if not functions[name][0].__code__.co_freevars)
        killed, _ = _run(calls[name], session.items, functions[name], _raises.__code__)
        if not killed:
            raise RuntimeError(f"{name} raises, and no test of {self.target.name} notices")


def _raises(*_args: object, **_kwargs: object) -> None:
    raise RuntimeError("planted")


@dataclass(frozen=True)
class _Test:
    """file: the place of its file in the target's list."""

    item: pytest.Item
    file: int
    seconds: float


def _in_order(tests: Sequence[_Test], kills: Mapping[str, int]) -> list[_Test]:
    """The tests that killed other mutants of the function, then file by file, the quickest first."""
    return sorted(tests, key=lambda test: (-kills.get(test.item.nodeid, 0), test.file, test.seconds))


def _functions_of(path: str) -> dict[str, list[FunctionType]]:
    """Every function object of a file by its qualified name, also below decorators and properties."""
    found: dict[str, list[FunctionType]] = defaultdict(list)
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename == path:
            found[thing.__code__.co_qualname].append(thing)
    return found


def _cached_functions_of(path: str) -> list[_lru_cache_wrapper[object]]:
    """The functions of a file that keep their results."""
    kept = [(thing, inspect.unwrap(thing)) for thing in gc.get_objects() if isinstance(thing, _lru_cache_wrapper)]
    return [thing for thing, of in kept if isinstance(of, FunctionType) and of.__code__.co_filename == path]


def _code_of(mutant: Mutant, functions: Mapping[str, list[FunctionType]]) -> CodeType | None:
    """The changed code of the outermost function that the mutant changes, or None."""
    module = compile(mutant.source, "mutant", "exec", dont_inherit=True)
    codes = {code.co_qualname: code for code in _inner_codes(module)}
    parts = mutant.function.split(".")
    for length in range(1, len(parts) + 1):
        name = ".".join(parts[:length])
        if known := functions.get(name):
            old, new = known[0].__code__, codes.get(name)
            if new is None or new == old or new.co_freevars != old.co_freevars:
                return None  # equal: only the default of a parameter changed, which is not a part of the code
            return new
    return None


def _inner_codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _inner_codes(constant)


def _run_clean(items: Sequence[pytest.Item], functions: dict[str, list[FunctionType]]) -> dict[str, list[_Test]]:
    """Run every test without a change; the tests by the functions that they call. Raises: RuntimeError if one fails."""
    names = {id(known[0].__code__): name for name, known in functions.items()}  # the hash of a code is slow
    calls: dict[str, list[_Test]] = defaultdict(list)
    files = list(dict.fromkeys(item.path for item in items))
    for item in items:
        called: set[str] = set()

        def note(frame: FrameType, _event: str, _: object, called: set[str] = called) -> None:
            if name := names.get(id(frame.f_code)):
                called.add(name)

        begun = time.process_time()
        threading.settrace(note)  # it returns no function, so the lines of a call are not traced
        sys.settrace(note)
        try:
            failures = _run_test(item, items)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]  # the way to end it
        if failures:
            raise RuntimeError(f"{item.nodeid} fails without a mutant, too: {failures[0].longreprtext}")
        for name in called:
            calls[name].append(_Test(item, files.index(item.path), time.process_time() - begun))
    return calls


def _run_test(item: pytest.Item, items: Sequence[pytest.Item]) -> list[pytest.TestReport]:
    """Run one test and return what failed. The fixtures of the session stay, because another test always follows."""
    item.session._setupstate.teardown_exact(item)  # the fixtures of the test before, as far as this one needs others
    other = items[1] if item is items[0] else items[0]
    return [report for report in runtestprotocol(item, log=False, nextitem=other) if report.failed]


def _run(
    tests: Sequence[_Test], items: Sequence[pytest.Item], functions: Sequence[FunctionType], code: CodeType
) -> tuple[bool, _Test | None]:
    """Run the tests with the changed code in a fork, which gets its own copy of the database in memory.

    Returns whether one failed, and the last test that ran; None if no test calls the function.
    """
    with mmap.mmap(-1, mmap.PAGESIZE) as place:  # shared with the fork
        child = os.fork()
        if child == 0:
            _run_in_child(tests, items, functions, code, place)
        failed = wait_for(child, _SECONDS_OF_ONE_TEST, lambda: place[:4]) != 0
        number = int.from_bytes(place[:4])
    return failed, tests[number] if tests else None


def _run_in_child(
    tests: Sequence[_Test],
    items: Sequence[pytest.Item],
    functions: Sequence[FunctionType],
    code: CodeType,
    place: mmap.mmap,
) -> None:
    failed = 1
    try:
        os.setsid()  # a mutant that hangs is killed with all the processes that it started
        seconds = int(_TIMES_LONGER * sum(test.seconds for test in tests)) + _SECONDS_LONGER
        seconds += int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        for function in functions:
            function.__code__ = code
        failed = int(_one_fails(tests, items, place))
    except BaseException:  # noqa: S110 -- a mutant may raise anything, also outside a test
        pass
    finally:
        os._exit(failed)


def _one_fails(tests: Sequence[_Test], items: Sequence[pytest.Item], place: mmap.mmap) -> bool:
    """Run the tests up to the first that fails, and write the number of each before it begins."""
    for number, test in enumerate(tests):
        place[:4] = number.to_bytes(4)
        if _run_test(test.item, items):
            return True
    return False
