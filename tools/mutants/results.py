"""The results of a target in `.mutants/`, so that an interrupted run goes on where it stopped.

They are for one text of the module: a changed module starts again. After a change of its tests only the mutants that
lived without a listed reason are run again, because tests are added, hardly ever removed; `FRESH=1` runs them all.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tools.mutants.survivors import listed_survivors
from tools.mutants.targets import FOLDER, Target

KILLED, LIVED = "killed", "lived"


@dataclass
class Results:
    """The result of each mutant, by its name."""

    target: Target
    by_name: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Now, so that a change during the run counts as one.
        self._module, self._tests = _checksum([self.target.path]), _checksum(self.target.test_files())

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.target.name}.json"

    def load(self) -> None:
        """Read the results of an earlier run that still hold."""
        if not self.file.exists():
            return
        kept = json.loads(self.file.read_text())
        if kept["module"] != self._module:
            return
        self.by_name = kept["results"]
        if kept["tests"] != self._tests:
            listed = listed_survivors(self.target)
            self.by_name = {name: result for name, result in self.by_name.items() if result == KILLED or name in listed}

    def add(self, name: str, result: str) -> None:
        """Write one more result. Several processes may do so at the same time."""
        FOLDER.mkdir(exist_ok=True)
        with self.file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.load()
            self.by_name[name] = result
            self._save()

    def _save(self) -> None:
        checksums = {"module": self._module, "tests": self._tests}
        unfinished = self.file.with_suffix(".new")
        unfinished.write_text(json.dumps({**checksums, "results": self.by_name}, indent=1, ensure_ascii=False))
        unfinished.replace(self.file)


def _checksum(files: Iterable[Path]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
