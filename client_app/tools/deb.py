"""Pack a built client as a Debian package: `make client-dist` calls `write` and leaves dist/*.deb.

Written without dpkg, so that it runs wherever the build ran. The desktop file and the AppStream page come from
`packaging/`; the names in them are those of the brand.
"""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
import time
from pathlib import Path
from xml.sax.saxutils import escape

CLIENT = Path(__file__).resolve().parents[1]
ICON = Path("src") / "feexpay_client" / "ui" / "icon.png"
sys.path.insert(0, str(CLIENT / "src"))

from feexpay_client import __version__  # noqa: E402 -- the line above makes it importable
from feexpay_client.core.brand import Brand  # noqa: E402
from PIL import Image  # noqa: E402

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CONTROL = """Package: {package}
Version: {version}
Architecture: {architecture}
Maintainer: {title} <noreply@{domain}>
Installed-Size: {kilobytes}
Depends: libgl1, libegl1, libgles2, libmtdev1
Recommends: gnome-keyring | kwalletmanager
Section: misc
Priority: optional
Description: {title}
 Pay with mobile money or a card, once, and always see where the payment
 stands.
"""


def filled(path: Path, brand: Brand) -> bytes:
    """A file of `packaging/` with the brand's names."""
    text = path.read_text(encoding="utf-8")
    values = {
        "id": brand.app_id,
        "title": escape(brand.title) if path.suffix == ".xml" else brand.title,
        "version": __version__,
        "program": brand.program,
        "path": f"/opt/{brand.app_id}/{brand.program}",
    }
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text.encode()


def files(built: Path, source: Path, brand: Brand) -> dict[str, tuple[bytes, int]]:
    """Path in the package → content and mode. source: client_app, or the folder that tools/brand.py wrote."""
    found = {
        f"opt/{brand.app_id}/{path.relative_to(built).as_posix()}": (
            path.read_bytes(),
            0o755 if path == built / brand.program else 0o644,
        )
        for path in sorted(built.rglob("*"))
        if path.is_file()
    }
    share = "usr/share"
    return found | {
        f"{share}/applications/{brand.app_id}.desktop": (filled(source / "packaging/app.desktop", brand), 0o644),
        f"{share}/metainfo/{brand.app_id}.metainfo.xml": (filled(source / "packaging/app.metainfo.xml", brand), 0o644),
        f"{share}/icons/hicolor/256x256/apps/{brand.app_id}.png": (_icon(source / ICON), 0o644),
        f"{share}/doc/{brand.app_id}/copyright": ((source / "LICENCES.md").read_bytes(), 0o644),
    }


def _icon(path: Path) -> bytes:
    """The icon in the size that its folder promises."""
    smaller = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGBA").resize((256, 256), Image.Resampling.LANCZOS).save(smaller, "PNG", optimize=True)
    return smaller.getvalue()


def write(built: Path, source: Path, brand: Brand, machine: str) -> Path:
    """Write the package beside the built folder and return its path."""
    content = files(built, source, brand)
    architecture = ARCHITECTURES.get(machine, machine)
    control = _CONTROL.format(
        package=brand.app_id,
        version=__version__,
        architecture=architecture,
        title=brand.title,
        domain=".".join(reversed(brand.app_id.split(".")[:-1])),
        kilobytes=sum(len(data) for data, _mode in content.values()) // 1024,
    )
    target = built.parent / f"{brand.app_id}_{__version__}_{architecture}.deb"
    with target.open("wb") as archive:
        archive.write(b"!<arch>\n")
        for name, data in (
            ("debian-binary", b"2.0\n"),
            ("control.tar.gz", _tar({"control": (control.encode(), 0o644)})),
            ("data.tar.gz", _tar(content)),
        ):
            head = f"{name:<16}{int(time.time()):<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n"
            archive.write(head.encode() + data + b"\n" * (len(data) % 2))
    return target


def _tar(content: dict[str, tuple[bytes, int]]) -> bytes:
    packed, now = io.BytesIO(), int(time.time())
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for folder in sorted({parent for name in content for parent in Path(name).parents if parent != Path()}):
            entry = tarfile.TarInfo(f"./{folder.as_posix()}")
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, now
            tar.addfile(entry)
        for name, (data, mode) in content.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size, entry.mode, entry.mtime = len(data), mode, now
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()
