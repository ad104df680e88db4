"""Starts the client, or checks that it can start: `python tools/client.py graphics | window | run | smoke PROGRAM`.

`graphics` prints the missing Debian packages and fails if there are any. `window` also fails if no display answers.
`run` starts the client. `smoke` starts a built client without a display and checks its screenshot. Run it with the
Python of the client's environment.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: The demo writes this file and removes it when it ends.
DEMO_ADDRESS = ROOT / ".demo" / "kept" / "address"

_SMOKE_SECONDS, _SMALLEST_PICTURE = 120, 10_000

#: The libraries that Kivy loads on Linux, with their Debian packages.
LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libmtdev.so.1": "libmtdev1",
}
_DRIVERS = ("dri/swrast_dri.so", "dri/kms_swrast_dri.so", "libgallium-*.so")


def loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_driver() -> bool:
    """Whether a software renderer is installed, for machines without a graphics card."""
    folders = [*Path("/usr/lib").glob("*-linux-gnu*"), Path("/usr/lib"), Path("/usr/lib64")]
    return any(True for folder in folders for pattern in _DRIVERS for _ in folder.glob(pattern))


def missing_packages(
    loads: Callable[[str], bool] = loads, has_driver: Callable[[], bool] = has_driver, platform: str = sys.platform
) -> list[str]:
    """The missing Debian packages that a window needs. Only Linux can lack any."""
    if platform != "linux":
        return []
    missing = [package for library, package in LIBRARIES.items() if not loads(library)]
    return missing if has_driver() else [*missing, "libgl1-mesa-dri"]


def graphics() -> int:
    """Exit code 0 if a window can open; otherwise print the packages to install and return 1."""
    missing = missing_packages()
    if missing:
        sys.stderr.write(
            "The client's window needs system libraries that are not installed. On Debian and Ubuntu, run:\n"
            f"    apt-get install {' '.join(missing)}\n"
            "(make test SKIP_GUI=1 skips the tests that need a window)\n"
        )
    return 1 if missing else 0


def has_display(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Whether a window would be seen. Without an answer SDL draws it off the screen, and no one learns of it."""
    if platform != "linux" or environment.get("SDL_VIDEODRIVER"):
        return True
    return _answers_as_wayland(environment) or _answers_as_x(environment)


def _answers_as_wayland(environment: Mapping[str, str]) -> bool:
    name = environment.get("WAYLAND_DISPLAY", "")
    path = Path(environment.get("XDG_RUNTIME_DIR", "")) / name
    if not name or not path.is_absolute():
        return False
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True


def _answers_as_x(environment: Mapping[str, str]) -> bool:
    """Whether the X server of DISPLAY lets us in. Xlib knows the forms of DISPLAY and the authority file."""
    try:
        xlib = ctypes.CDLL("libX11.so.6")
    except OSError:
        return False
    xlib.XOpenDisplay.restype, xlib.XCloseDisplay.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    display = xlib.XOpenDisplay(environment.get("DISPLAY", "").encode())
    if display:
        xlib.XCloseDisplay(display)
    return bool(display)


def window() -> int:
    """Exit code 0 if a window can open and be seen; otherwise say why not and return 1."""
    if graphics():
        return 1
    if has_display():
        return 0
    names = [f"{name}={os.environ[name]}" for name in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(name)]
    asked = " ".join(names) or "DISPLAY is not set"
    sys.stderr.write(f"The client's window could not open: no display answers ({asked}).\n")
    return 1


def server() -> str:
    """The value of FEEXPAY_SERVER, otherwise the address of the running demo, otherwise ""."""
    given = os.environ.get("FEEXPAY_SERVER", "")
    if given or not DEMO_ADDRESS.exists():
        return given
    return DEMO_ADDRESS.read_text(encoding="utf-8").strip()


def run() -> int:
    """Run the client until its window is closed; exit code 1 if it cannot start."""
    address = server()
    if not address and "FEEXPAY_BRAND" not in os.environ:  # a brand has its own server
        sys.stderr.write("No demo is running. Start `make demo` first, or set FEEXPAY_SERVER=https://…\n")
        return 1
    if window():
        return 1
    environment = os.environ | {"FEEXPAY_SERVER": address}
    return subprocess.call([sys.executable, "-m", "feexpay_client"], env=environment)


def smoke(built: Path) -> int:
    """Exit code 0 if the built client draws its first screen without a display."""
    if graphics():
        return 1
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "first.png"
        environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        environment |= {"SDL_VIDEODRIVER": "offscreen", "FEEXPAY_CLIENT_HOME": folder, "SMOKE": str(picture)}
        code = subprocess.call([built], env=environment, timeout=_SMOKE_SECONDS)
        drawn = picture.stat().st_size if picture.exists() else 0
    size = sum(path.stat().st_size for path in built.parent.rglob("*") if path.is_file())
    sys.stdout.write(f"{built.parent}: {size / 1e6:.0f} MB, exit code {code}, picture of {drawn} bytes\n")
    # The PNG of an empty window is ten times smaller.
    return 0 if code == 0 and drawn > _SMALLEST_PICTURE else 1


def main(arguments: list[str]) -> int:
    match arguments:
        case ["graphics"]:
            return graphics()
        case ["window"]:
            return window()
        case ["run"]:
            return run()
        case ["smoke", program]:
            return smoke(Path(program).resolve())
    sys.stderr.write("usage: tools/client.py graphics | window | run | smoke PROGRAM\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
