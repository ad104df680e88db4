"""`python tools/report/record.py NAME -- COMMAND …` runs a command and keeps its result for `make report`.

The command prints as usual, and its exit code is returned. `.reports/NAME.json` holds the end of what it printed, when
and how long it ran, and on which code. Only the standard library is used: the client's environment runs it too.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".reports"
#: Lines kept of what a command printed.
_LINES = 400
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def main() -> int:
    if len(sys.argv) < 4 or sys.argv[2] != "--":
        print("python tools/report/record.py NAME -- COMMAND …", file=sys.stderr)
        return 2
    return run(sys.argv[1], sys.argv[3:])


def run(name: str, command: list[str], folder: Path = FOLDER) -> int:
    """Run a command and write its record; return its exit code."""
    began, began_at = time.monotonic(), datetime.now(UTC)
    code, printed = _run(command)
    record = {
        "name": name,
        "began_at": began_at.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        "exit_code": code,
        "python": sys.version.split()[0],
        "lines": _COLOURS.sub("", printed).splitlines()[-_LINES:],
        **code_state(),
    }
    folder.mkdir(exist_ok=True)
    target = folder / f"{name}.json"
    target.with_suffix(".part").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    target.with_suffix(".part").replace(target)
    return code


def code_state() -> dict[str, Any]:
    """The commit, and whether files differ from it; empty outside a git clone."""
    commit = _git("rev-parse", "HEAD")
    return {"commit": commit, "changed": bool(commit and _git("status", "--porcelain", "--untracked-files=no"))}


def _run(command: list[str]) -> tuple[int, str]:
    """The exit code and the output of a command that prints to our standard output while it runs."""
    environment = os.environ | ({"FORCE_COLOR": "1"} if sys.stdout.isatty() else {})
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None  # noqa: S101 -- it was asked for
        # Ctrl-C reaches the command as well, which then ends in its own way; a `kill` is passed on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, _frame: process.send_signal(number))
        parts = []
        while part := os.read(process.stdout.fileno(), 65536):
            sys.stdout.buffer.write(part)
            sys.stdout.flush()
            parts.append(part)
        code = process.wait()
    return (code if code >= 0 else 128 - code), b"".join(parts).decode("utf-8", "replace")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607 -- git of the PATH
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main())
