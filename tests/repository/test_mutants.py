"""The list of mutants that may live is well-formed; `make mutants` checks it against the code."""

from __future__ import annotations

import tomllib

import pytest

from tools.mutants import survivors
from tools.mutants.targets import TARGETS, Target

#: The modules that issue 11 names; masking is `phone`, `private` and `redaction`.
NAMED = ["signatures", "lifecycle", "ledger", "reconcile", "money", "idempotency", "refusals"]


def test_every_core_module_is_mutated() -> None:
    assert {target.name for target in TARGETS} == {*NAMED, "phone", "private", "redaction"}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_tests_of_each_target_exist(target: Target) -> None:
    assert target.path.exists()
    assert [path for path in target.test_files() if not path.exists()] == []


def test_each_survivor_has_a_reason_and_is_listed_once() -> None:
    listed = tomllib.loads(survivors.FILE.read_text())

    assert set(listed) <= {target.name for target in TARGETS}
    for name, entries in listed.items():
        mutants = [mutant for entry in entries for mutant in entry["mutants"]]
        assert len(mutants) == len(set(mutants)), name
        assert [entry for entry in entries if len(entry["reason"]) < 20] == [], name


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_each_survivor_changes_a_line_that_is_still_there(target: Target) -> None:
    text = " ".join(target.path.read_text().split())
    changed = {name.partition(": ")[2].partition(" ⇒ ")[0] for name in survivors.listed_survivors(target)}

    assert [line for line in changed if " ".join(line.split()) not in text] == []
