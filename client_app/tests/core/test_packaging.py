"""The packaging files list what the client needs."""

from __future__ import annotations

import configparser
import importlib.metadata as metadata
import io
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import feexpay_client
from feexpay_client.core.brand import Brand
from feexpay_client.core.instance import Instance

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import brand  # noqa: E402 -- the line above makes it importable
import deb  # noqa: E402
import licences  # noqa: E402

#: python-for-android's own: interpreter, TLS, the bridge to Java; Pillow loads pictures for Kivy and draws receipts.
ANDROID_ONLY = {"python3", "openssl", "android", "pyjnius", "pillow", "filetype", "kivy"}
#: httpx's recipe requires it; current anyio and httpx do not.
RECIPE_ONLY = {"sniffio"}


def spec(folder: Path = ROOT) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser()
    parser.read(folder / "buildozer.spec")
    return parser["app"]


def requirements(folder: Path = ROOT) -> dict[str, str]:
    """Name → pinned version, or empty."""
    pairs = (part.strip().partition("==") for part in spec(folder)["requirements"].split(","))
    return {name.lower().replace("_", "-"): version for name, _, version in pairs}


def declared(extra: str = "") -> set[str]:
    """The names in pyproject.toml: the dependencies, or those of an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return {re.split(r"[\[=<>]", line)[0] for line in lines}


def needed_on_android() -> set[str]:
    """What pyproject.toml declares, with what that needs in turn, and what only the notices need."""
    return declared().union(declared("notify"), *(licences.closure(name) for name in declared() - {"kivy"}))


def test_android_requirements_are_what_the_client_needs() -> None:
    assert set(requirements()) - ANDROID_ONLY - RECIPE_ONLY == needed_on_android() - ANDROID_ONLY


def test_a_brands_android_package_has_the_same_requirements(tmp_path: Path) -> None:
    brand.write(ROOT / "examples" / "brand" / "brand.toml", tmp_path / "branded")

    assert requirements(tmp_path / "branded") == requirements()


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
    assert {"kivy", "httpx", "openssl", "pyjnius", "anyio", "platformdirs", "plyer"} <= set(
        re.split(r"[ ,\n]+", resolved)
    )
    assert "sdl2" in resolved


def test_every_file_type_the_app_reads_is_packaged() -> None:
    kinds = {path.suffix[1:] for path in (ROOT / "src").rglob("*") if path.is_file() and path.suffix}
    kinds = kinds - {"pyc", "typed"} | {"toml"}  # a brand's file

    assert kinds <= {kind.strip() for kind in spec()["source.include_exts"].split(",")}
    desktop = re.search(r"DATA = \((.*)\)", (ROOT / "feexpay_client.spec").read_text())
    assert desktop is not None
    assert kinds - {"py"} == set(re.findall(r'"\.(\w+)"', desktop[1]))


def test_android_excludes_backups_and_asks_only_for_network_and_notices() -> None:
    assert spec()["android.allow_backup"] == "False"
    assert [name.strip().rsplit(".", 1)[1] for name in spec()["android.permissions"].split(",")] == [
        "INTERNET",
        "ACCESS_NETWORK_STATE",
        "POST_NOTIFICATIONS",
    ]
    icon = spec()["icon.filename"].replace("%(source.dir)s", spec()["source.dir"])
    assert (ROOT / icon).is_file()


def test_all_files_name_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pattern = spec()["version.regex"]
    found = re.search(pattern, (ROOT / "src" / "feexpay_client" / "__init__.py").read_text())

    assert found is not None
    assert project["dynamic"] == ["version"]  # hatchling reads it from the same line
    assert found[1] == feexpay_client.__version__


def test_licence_page_names_every_package() -> None:
    page = (ROOT / "LICENCES.md").read_text()
    # plyer, of the extra `notify`, is not installed for tests: they would send notices to the developer's desktop.
    packed = licences.closure("feexpay-client", "keyring") | declared("notify")
    missing = [name for name in packed if f"| {name} |" not in page]

    assert missing == [], "python tools/licences.py"


def test_one_id_names_the_app_everywhere() -> None:
    """Android package, intent filter, the sample's return page, desktop file; none is in a domain of FeexPay."""
    build = Brand()
    filters = (ROOT / "packaging" / "intent_filters.xml").read_text()
    settings = (ROOT.parent / "sample_project" / "config" / "settings" / "base.py").read_text()

    assert f"{spec()['package.domain']}.{spec()['package.name']}" == build.app_id
    assert f'android:scheme="{build.scheme}"' in filters
    assert f'CLIENT_SCHEME = "{build.scheme}"' in settings
    assert not build.app_id.startswith("me.feexpay")
    ElementTree.fromstring(f"<all xmlns:android='a'>{filters}</all>")  # noqa: S314 -- our own file


def test_debian_package_holds_program_desktop_file_icon_and_appstream(tmp_path: Path) -> None:
    built = tmp_path / "game"
    built.mkdir()
    for name in ("game", "library.so"):
        (built / name).write_bytes(b"program")
        (built / name).chmod(0o755)

    path = deb.write(built, ROOT, Brand(app_id="com.example.game", title="Awa & Fils"), "x86_64")

    assert path.name == f"com.example.game_{feexpay_client.__version__}_amd64.deb"
    parts = members(path.read_bytes())
    assert list(parts) == ["debian-binary", "control.tar.gz", "data.tar.gz"]
    with tarfile.open(fileobj=io.BytesIO(parts["control.tar.gz"])) as control:
        assert b"Architecture: amd64" in content(control, "./control")
    with tarfile.open(fileobj=io.BytesIO(parts["data.tar.gz"])) as data:
        assert data.getmember("./opt/com.example.game/game").mode == 0o755
        assert data.getmember("./opt/com.example.game/library.so").mode == 0o644
        desktop = content(data, "./usr/share/applications/com.example.game.desktop")
        assert b"Exec=/opt/com.example.game/game %u" in desktop
        appstream = content(data, "./usr/share/metainfo/com.example.game.metainfo.xml")
        page = ElementTree.fromstring(appstream)  # noqa: S314 -- our own file
        assert (page.findtext("id"), page.findtext("name")) == ("com.example.game", "Awa & Fils")
        assert "./usr/share/icons/hicolor/256x256/apps/com.example.game.png" in data.getnames()


def content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def members(archive: bytes) -> dict[str, bytes]:
    """The files of an `ar` archive."""
    assert archive.startswith(b"!<arch>\n")
    found, at = {}, 8
    while at < len(archive):
        size = int(archive[at + 48 : at + 58])
        found[archive[at : at + 16].decode().strip()] = archive[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    return found


def test_link_back_into_the_app_shows_the_window_that_is_open(tmp_path: Path) -> None:
    first, second = Instance(tmp_path), Instance(tmp_path)
    assert first.claim()
    assert not second.claim()
    assert not first.is_asked()

    second.ask_to_show()

    assert first.is_asked()
    assert not first.is_asked()
    first.release()
    assert second.claim()
    second.release()
