"""Both packages as they are published: their files, their metadata, and an installation into an empty environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import django_feexpay
from tests.repository.tree import ROOT

VERSION = django_feexpay.__version__
#: What must never be published, whatever folder it is in.
UNWANTED = re.compile(
    r"(^|/)(tests|__pycache__|\.git|\.venv[^/]*|node_modules)/"
    r"|(^|/)(conftest\.py|\.env[^/]*|[^/]*\.(sqlite3|pem|key|log|jsonl|bak|orig|pyc))$"
)
#: Beginnings of real secrets: a live key of FeexPay, a private key, tokens of code hosts and of AWS.
SECRETS = re.compile(
    rb"\bfp_[A-Za-z0-9]{16,}|-----BEGIN [A-Z ]*PRIVATE KEY|\bghp_[A-Za-z0-9]{20,}|\bAKIA[0-9A-Z]{16}\b"
)
SETTINGS = """
SECRET_KEY = "made up"
USE_TZ = True
ROOT_URLCONF = "shop_urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_feexpay"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3", "OPTIONS": {"transaction_mode": "IMMEDIATE"},
}}
FEEXPAY = {
    "ENVIRONMENT": "development", "API_KEY": "test_key", "SHOP_ID": "SHOP",
    "BASE_URL": "http://127.0.0.1:9/api", "PAYABLE": "any_amount",
}
"""
URLS = 'from django.urls import include, path\nurlpatterns = [path("pay/", include("django_feexpay.urls"))]\n'


@dataclass(frozen=True)
class Built:
    """The two files of one package."""

    name: str
    wheel: Path
    sdist: Path

    @property
    def files(self) -> dict[str, bytes]:
        """What the wheel installs, by path."""
        with zipfile.ZipFile(self.wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    @property
    def source_files(self) -> dict[str, bytes]:
        """What the sdist holds, by path below its folder."""
        with tarfile.open(self.sdist) as archive:
            members = [member for member in archive.getmembers() if member.isfile()]
            read = {member.name: archive.extractfile(member) for member in members}
            return {name.split("/", 1)[1]: file.read() for name, file in read.items() if file is not None}

    @property
    def metadata(self) -> Message:
        return Parser().parsestr(self.files[f"{self.name}-{VERSION}.dist-info/METADATA"].decode())


def build(name: str, project: Path, folder: Path) -> Built:
    """The sdist, and the wheel that is built from it, as a build from PyPI's sdist would be."""
    hatchling = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t"]
    run([*hatchling, "sdist"], project)
    sdist = folder / f"{name}-{VERSION}.tar.gz"
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "source", filter="data")
    run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        folder / "source" / sdist.stem[:-4],
    )
    return Built(name, folder / f"{name}-{VERSION}-py3-none-any.whl", sdist)


def run(command: list[str], folder: Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DJANGO", "FEEXPAY"))}
    done = subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build("django_feexpay", ROOT, tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build("feexpay_client", ROOT / "client_app", tmp_path_factory.mktemp("client"))


@pytest.fixture(params=["server", "client"])
def package(request: pytest.FixtureRequest) -> Built:
    built: Built = request.getfixturevalue(request.param)
    return built


def test_pypi_would_accept_both_files(package: Built) -> None:
    printed = run([sys.executable, "-m", "twine", "check", "--strict", str(package.wheel), str(package.sdist)], ROOT)

    assert printed.count("PASSED") == 2


def test_wheel_holds_only_its_package(package: Built) -> None:
    assert {path.split("/")[0] for path in package.files} == {package.name, f"{package.name}-{VERSION}.dist-info"}


def test_nothing_unwanted_and_no_secret_is_published(package: Built) -> None:
    for files in (package.files, package.source_files):
        assert [path for path in files if UNWANTED.search(path)] == []
        assert [path for path, content in files.items() if SECRETS.search(content)] == []
    assert UNWANTED.search("django_feexpay/tests/test_x.py")
    assert SECRETS.search(b"API_KEY = fp_" + b"0123456789abcdef")


def test_sdist_holds_the_package_and_its_pages(server: Built, client: Built) -> None:
    pages = {path for path in server.source_files if not path.startswith("django_feexpay/")}
    pages_of_client = {path for path in client.source_files if not path.startswith("src/")}

    assert pages == {".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "SECURITY.md", "pyproject.toml"}
    assert pages_of_client == {".gitignore", "LICENCES.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}


def test_wheels_hold_everything_that_is_read_at_run_time(server: Built, client: Built) -> None:
    """Each file of both packages, but for the sources of the translations, and each kind at least once."""
    for built, folder in ((server, ROOT), (client, ROOT / "client_app" / "src")):
        here = {
            path.relative_to(folder).as_posix()
            for path in (folder / built.name).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert here - set(built.files) == set()
    for ending in ("/py.typed", "/django.mo", ".css", ".js", ".html", ".txt", "/0001_initial.py"):
        assert any(path.endswith(ending) for path in server.files), ending
    for ending in ("/py.typed", ".kv", ".png", ".json"):
        assert any(path.endswith(ending) for path in client.files), ending


def test_licence_is_in_both_wheels(package: Built) -> None:
    assert package.files[f"{package.name}-{VERSION}.dist-info/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()


def test_metadata_names_the_version_and_what_a_host_installs(server: Built, client: Built) -> None:
    required = [Requirement(value) for value in server.metadata.get_all("Requires-Dist", [])]
    always = {one.name: str(one.specifier) for one in required if one.marker is None}

    assert server.metadata["Version"] == client.metadata["Version"] == VERSION
    assert set(server.metadata.get_all("Provides-Extra", [])) == {
        *("alerts", "aws", "export", "metrics", "openapi", "postgres"),
        *("production", "redis", "sandbox", "sentry", "vault"),
    }
    assert "phonenumberslite" not in always
    assert "<" not in always["requests"] + always["urllib3"]


def test_dependency_groups_name_every_extra_that_the_code_uses() -> None:
    """The suite runs with every extra except `production`, which only the sample project's servers need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    own = [item for name in ("demo", "test") for item in groups[name] if str(item).startswith("django-feexpay[")]
    tested = {extra for item in own for extra in item.partition("[")[2].rstrip("]").split(",")}

    assert tested == set(project["project"]["optional-dependencies"]) - {"production"}


def test_demo_can_write_every_format_of_an_export() -> None:
    """`history/export/?format=xlsx` answers 406 where the extra `export` is not installed."""
    demo = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["demo"]

    assert any("export" in re.split(r"[\[\],]", str(item)) for item in demo)


# --- in an empty environment ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Environment:
    """A new environment, and an empty folder in which its Python runs."""

    python: Path
    folder: Path

    def run(self, *arguments: str) -> str:
        return run([str(self.python), *arguments], self.folder, DJANGO_SETTINGS_MODULE="shop_settings")


@pytest.fixture(scope="module")
def environment(server: Built, client: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Both wheels with what their metadata requires, from the package index; without Kivy, which a server lacks."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    needed = map(Requirement, client.metadata.get_all("Requires-Dist", []))
    others = [str(one) for one in needed if one.marker is None and one.name != "kivy"]
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile"]
    run([*install, str(server.wheel), *others], folder)
    run([*install, "--no-deps", "--no-index", str(client.wheel)], folder)
    (folder / "shop_settings.py").write_text(SETTINGS)
    (folder / "shop_urls.py").write_text(URLS)
    return Environment(python, folder)


def test_new_project_with_the_wheel_alone_checks_migrates_and_answers(environment: Environment) -> None:
    environment.run("-m", "django", "check", "--fail-level", "ERROR")
    environment.run("-m", "django", "migrate", "--verbosity", "0")
    program = """
import json
import django; django.setup()
import django_feexpay
from django.db import connection
from django.test import Client
from django.utils import translation
from django_feexpay.problems import PROBLEMS
with translation.override("fr"):
    title = str(PROBLEMS["not_found"][1])
tables = [name for name in connection.introspection.table_names() if name.startswith("feexpay_")]
live = Client().get("/pay/health/live/", headers={"host": "localhost"})
print(json.dumps([django_feexpay.__file__, django_feexpay.__version__, len(tables), live.status_code, title]))
"""
    file, version, tables, status, title = json.loads(environment.run("-c", program))

    assert file.startswith(str(environment.folder))
    assert (version, status, title) == (VERSION, 200, "Introuvable")
    assert tables > 25


def test_client_without_kivy_talks_to_the_api(environment: Environment) -> None:
    """A program without a window installs no Kivy."""
    program = """
import sys
import feexpay_client
from feexpay_client import FeexPayClient, PaymentFlow, Purchase
import feexpay_client.core.flow, feexpay_client.core.api, feexpay_client.core.journal
print([name for name in sys.modules if name.split(".")[0] in ("kivy", "django", "django_feexpay")])
"""
    assert environment.run("-c", program).strip() == "[]"
