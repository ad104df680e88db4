"""The benchmark runs. Its figures are not tested, because the machine of a test run is too busy."""

from __future__ import annotations

import subprocess
import sys

from tests.repository.tree import ROOT
from tools.bench import __main__ as bench
from tools.bench.measuring import Figure, Ratio, at_most, ratio, statements

MEASURES = ("status", "history", "providers", "due", "webhook", "initiate", "worker", "feexpay_worker", "qcluster")


def test_bench_measures_everything_and_exits_with_zero() -> None:
    command = [sys.executable, "-m", "tools.bench", "--quick"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    machine, _, _, _, *lines, _, verdict = done.stdout.splitlines()
    assert "PostgreSQL 18" in machine
    assert {line.split()[0].rstrip(",") for line in lines} == set(MEASURES)
    assert "goals missed" in verdict


def test_ratio_is_the_median_of_the_rounds() -> None:
    measured = ratio([2.0, 4.0, 30.0, 4.0, 4.0], [1.0, 2.0, 3.0, 4.0, 1.0])

    assert measured == Ratio(median=2.0, low=1.5, high=7.0, seconds=4.0, base_seconds=2.0)


def test_figure_that_equals_its_goal_meets_it() -> None:
    exact, above = ratio([1.5], [1.0]), ratio([1.6], [1.0])

    assert (at_most("x", exact, 1.5).met, at_most("x", above, 1.5).met) == (True, False)
    assert (statements("x", 3, 3).met, statements("x", 4, 3).met, statements("x", 4).met) == (True, False, None)


def test_missed_goal_is_marked() -> None:
    assert bench._line(Figure("x", "1.60", "≤ 1.5 ×", met=False)).endswith("1.60" + " " * 42 + "≤ 1.5 × ✘")
