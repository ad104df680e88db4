"""The app under another name: one TOML file, checked, and what is made of it."""

from __future__ import annotations

import configparser
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from feexpay_client.core.brand import Brand, BrandError, load_brand
from feexpay_client.core.png import png_size
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "brand" / "brand.toml"
sys.path.insert(0, str(ROOT / "tools"))

import brand as branding  # noqa: E402 -- the line above makes it importable


def test_without_a_file_the_app_is_the_projects_own(tmp_path: Path) -> None:
    assert load_brand(tmp_path / "brand.toml") == Brand()
    assert load_brand() == Brand(), "the sources hold no brand"


def test_example_names_everything_a_brand_has() -> None:
    brand = load_brand(EXAMPLE)

    assert (brand.title, brand.shop_name, brand.app_id) == ("Awa Games", "Les jeux d'Awa", "com.example.awagames")
    assert (brand.program, brand.scheme) == ("awagames", "com.example.awagames")
    assert (brand.server, brand.shop_paths.goods) == ("https://pay.awa.example", "/api/v1/shop/packs/")
    assert brand.languages == ("fr", "en")
    assert brand.theme.light["primary"] != Brand().theme.light["primary"]
    assert brand.theme.radius == 8
    assert Path(brand.theme.logo) == EXAMPLE.parent / "logo.png"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('sever = "https://x.example"', "sever: no such name; did you mean server?"),
        ('id = "Awa Games"', "id: your domain backwards"),
        ('id = "com.example.new"', "id: Android allows no new in it"),
        ('id = "me.feexpay.client.app"', "id: me.feexpay.client.app is not yours"),
        ('name = "Awa [Games]"', "name: 1 to 30 letters"),
        ("name = 3", 'name: a text in "quotes"'),
        ('server = "http://pay.awa.example"', "server: https://…, or http:// and this machine"),
        ("languages = []", "languages: a list with at least one"),
        ('languages = ["fr", "wo"]', "languages: there are no texts in wo; ours: fr and en, or add [texts.wo]"),
        ('logo = "gone.png"', "logo: there is no gone.png beside the file"),
        ('logo = "../logo.png"', "logo: the name of a PNG file beside this one"),
        ('logo = "brand.toml"', "logo: brand.toml is no PNG picture"),
        ('logo = "flat.png"', "logo: flat.png is 300 × 200 pixels; needed: a square of at least 256 × 256"),
        ("theme = 4", "theme: a table, [theme]"),
        ("theme.radius = 400", "theme.radius: a whole number from 0 to 32"),
        ('theme.primary = "violet"', "theme: primary: not a colour #RRGGBB"),
        ('theme.light.primary = "#FFEE00"', "theme: hard to read: light primary on background has a contrast of 1.1"),
        ('theme.dark.brand = "#FFEE00"', "theme: unknown: brand"),
        ('endpoints.goods = "https://x.example/goods"', "endpoints.goods: a path on the server"),
        ('pages.forgot = "forgot.html"', "pages.forgot: an address https://…"),
        ('texts.fr."form.pya" = "Payer"', "texts.fr: no such texts: form.pya"),
        ('texts.wo."form.pay" = "Fey"\nlanguages = ["wo"]', 'texts.wo: "language.name" is missing'),
        ("theme.light = ", "Invalid value"),
    ],
)
def test_wrong_value_is_named_with_what_would_be_right(tmp_path: Path, line: str, said: str) -> None:
    given = {"name": '"Awa"', "id": '"com.example.awa"', "server": '"https://pay.awa.example"', "logo": '"logo.png"'}
    shutil.copyfile(EXAMPLE.parent / "logo.png", tmp_path / "logo.png")
    Image.new("RGB", (300, 200)).save(tmp_path / "flat.png")
    path = tmp_path / "brand.toml"
    lines = [f"{name} = {value}" for name, value in given.items() if not line.startswith(f"{name} = ")]
    path.write_text("\n".join([*lines, line]), encoding="utf-8")

    with pytest.raises(BrandError) as caught:
        load_brand(path)

    problems = str(caught.value).splitlines()
    assert [problem for problem in problems if said in problem] == problems, "one line, about that name"
    assert all(problem.startswith("brand.toml: ") for problem in problems)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "brand.toml"
    path.write_text('name = ""\nlogo = "gone.png"\n')

    with pytest.raises(BrandError) as caught:
        load_brand(path)

    named = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert named == ["name", "id", "server", "logo"]


def test_own_language_and_a_server_without_pages_of_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "brand.toml"
    shutil.copyfile(EXAMPLE.parent / "logo.png", tmp_path / "logo.png")
    path.write_text(
        'name = "Awa"\nid = "com.example.awa"\nserver = "https://awa.example/shop/"\nlogo = "logo.png"\n'
        'languages = ["wo", "fr"]\n[endpoints]\npayments = "/pay/"\nreturn_page = ""\nsign_out = ""\n'
        '[texts.wo]\n"language.name" = "Wolof"\n"form.pay" = "Fey"\n',
        encoding="utf-8",
    )
    brand = load_brand(path)

    assert (brand.server, brand.payments_path, brand.return_path) == ("https://awa.example/shop", "/pay/", "")
    assert (brand.shop_paths.sign_out, brand.languages) == ("", ("wo", "fr"))
    assert brand.shop_name == "Awa", "without a shop its name is the app's"
    branding.write(path, tmp_path / "source")
    filters = (tmp_path / "source/packaging/intent_filters.xml").read_text()
    assert 'android:scheme="com.example.awa"' in filters
    assert "https" not in filters, "no page of the server opens the app"


def test_source_folder_of_a_brand_is_complete_and_names_only_the_brand(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    brand = branding.write(EXAMPLE, folder)
    parser = configparser.RawConfigParser()
    parser.read(folder / "buildozer.spec")
    spec = parser["app"]
    package = folder / spec["source.dir"] / "feexpay_client"

    assert spec["title"] == "Awa Games"
    assert f"{spec['package.domain']}.{spec['package.name']}" == brand.app_id
    assert spec["android.presplash_color"] == brand.theme.light["hero"]
    packed = load_brand(package / "brand.toml")
    assert (packed.server, Path(packed.theme.logo).parent) == (brand.server, package)
    assert png_size(package / "ui" / "icon.png") == (branding.ICON_SIDE, branding.ICON_SIDE)
    assert (package / "ui/icon.png").read_bytes() != (ROOT / "src/feexpay_client/ui/icon.png").read_bytes()
    filters = (folder / spec["android.manifest.intent_filters"]).read_text()
    tree = ElementTree.fromstring(f"<all xmlns:android='a'>{filters}</all>")  # noqa: S314 -- our own file
    hosts = [data.get("{a}host") for data in tree.iter("data")]
    assert hosts == [None, "pay.awa.example"]
    ours = {path.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("*") if "__pycache__" not in path.parts}
    theirs = {path.relative_to(folder / "src") for path in (folder / "src").rglob("*")}
    assert {path.name for path in theirs - ours} == {"brand.toml", "logo.png"}
    assert ours <= theirs
    written = "".join((folder / name).read_text() for name in ("buildozer.spec", "packaging/intent_filters.xml"))
    assert Brand().app_id not in written
    assert Brand().title not in {spec["title"], spec["package.name"]}


def test_command_prints_the_problems_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "brand.toml"
    path.write_text('name = "Awa"\n')

    assert branding.main([str(path), str(tmp_path / "source")]) == 1
    assert "brand.toml: id: missing" in capsys.readouterr().err
    assert not (tmp_path / "source").exists()
    assert branding.main([str(tmp_path / "gone.toml")]) == 1
    assert "no such file" in capsys.readouterr().err
