"""The packaging files list what the client needs."""

from __future__ import annotations

import configparser
import importlib.metadata as metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import feexpay_client

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import licences  # noqa: E402 -- the line above makes it importable

#: python-for-android's own: interpreter, TLS, the bridge to Java; Pillow loads pictures for Kivy and draws receipts.
ANDROID_ONLY = {"python3", "openssl", "android", "pyjnius", "pillow", "filetype", "kivy"}
#: httpx's recipe requires it; current anyio and httpx do not.
RECIPE_ONLY = {"sniffio"}


def spec() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser()
    parser.read(ROOT / "buildozer.spec")
    return parser["app"]


def requirements() -> dict[str, str]:
    """Name → pinned version, or empty."""
    pairs = (part.strip().partition("==") for part in spec()["requirements"].split(","))
    return {name.lower().replace("_", "-"): version for name, _, version in pairs}


def test_android_requirements_are_what_the_client_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = {re.split(r"[\[=<>]", line)[0] for line in project["dependencies"]}
    needed = set(ours).union(*(licences.closure(name) for name in ours - {"kivy"}))

    assert set(requirements()) - ANDROID_ONLY - RECIPE_ONLY == needed - ANDROID_ONLY


def test_android_versions_are_the_tested_ones() -> None:
    assert {name: version for name, version in requirements().items() if version} == {
        name: metadata.version(name) for name in ("kivy", "httpx")
    }


def test_python_for_android_can_resolve_it() -> None:
    """Resolves recipes and their order offline, the first step of a build."""
    code = """
import sys
from pythonforandroid.bootstrap import Bootstrap
from pythonforandroid.build import Context
from pythonforandroid.graph import get_recipe_order_and_bootstrap
context = Context()
recipes, pure, bootstrap = get_recipe_order_and_bootstrap(
    context, sys.argv[1].split(","), Bootstrap.get_bootstrap("sdl2", context))
print("RESOLVED", ",".join([*recipes, *pure]), bootstrap.name)
"""
    names = ",".join(requirements())
    command = [sys.executable, "-W", "ignore", "-c", code, names]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    assert "RESOLVED" in shown.stdout, shown.stderr
    resolved = shown.stdout.split("RESOLVED")[1]
    assert {"kivy", "httpx", "openssl", "pyjnius", "anyio", "platformdirs"} <= set(re.split(r"[ ,\n]+", resolved))
    assert "sdl2" in resolved


def test_every_file_type_the_app_reads_is_packaged() -> None:
    kinds = {path.suffix[1:] for path in (ROOT / "src").rglob("*") if path.is_file() and path.suffix}
    kinds -= {"pyc", "typed"}

    assert kinds <= {kind.strip() for kind in spec()["source.include_exts"].split(",")}
    desktop = re.search(r"DATA = \((.*)\)", (ROOT / "feexpay_client.spec").read_text())
    assert desktop is not None
    assert kinds - {"py"} == set(re.findall(r'"\.(\w+)"', desktop[1]))


def test_android_excludes_backups_and_asks_only_for_network_permissions() -> None:
    assert spec()["android.allow_backup"] == "False"
    assert [name.strip().rsplit(".", 1)[1] for name in spec()["android.permissions"].split(",")] == [
        "INTERNET",
        "ACCESS_NETWORK_STATE",
    ]
    icon = spec()["icon.filename"].replace("%(source.dir)s", spec()["source.dir"])
    assert (ROOT / icon).is_file()


def test_all_files_name_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pattern = spec()["version.regex"]
    found = re.search(pattern, (ROOT / "src" / "feexpay_client" / "__init__.py").read_text())

    assert found is not None
    assert found[1] == project["version"] == feexpay_client.__version__


def test_licence_page_names_every_package() -> None:
    page = (ROOT / "LICENCES.md").read_text()
    missing = [name for name in licences.closure("feexpay-client", "keyring") if f"| {name} |" not in page]

    assert missing == [], "python tools/licences.py"
