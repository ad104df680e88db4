"""The processes of a soak or of `make load`: start, kill -9, restart. Each keeps one log over its restarts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

# Ends the module it runs when the pipe to us closes, so that a killed program leaves no process behind.
_CHILD = Path(__file__).resolve().parents[2] / "sample_project" / "demo_child.py"
_STOP_SECONDS = 60.0


@dataclass(frozen=True)
class _Process:
    command: tuple[str, ...]
    process: subprocess.Popen[bytes]


class Processes:
    """Use as a context manager: leaving kills every process. `folder`: of the logs. `environment`: of the processes."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._running: dict[str, _Process] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._running):
            self.kill(name)

    def start(self, name: str, *command: str) -> None:
        """Run `python -m COMMAND` and append to the log of this name."""
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-u", str(_CHILD), *command],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, to be killed as a whole
            )
        self._running[name] = _Process(command, process)

    def kill(self, name: str) -> None:
        """kill -9 the process and its children."""
        member = self._running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(member.process.pid, signal.SIGKILL)
        self._reap(member)

    def pid(self, name: str) -> int:
        return self._running[name].process.pid

    def ended(self) -> list[str]:
        """The names of those that have ended by themselves."""
        return [name for name, member in self._running.items() if member.process.poll() is not None]

    def restart(self, name: str) -> None:
        """kill -9 the process and start it again."""
        command = self._running[name].command
        self.kill(name)
        self.start(name, *command)

    def stop(self, *names: str) -> list[str]:
        """Send SIGTERM to all of these; return the names of those that were already dead or did not end in time."""
        members = {name: self._running.pop(name) for name in names if name in self._running}
        dead = [name for name, member in members.items() if member.process.poll() is not None]
        for member in members.values():
            member.process.terminate()
        return dead + [name for name, member in members.items() if not self._ended(member)]

    def logs(self) -> dict[str, str]:
        return {path.stem: path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log"))}

    def _ended(self, member: _Process) -> bool:
        try:
            member.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(member.process.pid, signal.SIGKILL)
            return False
        finally:
            self._reap(member)
        return True

    def _reap(self, member: _Process) -> None:
        member.process.wait()
        if member.process.stdin is not None:
            member.process.stdin.close()
