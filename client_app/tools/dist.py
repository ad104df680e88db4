"""Build the client for this desktop: `python tools/dist.py [path/to/brand.toml]`, called by `make client-dist`.

Leaves in dist/: <program>, a folder that runs without Python; the Debian package of it; and for a brand
source/<program>, in which `buildozer android debug` makes the Android package. Ends with 1 if the built program does
not draw its first screen.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).resolve().parents[1]
ROOT, DIST = CLIENT.parent, CLIENT.parent / "dist"
sys.path.insert(0, str(CLIENT / "tools"))
sys.path.insert(0, str(CLIENT / "src"))

import brand as branding  # noqa: E402 -- the lines above make them importable
import deb  # noqa: E402
from feexpay_client.core.brand import Brand, BrandError, load_brand  # noqa: E402

#: Kivy reports at each import what it found, and PyInstaller imports it several times.
_QUIET = {
    "PYI_LOG_LEVEL": "ERROR",
    "KIVY_LOG_MODE": "PYTHON",
    "KCFG_KIVY_LOG_LEVEL": "error",
    "KIVY_NO_CONFIG": "1",
    "KIVY_NO_FILELOG": "1",
}


def build(source: Path, brand: Brand) -> int:
    """Pack the source folder and try the result. Returns the exit code."""
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR"]
    folders = ["--distpath", str(DIST), "--workpath", str(ROOT / "build")]
    built = DIST / brand.program
    smoke = [sys.executable, str(ROOT / "tools/client.py"), "smoke", str(built / brand.program)]
    for step in ([*command, *folders, str(source / "feexpay_client.spec")], smoke):
        code = subprocess.call(step, env=os.environ | _QUIET)  # noqa: S603 -- our own commands
        if code:
            return code
    package = deb.write(built, source, brand, platform.machine())
    sys.stdout.write(f"{package}: {package.stat().st_size / 1e6:.0f} MB\n")
    return 0


def main(arguments: list[str]) -> int:
    if not arguments:
        return build(CLIENT, Brand())
    file = Path(arguments[0])
    if not file.is_file():
        sys.stderr.write(f"{file}: no such file\n")
        return 1
    try:
        brand = load_brand(file)
    except BrandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    source = DIST / "source" / brand.program
    branding.write(file, source)
    return build(source, brand)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
