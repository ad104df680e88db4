"""docs/reference/sandbox.md says what is there: every condition, option, magic number and endpoint."""

from __future__ import annotations

import argparse
import re

import pytest

from django_feexpay.sandbox import scenarios
from django_feexpay.sandbox.cli import add_arguments
from django_feexpay.sandbox.fault_settings import OPERATIONS, Conditions, as_text, every_condition
from django_feexpay.sandbox.server import ROOMS
from django_feexpay.sandbox.texts import MAGIC_NUMBERS
from tests.sandbox.running import ROOT

PAGE = (ROOT / "docs/reference/sandbox.md").read_text()

# Not for people: what pages ask and load by themselves, and files that answers name.
BEHIND_THE_PAGES = re.compile(r"/assets/|/state$|^/exports/|^/phone/")


def condition_row(name: str) -> str:
    default = as_text(getattr(Conditions(), name)).lower()
    shown = f"`{default}`" if default else ""
    return f"| `{name}` | {shown} | {every_condition()[name].metadata['en']} |".replace("|  |", "| |")


@pytest.mark.parametrize("name", every_condition())
def test_every_condition_is_on_the_page(name: str) -> None:
    assert condition_row(name) in PAGE


@pytest.mark.parametrize("ending", MAGIC_NUMBERS)
def test_every_magic_number_is_on_the_page_and_has_a_part(ending: str) -> None:
    assert f"| `{ending}` | {MAGIC_NUMBERS[ending][1]} |" in PAGE
    assert ending in scenarios.SCRIPTS


def test_no_row_is_left_over() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == [*MAGIC_NUMBERS, *every_condition()]
    assert f"`fault_calls` may name {', '.join(f'`{one}`' for one in OPERATIONS)}." in PAGE


def test_every_option_is_on_the_page() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser, {})
    options = {option for action in parser._actions for option in action.option_strings}
    assert {option for option in options if f"`{option}" not in PAGE} == set()


def test_every_endpoint_is_on_the_page() -> None:
    paths = {re.sub(r":path}", "}", route.path) for room in ROOMS for route in room.ROUTES}
    told = {path for path in paths if not BEHIND_THE_PAGES.search(path)}
    assert {path for path in told if path.rstrip("/") not in PAGE} == set()
    assert "/api/feexlinks/generate" in told
