"""Make the app of one brand: `python tools/brand.py path/to/brand.toml [FOLDER]`.

Writes a complete source folder, by default dist/source/<program>: the package with the brand's file, logo and icon in
it, a buildozer.spec and the packaging files with its names. `make client-dist BRAND=…` packs that folder for the
desktop; `buildozer android debug` in it makes the Android package.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

CLIENT = Path(__file__).resolve().parents[1]
DIST = CLIENT.parent / "dist"
sys.path.insert(0, str(CLIENT / "src"))

from feexpay_client.core.brand import BRAND_FILE, OUR_ID, Brand, BrandError, load_brand  # noqa: E402 -- see above
from PIL import Image  # noqa: E402

#: Sides of the icon: Android scales it down, and Debian's icon folder has this size.
ICON_SIDE = 512
_COPIED = ("src", "packaging", "feexpay_client.spec", "buildozer.spec", "LICENCES.md")
_OUR_HOST = "shop.example"


def write(file: Path, folder: Path) -> Brand:
    """Write the brand's source folder; one that is there is replaced. Raises BrandError."""
    brand = load_brand(file)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in _COPIED:
        _copy(CLIENT / name, folder / name)
    package = folder / "src" / "feexpay_client"
    shutil.copyfile(file, package / BRAND_FILE.name)
    shutil.copyfile(brand.theme.logo, package / Path(brand.theme.logo).name)
    _write_icon(Path(brand.theme.logo), package / "ui" / "icon.png")
    for path, change in ((folder / "buildozer.spec", buildozer), (folder / "packaging/intent_filters.xml", filters)):
        path.write_text(change(path.read_text(encoding="utf-8"), brand), encoding="utf-8")
    return brand


def buildozer(text: str, brand: Brand) -> str:
    """Our buildozer.spec with the brand's names, and without a receiver for links that its server does not have."""
    domain, _, name = brand.app_id.rpartition(".")
    values = {
        "title": brand.title,
        "package.name": name,
        "package.domain": domain,
        "android.presplash_color": brand.theme.light["hero"],
    }
    for key, value in values.items():
        text, found = re.subn(rf"(?m)^{re.escape(key)} = .*$", lambda _line, to=f"{key} = {value}": to, text)
        if found != 1:
            raise LookupError(f"buildozer.spec: {found} lines of {key}")
    return text


def filters(text: str, brand: Brand) -> str:
    """Our intent filters with the brand's scheme, and its return page if its server has one."""
    host = urlsplit(brand.server).hostname or ""
    text = text.replace(OUR_ID, brand.app_id)
    if not brand.return_path:
        return text[: text.index("<!-- The same page's https address")]
    return (
        text.replace(f'"{_OUR_HOST}"', f'"{host}"').replace(_OUR_HOST, host).replace("/return/app/", brand.return_path)
    )


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", BRAND_FILE.name))
    else:
        shutil.copyfile(source, target)


def _write_icon(logo: Path, icon: Path) -> None:
    with Image.open(logo) as picture:
        scaled = picture.convert("RGBA").resize((ICON_SIDE, ICON_SIDE), Image.Resampling.LANCZOS)
    scaled.save(icon, optimize=True)


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2):
        sys.stderr.write("usage: python tools/brand.py path/to/brand.toml [FOLDER]\n")
        return 2
    file = Path(arguments[0])
    if not file.is_file():
        sys.stderr.write(f"{file}: no such file\n")
        return 1
    try:
        brand = load_brand(file)
        folder = Path(arguments[1]) if len(arguments) == 2 else DIST / "source" / brand.program
        write(file, folder)
    except BrandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
