"""What Linux counts for processes, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Process:
    """One process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def cpu_seconds(self) -> float:
        """User and system time of the process itself."""
        return sum(map(int, _stat(self._pid)[11:13])) / _TICKS_PER_SECOND

    def tree_cpu_seconds(self) -> float:
        """User and system time of the process and of all its descendants, also of those that have ended.

        A parent's count holds the children that it waited for, so the living ones are all that must be added.
        """
        found = {self._pid: _stat(self._pid)}
        stats = _all_stats()
        while more := {pid: stat for pid, stat in stats.items() if int(stat[1]) in found and pid not in found}:
            found |= more
        return sum(int(ticks) for stat in found.values() for ticks in stat[11:15]) / _TICKS_PER_SECOND

    def parent(self) -> int:
        return int(_stat(self._pid)[1])

    def memory_kib(self) -> int:
        return self._status("VmRSS")

    def threads(self) -> int:
        return self._status("Threads")

    def _status(self, name: str) -> int:
        lines = (_PROC / str(self._pid) / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def _stat(pid: int) -> list[str]:
    """The fields after the name: state, parent, …, at 11 to 14 utime, stime, cutime and cstime in ticks."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _all_stats() -> dict[int, list[str]]:
    stats = {}
    for folder in _PROC.glob("[0-9]*"):
        try:
            stats[int(folder.name)] = _stat(int(folder.name))
        except OSError:
            continue  # it has just ended
    return stats
