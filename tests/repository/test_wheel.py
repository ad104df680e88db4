"""The files of wheel and sdist, and the published metadata."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.repository.tree import ROOT

INFO = "django_feexpay-0.1.0.dist-info"


def build(kind: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build("wheel", tmp_path_factory.mktemp("wheel")))


def test_wheel_contains_only_the_package(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()

    assert {name.split("/")[0] for name in names} == {"django_feexpay", INFO}
    assert "django_feexpay/py.typed" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".sqlite3")]


def test_sdist_contains_only_the_package_and_its_pages(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}

    assert {name for name in names if not name.startswith("django_feexpay/")} == {
        ".gitignore",
        "CHANGELOG.md",
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "SECURITY.md",
        "pyproject.toml",
    }


def test_published_metadata_names_what_a_host_installs(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(wheel.read(f"{INFO}/METADATA").decode())
    required = [value for value in metadata.get_all("Requires-Dist", []) if "extra ==" not in value]

    assert set(metadata.get_all("Provides-Extra", [])) == {
        "export",
        "openapi",
        "postgres",
        "production",
        "redis",
        "sandbox",
    }
    assert [name for name in required if "phonenumbers" in name] == []
    assert [name for name in required if name.startswith(("requests", "urllib3")) and "<" in name] == []


def test_dependency_groups_name_every_extra_that_the_code_uses() -> None:
    """The suite runs with every extra except `production`, which only the sample project's servers need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    own = [item for group in groups.values() for item in group if str(item).startswith("django-feexpay[")]
    tested = {extra for item in own for extra in item.partition("[")[2].rstrip("]").split(",")}

    assert tested == set(project["project"]["optional-dependencies"]) - {"production"}
