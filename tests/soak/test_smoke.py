"""A small soak: the same program with few purchases."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: FeexPay approves a payment of ending 16 nine seconds after it was made; the verdict must come later than that.
PATIENCE_SECONDS = 10
COMMAND = [sys.executable, "-m", "tests.soak", "--count=30", "--seed=1", f"--patience={PATIENCE_SECONDS}"]


def test_small_soak_ends_without_violations() -> None:
    done = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)

    last_line = done.stdout.splitlines()[-1]
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(
        r"soak ok: N=30 seed=1 seconds=\d+ credited=[1-9]\d* lost=0 duplicates=0 forgotten=0", last_line
    )
    for what in ("charged twice", "reversed after the credit"):
        assert re.search(rf"^ +[1-9]\d* {what}$", done.stdout, re.MULTILINE), what
    for label in ("error", "page", "page x2", "push x2", "reversed", "hung"):
        assert re.search(rf"^  {label} ", done.stdout, re.MULTILINE), label
