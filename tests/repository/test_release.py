"""One version everywhere, and a changelog that says what each version needs."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from tests.repository.tree import ROOT
from tools import release

TODAY = date(2026, 11, 29)
GOOD = """# Changelog

## Unreleased

### Added

- A new function, which
  does more.

### Migration

- Run `migrate` (0031).

## 0.2.0 - 2026-11-20

### Fixed

- A bug.

## 0.1.0 - 2026-10-01

### Added

- All.
"""


def test_version_and_changelog_of_this_repository_are_right() -> None:
    assert release.problems() == []


def problems(text: str, current: str = "0.3.0", newest: str = "0031") -> list[str]:
    return release.changelog_problems(text, current, newest_migration=newest, today=TODAY)


def test_good_changelog_has_no_problem() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("## Unreleased\n", "## Next\n", "must be `## Unreleased`"),
        ("### Fixed", "### Bugs", "0.2.0: unknown headings Bugs"),
        ("### Added\n\n- A new", "### Security\n\n- Safer.\n\n### Added\n\n- A new", "in the order Added, Changed"),
        ("- A bug.\n", "", "0.2.0: nothing is listed under Fixed"),
        ("  does more.", "  does more", "Added: no sentence: A new function, which does more"),
        ("## 0.2.0 - 2026-11-20", "## 0.2.0 - 20 November", "write `## 1.2.3 - 2026-11-29`"),
        ("2026-11-20", "2027-01-01", "0.2.0: 2027-01-01 is in the future"),
        ("## 0.1.0 -", "## 0.2.1 -", "in descending order"),
        ("## 0.2.0 -", "## 0.4.0 -", "0.4.0 is released, and the package is still 0.3.0"),
        ("## 0.2.0 -", "## 0.3.0 -", "raise the version for what is unreleased"),
        ("(0031)", "as usual", "name the newest migration, 0031"),
    ],
)
def test_mistake_of_a_changelog_is_named(old: str, new: str, problem: str) -> None:
    assert GOOD.count(old) == 1

    (found,) = problems(GOOD.replace(old, new))

    assert problem in found


def test_tag_without_a_version_is_named() -> None:
    assert list(release.tag_problems(GOOD, ["v0.1.0", "v0.2.0", "v0.1.5", "deployed"])) == [
        "the tag v0.1.5 has no version in CHANGELOG.md"
    ]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that name the version."""
    for path in (release.SOURCE, *release.COPIES, release.CHANGELOG, "pyproject.toml", "client_app/pyproject.toml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tmp_path / path)
    return tmp_path


def test_new_version_is_written_everywhere(copy: Path) -> None:
    release.begin("7.8.9", copy, today=TODAY)

    assert release.version(copy) == "7.8.9"
    assert list(release.version_problems(copy)) == []
    unreleased, new, *_ = release.sections((copy / release.CHANGELOG).read_text())
    assert (unreleased.headings, new.name, new.released) == ([], "7.8.9", "2026-11-29")
    assert "Added" in new.headings
    for wrong in ("7.8.9", "0.0.1", "8", "v8.0.0", "9.0.0"):  # the last one: nothing is left to release
        with pytest.raises(ValueError, match=r"new version|nothing under"):
            release.begin(wrong, copy)


def test_other_version_in_a_copy_is_named(copy: Path) -> None:
    client = copy / "client_app/src/feexpay_client/__init__.py"
    client.write_text(client.read_text().replace(release.version(), "9.9.9"))
    project = copy / "pyproject.toml"
    project.write_text(project.read_text().replace('dynamic = ["version"]', 'version = "0.1.0"'))

    first, second = release.version_problems(copy)

    assert first.startswith("client_app/src/feexpay_client/__init__.py: names 9.9.9")
    assert second.startswith("pyproject.toml: write no version there")
