"""The delivery report says what ran, on which code, and what did not; the matrix names what it leaves out."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.repository.tree import ROOT
from tools import matrix
from tools.report import __main__ as delivery
from tools.report.duplication import BLOCK_LINES, measure

HERE = {"commit": "a" * 40, "changed": False}
FACTS: dict[str, Any] = {
    "version": "1.2.3",
    "code": HERE,
    "duplication": "little",
    "endpoints": [("GET", "`/x/`")],
    "providers": "one",
    "doubts": "- a doubt",
}
RECORD = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tools.report import record
sys.exit(record.run("soak", [sys.executable, "-c", {program!r}], Path({folder!r})))
"""


def recorded(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    source = RECORD.format(root=str(ROOT), program=program, folder=str(folder))
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)


def written(**runs: delivery.Run) -> str:
    return delivery.report(runs, FACTS, datetime(2026, 11, 29, 18, tzinfo=UTC))


def run(name: str, *lines: str, commit: str = HERE["commit"], code: int = 0, changed: bool = False) -> delivery.Run:
    return delivery.Run(name, "2026-11-29T17:00:00+00:00", 12.3, code, lines, commit, changed, "3.11.7")


def test_record_passes_output_and_exit_code_on(tmp_path: Path) -> None:
    done = recorded(tmp_path, "print('\\x1b[32mgreen\\x1b[0m'); print('last'); raise SystemExit(3)")

    kept = json.loads((tmp_path / "soak.json").read_text())
    assert (done.returncode, kept["exit_code"]) == (3, 3)
    assert done.stdout == "\x1b[32mgreen\x1b[0m\nlast\n"
    assert kept["lines"] == ["green", "last"]
    assert kept["commit"] == delivery.code_state()["commit"]
    assert delivery.runs(tmp_path)["soak"].last_line == "last"


def test_report_without_any_run_says_so_for_each_command() -> None:
    text = written()

    for name in delivery.COMMANDS:
        assert f"- `{name}` was not run" in text
    assert text.count("**not run**") == len(delivery.COMMANDS)
    for sentence in ("No test was run.", "No benchmark was run.", "The soak was not run.", "The drill was not run."):
        assert sentence in text


def test_report_shows_results_and_the_code_that_they_are_about() -> None:
    text = written(
        test=run("test", "gateway       99.10 %  ok", "payments      97.20 %  ok", "==== 8100 passed in 1100s ===="),
        soak=run("soak", "soak ok: N=500 seed=7 seconds=90 credited=300 lost=0 duplicates=0 forgotten=0"),
        drill=run("drill", "drill before=80 double_credits=0 missing=0", commit="b" * 40),
        check=run("check", "1 problem", code=2, changed=True),
        bench=run(
            "bench", "status read    1.20 (1.10)    at most 1.5 ✔", "a webhook    3.00    at most 2 ✘", "1 missed"
        ),
    )

    assert "- test: 8100 passed in 1100s" in text
    assert "- gateway: 99.10 % of statements and branches" in text
    assert "took the money of 300. 100.00 % of these were credited exactly once: 0 lost, 0 doubled." in text
    assert "| `make drill` | passed | 2026-11-29 17:00 | 12 | **other code**: bbbbbbbbbbbb |" in text
    assert "| `make check` | **failed** (2) | 2026-11-29 17:00 | 12 | **this commit and changes** |" in text
    assert "- `drill` ran on other code." in text
    assert "2 figures have a goal, 1 missed it." in text


@pytest.mark.parametrize("name", delivery.COMMANDS)
def test_each_command_of_the_report_leaves_a_record(name: str) -> None:
    assert f" {name} -- " in (ROOT / "Makefile").read_text()


def test_facts_come_from_the_code() -> None:
    facts = delivery.facts()

    assert ("POST", "`/api/v1/payments/feexpay/initiate/`") in facts["endpoints"]
    assert facts["providers"].startswith("21 providers are served: `mtn_bj`")
    assert "- Payouts\n" in facts["doubts"]


def test_repeated_blocks_are_measured(tmp_path: Path) -> None:
    block = "".join(f"call({number})\n" for number in range(BLOCK_LINES))
    (tmp_path / "one.py").write_text(f"import os\n{block}other()\n")
    (tmp_path / "two.py").write_text(f"# a comment\n\ndifferent()\n{block}")

    measured = measure(sorted(tmp_path.glob("*.py")), tmp_path)

    assert (measured.lines, measured.repeated) == (2 * BLOCK_LINES + 2, 2 * BLOCK_LINES)
    assert measured.blocks == ("one.py:2 = two.py:4",)


# --- the matrix ----------------------------------------------------------------------------------------


def test_matrix_covers_every_pair_of_the_metadata_that_exists() -> None:
    """Django 6 does not run on Python 3.11."""
    pairs = {(python, django) for python, djangos in matrix.PAIRS.items() for django in djangos}

    assert matrix.pairs_of_classifiers() - pairs == {("3.11", "6.0"), ("3.11", "6.1")}
    assert pairs <= matrix.pairs_of_classifiers()


def test_matrix_names_a_python_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []
    monkeypatch.setattr(matrix, "interpreter", lambda version: None if version == "3.13" else f"/python{version}")
    monkeypatch.setattr(matrix, "_run", lambda python, version, django, tests: ran.append(django) or django != "6.1")
    monkeypatch.setattr(sys, "argv", ["matrix"])

    code = matrix.main()

    printed = capsys.readouterr().out
    assert (code, ran) == (1, ["5.2", "5.2", "6.0", "6.1"])
    assert "Python 3.13, Django 6.0: LEFT OUT: there is no such Python here" in printed
    assert "Python 3.12, Django 6.1: FAILED" in printed
    assert printed.endswith("matrix: 4 of 7 pairs ran, 1 failed\n")


def test_interpreter_is_one_that_runs() -> None:
    assert matrix.interpreter(".".join(map(str, sys.version_info[:2]))) is not None
    assert matrix.interpreter("3.99") is None
