"""The version and the changelog: `python -m tools.release` checks them, `python -m tools.release 0.2.0` sets both.

The version is written in `django_feexpay/__init__.py`. Both wheels, the Debian package, Android's build and the metrics
read it from there or from the client's `__init__.py`, which this module keeps equal, as it does the pages that show it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "django_feexpay/__init__.py"
#: What repeats the version: a pattern for each file, whose only group is the version.
COPIES = {
    "client_app/src/feexpay_client/__init__.py": r'^__version__ = "([^"]+)"$',
    "docs/quickstart.md": r"django-feexpay-(\d+\.\d+\.\d+)",
    "docs/how-to/deploy.md": r"git clone --branch v(\d+\.\d+\.\d+) ",
}
CHANGELOG = "CHANGELOG.md"
#: The headings of a version, in their order. `Migration`: what an upgrade needs from the host's developer.
HEADINGS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Migration")
UNRELEASED = "Unreleased"
MIGRATIONS = "django_feexpay/migrations"

_SOURCE_PATTERN = r'^__version__ = "([^"]+)"$'
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_RELEASED = re.compile(r"(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)")


# --- the version ---------------------------------------------------------------------------------------


def version(root: Path = ROOT) -> str:
    """The version of this code. Raises: ValueError if it is no `major.minor.patch`."""
    (found,) = re.findall(_SOURCE_PATTERN, (root / SOURCE).read_text(), re.MULTILINE)
    if not _VERSION.fullmatch(found):
        raise ValueError(f"{SOURCE}: {found!r} is not major.minor.patch")
    return str(found)


def version_problems(root: Path = ROOT) -> Iterator[str]:
    """The files that name another version, and the projects whose metadata does not read it."""
    wanted = version(root)
    for path, pattern in COPIES.items():
        found = re.findall(pattern, (root / path).read_text(), re.MULTILINE)
        if set(found) != {wanted}:
            yield f"{path}: names {', '.join(found) or 'no version'}, and the package is {wanted}"
    for path in ("pyproject.toml", "client_app/pyproject.toml"):
        if re.search(r"^version = ", (root / path).read_text(), re.MULTILINE):
            yield f"{path}: write no version there, it is read from __init__.py"


# --- the changelog -------------------------------------------------------------------------------------


@dataclass
class Section:
    """One version of the changelog. `lines`: the lines under each heading."""

    name: str
    released: str = ""
    lines: dict[str, list[str]] = field(default_factory=dict)
    headings: list[str] = field(default_factory=list)

    @property
    def number(self) -> tuple[int, ...]:
        return _number(self.name)


def sections(text: str) -> list[Section]:
    """The versions of a changelog, newest first."""
    found: list[Section] = []
    for line in text.splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ")
            released = _RELEASED.fullmatch(title)
            found.append(Section(released[1], released[2]) if released else Section(title))
        elif line.startswith("### ") and found:
            found[-1].headings.append(line.removeprefix("### "))
            found[-1].lines.setdefault(line.removeprefix("### "), [])
        elif found and found[-1].headings:
            found[-1].lines[found[-1].headings[-1]].append(line)
    return found


def changelog_problems(text: str, current: str, *, newest_migration: str = "", today: date | None = None) -> list[str]:
    """What is wrong with a changelog of the version `current`."""
    found = sections(text)
    if not found or found[0].name != UNRELEASED:
        return [f"the first version must be `## {UNRELEASED}`"]
    problems = [problem for section in found for problem in _section_problems(section)]
    unreleased, released = found[0], found[1:]
    latest_day = (today or datetime.now(UTC).date()).isoformat()
    for section in released:
        if not section.released:
            problems.append(f"`## {section.name}`: write `## 1.2.3 - 2026-11-29`")
        elif section.released > latest_day:
            problems.append(f"{section.name}: {section.released} is in the future")
    numbers = [section.number for section in released if section.released]
    if numbers != sorted(set(numbers), reverse=True):
        problems.append("the versions must be in descending order, each once")
    if numbers and numbers[0] > _number(current):
        problems.append(f"{released[0].name} is released, and the package is still {current}")
    if numbers and numbers[0] == _number(current) and unreleased.headings:
        problems.append(f"{current} is released: raise the version for what is {UNRELEASED.lower()}")
    problems += _migration_problems(unreleased, released, newest_migration)
    return problems


def _section_problems(section: Section) -> Iterator[str]:
    unknown = [heading for heading in section.headings if heading not in HEADINGS]
    if unknown:
        yield f"{section.name}: unknown headings {', '.join(unknown)}; use {', '.join(HEADINGS)}"
        return
    if section.headings != sorted(set(section.headings), key=HEADINGS.index):
        yield f"{section.name}: the headings must be in the order {', '.join(HEADINGS)}, each once"
    for heading, lines in section.lines.items():
        items = [line for line in lines if line.startswith("- ")]
        if not items:
            yield f"{section.name}: nothing is listed under {heading}"
    for heading, entry in _entries(section):
        if not re.search(r"[.:)`]$", entry):
            yield f"{section.name}, {heading}: no sentence: {entry[:60]}…"


def _entries(section: Section) -> Iterator[tuple[str, str]]:
    """Each entry with its heading, its lines joined."""
    for heading, lines in section.lines.items():
        entry = ""
        for line in [*lines, ""]:
            if line.startswith("  ") and entry:
                entry = f"{entry} {line.strip()}"
                continue
            if entry:
                yield heading, entry
            entry = line.removeprefix("- ") if line.startswith("- ") else ""


def _migration_problems(unreleased: Section, released: list[Section], newest: str) -> Iterator[str]:
    """The newest migration must be named under Migration: in the version that brought it, or under Unreleased."""
    named = [
        number
        for section in (unreleased, *released)
        for line in section.lines.get("Migration", ())
        for number in re.findall(r"\b0\d{3}\b", line)
    ]
    if newest and newest not in named:
        yield f"{UNRELEASED}, Migration: name the newest migration, {newest}, and what a deployment must do for it"


def newest_migration(root: Path = ROOT) -> str:
    """The number of the newest migration."""
    return max(path.name[:4] for path in (root / MIGRATIONS).glob("0*.py"))


def tag_problems(text: str, tags: list[str]) -> Iterator[str]:
    """Tags without a version in the changelog."""
    known = {f"v{section.name}" for section in sections(text) if section.released}
    for tag in tags:
        if re.fullmatch(rf"v{_VERSION.pattern}", tag) and tag not in known:
            yield f"the tag {tag} has no version in {CHANGELOG}"


# --- commands ------------------------------------------------------------------------------------------


def begin(new: str, root: Path = ROOT, *, today: date | None = None) -> None:
    """Write a new version everywhere, and give the unreleased entries its heading.

    Raises: ValueError if it is not newer, or the changelog has nothing for it.
    """
    old = version(root)
    text = (root / CHANGELOG).read_text()
    released = {section.name for section in sections(text)}
    if not _VERSION.fullmatch(new) or _number(new) < _number(old) or new in released:
        raise ValueError(f"{new!r} is not a new version: this is {old}")
    if not sections(text)[0].headings:
        raise ValueError(f"{CHANGELOG} has nothing under {UNRELEASED}")
    day = today or datetime.now(UTC).date()
    (root / CHANGELOG).write_text(text.replace(f"## {UNRELEASED}\n", f"## {UNRELEASED}\n\n## {new} - {day}\n", 1))
    for path, pattern in {SOURCE: _SOURCE_PATTERN, **COPIES}.items():
        written = (root / path).read_text()
        (root / path).write_text(
            re.sub(pattern, lambda found: found[0].replace(found[1], new), written, flags=re.MULTILINE)
        )


def problems(root: Path = ROOT) -> list[str]:
    text = (root / CHANGELOG).read_text()
    found = list(version_problems(root))
    found += changelog_problems(text, version(root), newest_migration=newest_migration(root))
    return found + list(tag_problems(text, _tags(root)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description="Check or set the version.")
    parser.add_argument("version", nargs="?", help="the new version; without it everything is checked")
    wanted = parser.parse_args().version
    if wanted:
        try:
            begin(wanted)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
    found = problems()
    for problem in found:
        print(f"✘ {problem}")
    print(f"version {version()}: {len(found)} problems of version and changelog")
    return int(bool(found))


def _number(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("."))) if _VERSION.fullmatch(text) else ()


def _tags(root: Path) -> list[str]:
    """The tags; none outside a git clone."""
    try:
        done = subprocess.run(["git", "tag"], cwd=root, capture_output=True, text=True, check=False)  # noqa: S607 -- git of the PATH
    except FileNotFoundError:
        return []
    return done.stdout.split() if done.returncode == 0 else []


if __name__ == "__main__":
    sys.exit(main())
