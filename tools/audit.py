"""Looks up known vulnerabilities of all installed packages: `python tools/audit.py [--strict]`.

If the package index has no advisories, pip-audit still exits with 0 and prints "No known vulnerabilities found". So
this program counts the packages that pip-audit skipped. It exits with 1 if a package is vulnerable; with --strict also
if a package was not audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

OURSELVES = "django-feexpay"


@dataclass
class Audit:
    """The installed packages by result, each as `name version`."""

    clean: list[str] = field(default_factory=list)
    vulnerable: list[str] = field(default_factory=list)
    not_audited: list[str] = field(default_factory=list)


def judge(report: dict[str, Any]) -> Audit:
    """Sort the packages of pip-audit's JSON report; our own package is left out."""
    audit = Audit()
    for package in report["dependencies"]:
        if package["name"] == OURSELVES:
            continue
        name = f"{package['name']} {package.get('version', '')}".strip()
        if "skip_reason" in package:
            audit.not_audited.append(name)
        elif advisories := [advisory["id"] for advisory in package["vulns"]]:
            audit.vulnerable.append(f"{name}: {', '.join(advisories)}")
        else:
            audit.clean.append(name)
    return audit


def exit_code(audit: Audit, *, strict: bool) -> int:
    """1 if a package is vulnerable; if strict, also if a package was not audited or none was."""
    unproven = bool(audit.not_audited) or not audit.clean
    return int(bool(audit.vulnerable) or (strict and unproven))


def describe(audit: Audit) -> str:
    """The report as text."""
    lines = [f"audit: {len(audit.clean)} packages without a known vulnerability"]
    lines += [f"audit: VULNERABLE {package}" for package in audit.vulnerable]
    if audit.not_audited:
        total = len(audit.clean) + len(audit.vulnerable) + len(audit.not_audited)
        lines.append(f"audit: NOT AUDITED: {len(audit.not_audited)} of {total} packages; the index has no data about")
        lines.append("       " + ", ".join(audit.not_audited))
    return "\n".join(lines)


def main(strict: bool) -> int:
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        audit = judge(json.loads(done.stdout))
    except ValueError:
        print(f"audit: NOT AUDITED: pip-audit could not ask the package index\n{done.stderr.strip()[-500:]}")
        return int(strict)
    print(describe(audit))
    return exit_code(audit, strict=strict)


if __name__ == "__main__":
    sys.exit(main(strict="--strict" in sys.argv[1:]))
