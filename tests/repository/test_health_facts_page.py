"""docs/reference/health-facts.md lists every entry of the registry with its threshold."""

from __future__ import annotations

from django_feexpay.monitoring.facts import FACTS, Fact, shown_value
from tests.repository.tree import ROOT


def row(fact: Fact) -> str:
    threshold = f"{'under' if fact.below else 'over'} {shown_value(fact.threshold, fact.unit)}".replace("\u00a0", " ")
    shown = f"`{fact.component}`" + (f": `{fact.word}`" if fact.word else "") if fact.component else ""
    return (
        f"| `{fact.name}` | {fact.measured} | {threshold} | {fact.severity} | {shown} | {fact.words} | {fact.advice} |"
    )


def test_every_fact_has_its_row() -> None:
    page = (ROOT / "docs/reference/health-facts.md").read_text()

    written = [line for line in page.splitlines() if line.startswith("| `")]
    assert written == [row(fact) for fact in FACTS]


def test_names_are_unique_and_texts_are_sentences() -> None:
    assert len({fact.name for fact in FACTS}) == len(FACTS)
    for fact in FACTS:
        assert str(fact.words).endswith("."), fact.name
        assert str(fact.advice).endswith("."), fact.name
