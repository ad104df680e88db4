"""`make report`: what was run on this code and what came out, as Markdown; also written to .reports/report.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools import release
from tools.report.duplication import BLOCK_LINES, measure
from tools.report.record import FOLDER, ROOT, code_state

DOUBTS = ROOT / "docs" / "explanation" / "open-doubts.md"
#: The commands that leave a record, in the order of the report, and what each proves.
COMMANDS = {
    "check": "lint, types, import contracts, own rules, migrations, deploy files, version and changelog, audit",
    "test-sqlite": "the tests that must also pass on SQLite",
    "test": "all tests of the server, on PostgreSQL",
    "client-test": "all tests of the client",
    "matrix": "Python 3.11 to 3.13 with Django 5.2 to 6.1",
    "soak": "purchases while processes and connections are killed",
    "simulate": "payers, FeexPay, the worker and staff under faults, by seeds",
    "drill": "a lost database restored, and a replica promoted",
    "load": "whole payments over HTTP: each charge credited once, and their CPU time",
    "bench": "costs as ratios, against goals",
    "mutants": "small changes of the modules that decide about money",
    "nightly": "property tests with new random seeds",
}


@dataclass(frozen=True, slots=True)
class Run:
    """The last run of a command."""

    name: str
    began_at: str
    seconds: float
    exit_code: int
    lines: tuple[str, ...]
    commit: str
    changed: bool
    python: str

    @property
    def last_line(self) -> str:
        """Its result: the last line that says something."""
        return next((line.strip(" =") for line in reversed(self.lines) if line.strip()), "")


def runs(folder: Path = FOLDER) -> dict[str, Run]:
    """The records of a folder, by command."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        kept = json.loads(path.read_text())
        found[path.stem] = Run(**{**kept, "lines": tuple(kept["lines"])})
    return found


def report(found: dict[str, Run], facts: dict[str, Any], now: datetime) -> str:
    """The report as Markdown."""
    here = facts["code"]
    state = f"commit {here['commit'][:12] or 'unknown'}{', with changes that are not committed' * here['changed']}"
    parts = [
        f"# django_feexpay {facts['version']}: delivery report",
        f"Written on {now:%Y-%m-%d at %H:%M} UTC for {state}.",
        "## What was run",
        _table(
            ("Command", "Result", "When", "Seconds", "Code"), [_row(name, found.get(name), here) for name in COMMANDS]
        ),
        *_not_run(found, here),
        "## Tests and coverage",
        *_tests(found),
        "## Duplication",
        facts["duplication"],
        "## Benchmarks",
        *_bench(found.get("bench")),
        *([f"Load: `{found['load'].last_line}`"] if "load" in found else ["The load was not run."]),
        "## The soak and the drill",
        *_soak(found.get("soak")),
        *([f"Drill: `{found['drill'].last_line}`"] if "drill" in found else ["The drill was not run."]),
        "## Endpoints",
        f"{len(facts['endpoints'])} operations in the API description of the sample project.",
        _table(("Method", "Path"), facts["endpoints"]),
        "## Providers",
        facts["providers"],
        "## Open doubts",
        facts["doubts"],
    ]
    return "\n\n".join(parts) + "\n"


def _row(name: str, run: Run | None, here: dict[str, Any]) -> tuple[str, ...]:
    command = f"`make {name}`" if name != "test-sqlite" else "`make test`, on SQLite"
    if run is None:
        return (command, "**not run**", "", "", "")
    outcome = "passed" if run.exit_code == 0 else f"**failed** ({run.exit_code})"
    return (command, outcome, run.began_at[:16].replace("T", " "), f"{run.seconds:.0f}", _code(run, here))


def _code(run: Run, here: dict[str, Any]) -> str:
    if run.commit != here["commit"]:
        return f"**other code**: {run.commit[:12]}"
    return "**this commit and changes**" if run.changed or here["changed"] else "this commit"


def _not_run(found: dict[str, Run], here: dict[str, Any]) -> list[str]:
    missing = [f"- `{name}` was not run: {proves}." for name, proves in COMMANDS.items() if name not in found]
    other = [f"- `{name}` ran on other code." for name, run in found.items() if run.commit != here["commit"]]
    return ["\n".join([*missing, *other])] if missing or other else ["All of them ran on this commit."]


def _tests(found: dict[str, Run]) -> Iterator[str]:
    lines = [f"- {name}: {found[name].last_line}" for name in ("test", "test-sqlite", "client-test") if name in found]
    yield "\n".join(lines) or "No test was run."
    covered = [
        f"- {match[1]}: {match[2]} % of statements and branches"
        for line in (found["test"].lines if "test" in found else ())
        if (match := re.match(r"(\w+) +(\d+\.\d\d) %  (?:ok|TOO LOW)$", line))
    ]
    if covered:
        yield "\n".join(covered)


def _bench(run: Run | None) -> Iterator[str]:
    if run is None:
        yield "No benchmark was run."
        return
    marked = [re.split(r"\s{2,}", line.strip()) for line in run.lines if line.rstrip().endswith(("✔", "✘"))]
    rows = [(cells[0], " ".join(cells[1:-1]), cells[-1]) for cells in marked if len(cells) > 2]
    missed = sum(goal.endswith("✘") for _name, _value, goal in rows)
    yield f"{len(rows)} figures have a goal, {missed} missed it."
    yield _table(("Measure", "Measured", "Goal"), rows)


def _soak(run: Run | None) -> Iterator[str]:
    match = re.search(r"N=(\d+).* credited=(\d+) lost=(\d+) duplicates=(\d+)", run.last_line) if run else None
    if run is None:
        yield "The soak was not run."
    elif match is None:
        yield f"The soak did not end: `{run.last_line}`"
    else:
        purchases, credited, lost, doubled = map(int, match.groups())
        safe = 100 * (credited - doubled) / (credited + lost) if credited + lost else 0.0
        yield (
            f"Of {purchases} purchases, FeexPay took the money of {credited + lost}. {safe:.2f} % of these were"
            f" credited exactly once: {lost} lost, {doubled} doubled. The others were declined, expired or given up on"
            " purpose."
        )
        yield f"`{run.last_line}`"


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


# --- the facts that need no run ------------------------------------------------------------------------


def facts() -> dict[str, Any]:
    """Version, code, duplication, endpoints, providers and open doubts, read from the code and its pages."""
    measured = measure(sorted((ROOT / "django_feexpay").rglob("*.py")), ROOT)
    doubts = re.findall(r"^## (.+)$", DOUBTS.read_text(), re.MULTILINE)
    return {
        "version": release.version(),
        "code": code_state(),
        "duplication": (
            f"{measured.percent:.2f} % of the {measured.lines} lines of code in django_feexpay are in blocks of"
            f" {BLOCK_LINES} or more lines that another place has, too."
        ),
        "endpoints": _endpoints(),
        "providers": _providers(),
        "doubts": "\n".join(f"- {doubt}" for doubt in doubts)
        + "\n\ndocs/explanation/open-doubts.md says what settles each.",
    }


def _endpoints() -> list[tuple[str, str]]:
    """Method and path of each operation, from the description that drf-spectacular makes."""
    command = [sys.executable, str(ROOT / "sample_project/manage.py"), "spectacular", "--format", "openapi-json"]
    variables = {"DATABASE_URL": "sqlite://:memory:", "DJANGO_SETTINGS_MODULE": "config.settings.development"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | variables)
    paths = json.loads(done.stdout)["paths"]
    return [
        (method.upper(), f"`{path}`")
        for path in sorted(paths)
        for method in sorted(paths[path])
        if method != "parameters"
    ]


def _providers() -> str:
    from django_feexpay.catalogue.providers import CATALOGUE

    served = [code for code, spec in CATALOGUE.items() if spec.served]
    others = [code for code, spec in CATALOGUE.items() if not spec.served]
    return (
        f"{len(served)} providers are served: {', '.join(f'`{code}`' for code in served)}.\n\n"
        f"Listed as not available: {', '.join(f'`{code}`' for code in others)}."
    )


def main() -> int:
    text = report(runs(), facts(), datetime.now(UTC))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "report.md").write_text(text)
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
