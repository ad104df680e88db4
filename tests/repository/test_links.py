"""Links lead from the first page of the documentation to every other page, and no link is broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repository.tree import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "client_app" / "README.md", *sorted(DOCS.rglob("*.md"))]


def links(page: str) -> list[str]:
    """The targets of Markdown links and link definitions. Addresses in code are not links."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page, flags=re.DOTALL)
    found = re.findall(r"\]\(([^()\s]+)\)|^\[[^\]]+\]:\s+(\S+)", prose, re.MULTILINE)
    return [inline or defined for inline, defined in found]


def anchors(page: str) -> set[str]:
    """The anchors of the headings, as GitHub names them."""
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def target(page: Path, link: str) -> tuple[Path, str]:
    address, _, anchor = link.partition("#")
    return ((page.parent / address).resolve() if address else page), anchor


def is_external(link: str) -> bool:
    return re.match(r"[a-z]+:", link) is not None


def test_link_check_reads_prose_and_headings() -> None:
    page = "See [this](a.md#the-2-ways).\n```\n[no](b.md)\n```\n`[no](c.md)`\n\n[x]: d.md\n"

    assert links(page) == ["a.md#the-2-ways", "d.md"]
    assert anchors("# One\n## The 2 ways: `x` & y\n") == {"one", "the-2-ways-x--y"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_link_between_pages_is_broken(page: Path) -> None:
    broken = []
    for link in links(page.read_text()):
        if is_external(link):
            continue
        path, anchor = target(page, link)
        if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
            broken.append(link)

    assert broken == []


def test_links_lead_from_the_first_page_to_every_page() -> None:
    found: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in found:
            continue
        found.add(page)
        linked = [target(page, link)[0] for link in links(page.read_text()) if not is_external(link)]
        waiting += [path for path in linked if path.suffix == ".md" and path.is_relative_to(DOCS) and path.exists()]

    assert set(DOCS.rglob("*.md")) - found == set()


#: The index contains only links, and the page of the providers is generated.
WITHOUT_NEXT_STEP = {DOCS / "index.md", DOCS / "reference" / "providers.md"}


@pytest.mark.parametrize(
    "page", sorted(set(DOCS.rglob("*.md")) - WITHOUT_NEXT_STEP), ids=lambda page: page.relative_to(DOCS).as_posix()
)
def test_every_page_ends_with_the_next_step(page: Path) -> None:
    assert page.read_text().rstrip().rpartition("\n\n")[2].startswith("Next: ")
