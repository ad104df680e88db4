"""The processes of the demo: each has a log file, and all stop together."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_CHILD = Path(__file__).with_name("demo_child.py")
_STOP_SECONDS = 2.0
_TAIL_LINES = 15


class DemoError(Exception):
    """The demo failed; the message says why."""


@dataclass(frozen=True)
class _Child:
    name: str
    log: Path
    process: subprocess.Popen[bytes]
    may_end: bool = False


class Processes:
    """All processes of one demo, each a Python module. As a context manager it stops them on exit.

    folder: for the logs. environment: the whole environment of each process.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._children: list[_Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Start `python -m MODULE ARGUMENTS` and let it run."""
        self._children.append(self._launch(name, module, *arguments))

    def start_window(self, name: str, python: Path, module: str, environment: Mapping[str, str]) -> None:
        """Start a module with another Python and more variables. It may exit: people close windows."""
        self._children.append(self._launch(name, module, python=python, more=environment, may_end=True))

    def run(self, name: str, module: str, *arguments: str) -> None:
        """Run `python -m MODULE ARGUMENTS` to its end. Raises DemoError when it fails."""
        child = self._launch(name, module, *arguments)
        try:
            code = child.process.wait()
        finally:
            _end([child])
        if code:
            raise DemoError(f"{name} failed (exit code {code}). Its log ends with:\n{_tail(child.log)}")

    def check(self) -> None:
        """Raise DemoError with the end of its log if a process has exited."""
        for child in self._children:
            code = child.process.poll()
            if code is not None and not child.may_end:
                raise DemoError(f"{child.name} exited (exit code {code}). Its log ends with:\n{_tail(child.log)}")

    def failed_windows(self) -> list[Path]:
        """The logs of the windows that have ended with an error since the last call."""
        failed = [child for child in self._children if child.may_end and child.process.poll()]
        _end(failed)
        self._children = [child for child in self._children if child not in failed]
        return [child.log for child in failed]

    def last_log_lines(self) -> str:
        """The last lines of every log."""
        return "\n".join(f"--- {child.log.name}\n{_tail(child.log)}" for child in self._children)

    def stop(self) -> None:
        """Stop all of them, last started first, within about two seconds. Safe to repeat: yes."""
        _end(reversed(self._children))
        self._children.clear()

    def _launch(
        self,
        name: str,
        *command: str,
        python: Path = Path(sys.executable),
        more: Mapping[str, str] | None = None,
        may_end: bool = False,
    ) -> _Child:
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 -- our own modules, and no shell
                [str(python), "-u", str(_CHILD), *command],
                env=self._environment | dict(more or {}),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches the whole process group. Only the demo should get it, to stop the others in order.
                start_new_session=True,
            )
        return _Child(name, log, process, may_end)


def _end(children: Iterable[_Child]) -> None:
    ending = list(children)
    for child in ending:
        child.process.terminate()
    give_up_at = time.monotonic() + _STOP_SECONDS
    for child in ending:
        try:
            child.process.wait(max(0.0, give_up_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        if child.process.stdin is not None:
            child.process.stdin.close()


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines) or "    (nothing)"
