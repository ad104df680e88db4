"""The processes of a soak: each with a log that outlives its deaths, killed without warning, started again."""

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

# Ends its module when the pipe to us breaks, so that a killed soak leaves nothing behind.
_CHILD = Path(__file__).resolve().parents[2] / "sample_project" / "demo_child.py"
_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class _Member:
    command: tuple[str, ...]
    process: subprocess.Popen[bytes]


class Fleet:
    """Use as a context manager: leaving kills what runs. `folder` takes the logs, `environment` is all they get."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._members: dict[str, _Member] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._members):
            self.kill(name)

    def start(self, name: str, *command: str) -> None:
        """Run `python -m COMMAND`; its log goes on where the last one of this name ended."""
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-u", str(_CHILD), *command],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, to be killed as a whole
            )
        self._members[name] = _Member(command, process)

    def kill(self, name: str) -> None:
        """kill -9, children included."""
        member = self._members.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(member.process.pid, signal.SIGKILL)
        self._bury(member)

    def restart(self, name: str) -> None:
        """kill -9, and the same again."""
        command = self._members[name].command
        self.kill(name)
        self.start(name, *command)

    def stop(self, *names: str) -> list[str]:
        """End these as a supervisor would, at once; the names of those that had died before or would not end."""
        members = {name: self._members.pop(name) for name in names if name in self._members}
        dead = [name for name, member in members.items() if member.process.poll() is not None]
        for member in members.values():
            member.process.terminate()
        return dead + [name for name, member in members.items() if not self._ended(member)]

    def logs(self) -> dict[str, str]:
        """What each process wrote."""
        return {path.stem: path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log"))}

    def _ended(self, member: _Member) -> bool:
        try:
            member.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(member.process.pid, signal.SIGKILL)
            return False
        finally:
            self._bury(member)
        return True

    def _bury(self, member: _Member) -> None:
        member.process.wait()
        if member.process.stdin is not None:
            member.process.stdin.close()
