"""`make matrix`: the tests on every supported pair of Python and Django whose Python is on this machine.

Each pair has an environment of its own in .venv-matrix, which the next run uses again. A Python that is missing is
named and left out; the exit code is 1 if a pair fails, or if no Python was found.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-matrix"
#: The Djangos that each Python can run: Django 6 needs Python 3.12.
PAIRS = {"3.11": ("5.2",), "3.12": ("5.2", "6.0", "6.1"), "3.13": ("5.2", "6.0", "6.1")}
#: What depends most on the versions. FULL=1 runs everything.
QUICK = ("tests/host", "tests/api", "tests/webhooks", "tests/payments", "tests/admin")


def main() -> int:
    options = _options()
    found = {version: interpreter(version) for version in PAIRS}
    results: dict[str, str] = {}
    for version, python in found.items():
        for django in PAIRS[version]:
            name = f"Python {version}, Django {django}"
            if options.only and f"{version}-{django}" not in options.only:
                continue
            if python is None:
                results[name] = "LEFT OUT: there is no such Python here"
                continue
            began = time.monotonic()
            print(f"--- {name}", flush=True)
            passed = _run(python, version, django, options.tests or ([] if options.full else QUICK))
            results[name] = f"{'passed' if passed else 'FAILED'} after {time.monotonic() - began:.0f} s"
    print("", *(f"{name}: {result}" for name, result in results.items()), sep="\n")
    ran = [result for result in results.values() if not result.startswith("LEFT OUT")]
    failed = [result for result in ran if result.startswith("FAILED")]
    print(f"matrix: {len(ran)} of {len(results)} pairs ran, {len(failed)} failed")
    return int(not ran or bool(failed))


def interpreter(version: str) -> str | None:
    """The path of this Python: on PATH, or installed by pyenv. None: there is none that runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names = (shutil.which(f"python{version}"), shutil.which("python3"))
    for path in (*names, *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))):
        if path is None:
            continue
        # A shim of pyenv is on PATH also for a Python that is not chosen, and then it fails.
        ask = [path, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2], sys._base_executable)"]
        done = subprocess.run(ask, capture_output=True, text=True, check=False)
        answered, _space, executable = done.stdout.strip().partition(" ")
        if done.returncode == 0 and answered == version:
            return executable
    return None


def pairs_of_classifiers() -> set[tuple[str, str]]:
    """Every pair of a Python and a Django that the metadata names."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    names = [text.rpartition(" :: ")[2] for text in classifiers]
    pythons = [name for name, text in zip(names, classifiers, strict=True) if "Language :: Python :: 3." in text]
    djangos = [name for name, text in zip(names, classifiers, strict=True) if "Framework :: Django :: " in text]
    return {(python, django) for python in pythons for django in djangos}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make matrix", description="The tests on every pair of Python and Django.")
    parser.add_argument("--full", action="store_true", help="the whole suite")
    parser.add_argument("--only", nargs="*", metavar="3.12-6.1", help="these pairs")
    parser.add_argument("--tests", nargs="*", help="these folders or files")
    return parser.parse_args()


def _run(python: str, version: str, django: str, tests: tuple[str, ...] | list[str]) -> bool:
    """Make the environment of a pair if it is missing, and run the tests in it."""
    folder = FOLDER / f"{version}-{django}"
    own = folder / "bin" / "python"
    installed = folder / ".installed"
    wanted = (ROOT / "pyproject.toml").read_text()
    if not installed.exists() or installed.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        steps = [
            [python, "-m", "venv", str(folder)],
            [str(own), "-m", "pip", "install", "-qq", "pip>=25.1"],
            [str(own), "-m", "pip", "install", "-qq", "--editable", ".", "--group", "test", f"Django=={django}.*"],
        ]
        if any(subprocess.run(step, cwd=ROOT, check=False).returncode for step in steps):
            return False
        installed.write_text(wanted)
    command = [str(own), "-m", "pytest", "-q", "--numprocesses=2", "--dist=worksteal", *tests]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
