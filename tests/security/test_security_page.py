"""The page of threats and guards names tests that exist, and a test for every guard."""

from __future__ import annotations

import re

from tests.repository.tree import ROOT, defined_names

PAGE = (ROOT / "docs" / "explanation" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`([a-z_]+/test_\w+\.py(?:::\w+)?)`", PAGE)))
#: The tables without tests: what an attacker is given.
WITHOUT_TESTS = "| The attacker has |"


def rows() -> list[str]:
    """The rows of the tables that claim a guard."""
    tables = re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
    return [row for table in tables if not table.startswith(WITHOUT_TESTS) for row in table.splitlines()[2:]]


def test_named_tests_exist() -> None:
    assert len(NAMED) > 80
    assert [named for named in NAMED if not exists(named)] == []
    assert not exists("security/test_security_page.py::test_of_another_name")


def exists(named: str) -> bool:
    path, _, function = named.partition("::")
    file = ROOT / "tests" / path
    return file.exists() and (not function or function in [name for _, name in defined_names(file.read_text())])


def test_every_guard_names_a_test() -> None:
    assert len(rows()) > 80
    assert [row for row in rows() if not re.search(r"`[a-z_]+/test_", row)] == []


def test_every_letter_of_stride_is_looked_at() -> None:
    """S, T, I, D and E at each entry point; R where an act can be denied."""
    sections = re.split(r"^### ", PAGE.partition("## Promises")[0], flags=re.MULTILINE)[1:]
    letters = {
        section.splitlines()[0]: set(re.findall(r"^\| ([STRIDE]) \|", section, re.MULTILINE)) for section in sections
    }

    assert len(letters) >= 8
    assert {name: sorted(set("STIDE") - found) for name, found in letters.items() if set("STIDE") - found} == {}
