"""The page about what is kept names every column of every model, once, with its reason, time and legal basis."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta

from django.apps import apps

from django_feexpay import conf
from django_feexpay.privacy.retention import LEAST
from django_feexpay.privacy.subject_export import OF_A_PAYMENT
from tests.repository.tree import ROOT

PAGE = (ROOT / "docs/explanation/data-protection.md").read_text()
BASES = {"C", "A", "I", "–"}
#: Tables without a payer, and tables that `subject_export` reads by the user or the number.
WITHOUT_PAYER = {
    *("Comparison", "Counter", "DailyTotal", "Finding", "Heartbeat", "OutboxReceipt", "Provider", "Purge"),
    *("Alert", "StaffChain", "TotalsCursor", "Erasure", "NotificationOptOut", "Payment", "PromptLift", "ReportFile"),
}


def section(title: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    part = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


def named(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def columns() -> Counter[str]:
    return Counter(
        f"{model.__name__}.{field.name}"
        for model in apps.get_app_config("feexpay").get_models()
        for field in model._meta.concrete_fields
    )


def test_every_column_has_one_line_and_every_line_a_column() -> None:
    lines = Counter(f"{row[0].strip('`')}.{column}" for row in section("Every column") for column in named(row[1]))

    assert lines == columns()


def test_every_line_says_what_for_how_long_and_on_which_basis() -> None:
    for table, _columns, what_for, how_long, basis in section("Every column"):
        assert what_for, table
        assert set(basis.split(", ")) <= BASES, table
        kinds = set(named(how_long)) - {"EXPORT_DAYS"}
        assert kinds <= conf.RETENTION.keys(), table
        assert kinds or re.search(r"for ever|as the payment|until|with its|EXPORT_DAYS|after its end", how_long), table


def test_periods_are_those_of_the_code() -> None:
    rows = {named(row[0])[0]: (row[1].split()[0], row[2]) for row in section("How long")}

    assert {kind: kept for kind, (kept, _) in rows.items()} == dict(conf.RETENTION)
    units = {"h": timedelta(hours=1), "d": timedelta(days=1), "y": timedelta(days=365)}
    assert {kind: int(least[:-1]) * units[least[-1]] for kind, (_, least) in rows.items()} == dict(LEAST)


def test_an_export_covers_every_table_about_payments() -> None:
    models = {model.__name__ for model in apps.get_app_config("feexpay").get_models()}

    assert {model.__name__ for model in OF_A_PAYMENT} == models - WITHOUT_PAYER
