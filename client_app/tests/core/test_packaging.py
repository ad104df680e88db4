"""What the packagers are told is what the client needs."""

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

import licences  # noqa: E402 -- a script of this repository, found by the line above

#: Of p4a itself: the interpreter, TLS, the bridge to Java; Pillow is Kivy's picture provider and draws our receipts.
ANDROIDS_OWN = {"python3", "openssl", "android", "pyjnius", "pillow", "filetype", "kivy"}
#: httpx's recipe names it; today's anyio and httpx need it no more.
RECIPES_OWN = {"sniffio"}


def spec() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser()
    parser.read(ROOT / "buildozer.spec")
    return parser["app"]


def requirements() -> dict[str, str]:
    """name → pinned version, or nothing."""
    pairs = (part.strip().partition("==") for part in spec()["requirements"].split(","))
    return {name.lower().replace("_", "-"): version for name, _, version in pairs}


def test_android_gets_what_the_client_needs_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = {re.split(r"[\[=<>]", line)[0] for line in project["dependencies"]}
    needed = set(ours).union(*(licences.closure(name) for name in ours - {"kivy"}))

    assert set(requirements()) - ANDROIDS_OWN - RECIPES_OWN == needed - ANDROIDS_OWN


def test_android_gets_the_versions_that_were_tested() -> None:
    assert {name: version for name, version in requirements().items() if version} == {
        name: metadata.version(name) for name in ("kivy", "httpx")
    }


def test_python_for_android_can_resolve_it() -> None:
    """Offline: recipes and their order, as a build would begin."""
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


def test_every_kind_of_file_the_app_reads_is_packed() -> None:
    kinds = {path.suffix[1:] for path in (ROOT / "src").rglob("*") if path.is_file() and path.suffix}
    kinds -= {"pyc", "typed"}

    assert kinds <= {kind.strip() for kind in spec()["source.include_exts"].split(",")}
    desktop = re.search(r"DATA = \((.*)\)", (ROOT / "feexpay_client.spec").read_text())
    assert desktop is not None
    assert kinds - {"py"} == set(re.findall(r'"\.(\w+)"', desktop[1]))


def test_android_keeps_the_journal_out_of_backups_and_asks_for_the_network_alone() -> None:
    assert spec()["android.allow_backup"] == "False"
    assert [name.strip().rsplit(".", 1)[1] for name in spec()["android.permissions"].split(",")] == [
        "INTERNET",
        "ACCESS_NETWORK_STATE",
    ]
    icon = spec()["icon.filename"].replace("%(source.dir)s", spec()["source.dir"])
    assert (ROOT / icon).is_file()


def test_there_is_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pattern = spec()["version.regex"]
    found = re.search(pattern, (ROOT / "src" / "feexpay_client" / "__init__.py").read_text())

    assert found is not None
    assert found[1] == project["version"] == feexpay_client.__version__


def test_the_page_of_licences_names_all_that_is_carried() -> None:
    page = (ROOT / "LICENCES.md").read_text()
    missing = [name for name in licences.closure("feexpay-client", "keyring") if f"| {name} |" not in page]

    assert missing == [], "python tools/licences.py"
