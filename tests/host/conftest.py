"""The package as a host installs it: from the wheel, not from this repository."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = Path(__file__).with_name("project")

RunInHost = Callable[..., "subprocess.CompletedProcess[str]"]
#: `make_once("name", make)`: the folder that `make(folder)` filled for all workers of pytest-xdist.
MakeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """What takes seconds to make is made by the worker that needs it first; the others wait for it."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder, complete = shared / name, shared / f"{name}.complete"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not complete.exists():
                folder.mkdir()
                make(folder)
                complete.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def installed(make_once: MakeOnce) -> Path:
    """The folder into which pip installed the wheel of this repository, compiled once for all processes."""
    return make_once("wheel", _install) / "site-packages"


def _install(folder: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*install, str(folder / "site-packages"), str(wheel)], check=True, capture_output=True)


def environment_of_host(installed: Path, folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{installed}{os.pathsep}{PROJECT}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOST_FOLDER": str(folder),
    }


@pytest.fixture
def host_environment(installed: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a process of the host project. The package comes from the wheel."""
    return environment_of_host(installed, tmp_path)


@pytest.fixture(scope="session")
def migrated(installed: Path, make_once: MakeOnce) -> Path:
    """The database of the variant "plain" after `migrate`. Migrating it anew takes half the time of a test."""

    def migrate(folder: Path) -> None:
        environment = {**environment_of_host(installed, folder), "DJANGO_SETTINGS_MODULE": "variants.plain"}
        command = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0", "--skip-checks"]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)

    return make_once("migrated", migrate) / "db.sqlite3"


@pytest.fixture
def run_in_host(host_environment: dict[str, str], tmp_path: Path) -> RunInHost:
    """`run_in_host("plain", "-m", "django", "check")` runs Python in the host project with that variant's settings."""

    def run(variant: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**host_environment, "DJANGO_SETTINGS_MODULE": f"variants.{variant}"}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run
