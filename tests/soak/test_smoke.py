"""The soak itself, small: the same program, the same deaths, less of everything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tests.soak", "--count=30", "--seed=1", "--patience=2"]


def test_small_soak_loses_and_doubles_nothing() -> None:
    done = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)

    last_line = done.stdout.splitlines()[-1]
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"soak ok: N=30 seed=1 seconds=\d+ credited=[1-9]\d* lost=0 duplicates=0", last_line)
