"""Run the tests of a target against one mutant, in a process of its own.

A fork inherits pytest, Django and the other libraries, and imports our package itself, so it gets the mutant of the one
module and the files of all others. Nothing is written to the package's folder.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from tools.mutants.targets import ROOT, Target

#: pytest's exit code if no test failed.
PASSED = 0
#: Stands for a run that was killed because it did not end.
TIMED_OUT = -1

_OPTIONS = ("-m", "not postgres_only", "-q", "-x", "--tb=short", "--no-header", "--assert=plain")
#: Plugins that no run needs. Without the rewriting of assertions our finder is the first one that Python asks.
_LEFT_OUT = ("cacheprovider", "xdist", "schemathesis", "anyio", "pytest_cov")


def import_libraries() -> None:
    """Import what every run needs and what no mutant changes, once for all forks."""
    sys.path[:0] = [str(ROOT), str(ROOT / "sample_project")]
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.testing"
    os.environ["DATABASE_URL"] = "sqlite://:memory:"  # a fork copies it with the memory, and can leave nothing behind
    os.environ.setdefault("PYTHONHASHSEED", "0")
    for name in ("pytest", "django.test", "requests", "responses", "cryptography.fernet"):
        __import__(name)


def run(target: Target, source: str | None, *, seconds: float, plugins: Sequence[object] = ()) -> int:
    """Run the target's tests, with `source` as its module if given. Returns pytest's exit code, or TIMED_OUT."""
    child = os.fork()
    if child == 0:
        _run_in_child(target, source, plugins)
    return wait_for(child, seconds)


def warm_up(target: Target) -> None:
    """Run the tests in this process, so that its forks import only the target and its tests again."""
    _main(target, [])


def forget(target: Target) -> None:
    """Make this process import the target and its tests again, but not the modules that use the target."""
    tests = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in target.test_files()]
    used = [name for name in sys.modules if name.startswith((target.module, *target.again))]
    for name in [*tests, *used]:
        parent, _, own = name.rpartition(".")
        if sys.modules.pop(name, None) is not None:
            sys.modules[parent].__dict__.pop(own, None)


def _main(target: Target, plugins: Sequence[object]) -> int:
    import pytest

    without = [word for name in _LEFT_OUT for word in ("-p", f"no:{name}")]
    return int(pytest.main([*_OPTIONS, *without, *target.tests], plugins=list(plugins)))


def _run_in_child(target: Target, source: str | None, plugins: Sequence[object]) -> None:
    code = 1
    try:
        os.setsid()  # a mutant that hangs is killed with all the processes that it started
        output = os.open(target.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.chdir(ROOT)
        if source is not None:
            forget(target)
            sys.meta_path.insert(0, _MutantFinder(target.module, target.path, source))
        code = _main(target, plugins)
    except BaseException as error:  # a mutant may break anything, also the import of the package
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def wait_for(child: int, seconds: float, progress: Callable[[], object] = lambda: None) -> int:
    """The exit code of a child that leads its process group; after so many seconds it is killed, and TIMED_OUT.

    The seconds begin again whenever `progress` returns another value.
    """
    seen, deadline = progress(), time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
        if (now := progress()) != seen:
            seen, deadline = now, time.monotonic() + seconds
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TIMED_OUT


class _MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module by its name and executes the mutant instead of its file."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=str(self._path))
        spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, str(self._path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 -- the purpose of this program
