"""The pages speak to the reader as "you": they never say "we", and they say who acts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repository.test_links import PAGES
from tests.repository.tree import ROOT

AVOIDED = re.compile(r"\b(we|us|our|ours|somebody|someone|whoever|nobody)\b", re.IGNORECASE)


def prose(page: str) -> str:
    """The text of a page without its code and without the texts of the screens, which are in italics."""
    return re.sub(r"```.*?```|`[^`\n]+`|(?<!\*)\*[^*\n]+\*(?!\*)", "", page, flags=re.DOTALL)


def test_prose_has_neither_code_nor_quoted_texts() -> None:
    page = "**We** say `our_name`.\n```\nwe print\n```\nThe admin shows *we have it*. Nobody knows."

    assert AVOIDED.findall(prose(page)) == ["We", "Nobody"]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "SECURITY.md"], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_never_says_we(page: Path) -> None:
    assert AVOIDED.findall(prose(page.read_text())) == []
