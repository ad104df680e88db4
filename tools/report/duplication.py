"""How much of our Python is written twice: lines in blocks of six or more equal lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: A block is shorter than that by chance: imports, a closing bracket, a `return`.
BLOCK_LINES = 6


@dataclass(frozen=True, slots=True)
class Duplication:
    """`lines`: those that hold code. `repeated`: those of them in a block that another place has, too."""

    lines: int
    repeated: int
    blocks: tuple[str, ...]

    @property
    def percent(self) -> float:
        return 100 * self.repeated / self.lines if self.lines else 0.0


def measure(files: Iterable[Path], root: Path) -> Duplication:
    """Compare the files line by line; empty lines, comments and imports do not count."""
    places: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    lines_of = {path.relative_to(root).as_posix(): _code_lines(path.read_text()) for path in files}
    for name, lines in lines_of.items():
        for start in range(len(lines) - BLOCK_LINES + 1):
            places[tuple(text for _number, text in lines[start : start + BLOCK_LINES])].append((name, start))
    repeated: set[tuple[str, int]] = set()
    blocks = []
    for found in places.values():
        if len(found) < 2:
            continue
        for name, start in found:
            repeated |= {(name, start + offset) for offset in range(BLOCK_LINES)}
        blocks.append(" = ".join(f"{name}:{lines_of[name][start][0]}" for name, start in found))
    return Duplication(sum(map(len, lines_of.values())), len(repeated), tuple(sorted(blocks)))


def _code_lines(text: str) -> list[tuple[int, str]]:
    stripped = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in stripped if line and not line.startswith(("#", "import ", "from "))]
