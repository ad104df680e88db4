"""The reference page lists every setting, option, magic number and endpoint."""

from __future__ import annotations

import argparse
import re

import pytest

from django_feexpay.sandbox import scenarios
from django_feexpay.sandbox.cli import add_arguments
from django_feexpay.sandbox.fault_scenarios import FAULT_SCENARIOS
from django_feexpay.sandbox.fault_settings import OPERATIONS, FaultSettings, as_text, every_setting
from django_feexpay.sandbox.server import ROUTED_MODULES
from django_feexpay.sandbox.texts import MAGIC_NUMBERS
from tests.sandbox.running import ROOT

PAGE = (ROOT / "docs/reference/sandbox.md").read_text()

# Paths that pages and answers use by themselves.
UNDOCUMENTED_PATHS = re.compile(r"/assets/|/state$|^/exports/|^/phone/")


def setting_row(name: str) -> str:
    default = as_text(getattr(FaultSettings(), name)).lower()
    shown = f"`{default}`" if default else ""
    return f"| `{name}` | {shown} | {every_setting()[name].metadata['en']} |".replace("|  |", "| |")


@pytest.mark.parametrize("name", every_setting())
def test_every_setting_is_on_the_page(name: str) -> None:
    assert setting_row(name) in PAGE


@pytest.mark.parametrize("ending", MAGIC_NUMBERS)
def test_every_magic_number_is_on_the_page_and_has_a_script(ending: str) -> None:
    assert f"| `{ending}` | {MAGIC_NUMBERS[ending][1]} |" in PAGE
    assert ending in scenarios.SCRIPTS


def test_page_lists_no_other_setting_scenario_or_magic_number() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == [*MAGIC_NUMBERS, *FAULT_SCENARIOS, *every_setting()]
    assert f"`fault_calls` may name {', '.join(f'`{one}`' for one in OPERATIONS)}." in PAGE


def test_every_option_is_on_the_page() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser, {})
    options = {option for action in parser._actions for option in action.option_strings}
    assert {option for option in options if f"`{option}" not in PAGE} == set()


def test_every_endpoint_is_on_the_page() -> None:
    paths = {re.sub(r":path}", "}", route.path) for module in ROUTED_MODULES for route in module.ROUTES}
    documented = {path for path in paths if not UNDOCUMENTED_PATHS.search(path)}
    assert {path for path in documented if path.rstrip("/") not in PAGE} == set()
    assert "/api/feexlinks/generate" in documented
