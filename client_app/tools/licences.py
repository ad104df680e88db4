"""Write LICENCES.md, the packages in a built client and their licences: `python tools/licences.py`.

Run it after `make client-dist`, which installs all of them.
"""

from __future__ import annotations

import importlib.metadata as metadata
import re
import sys
from pathlib import Path

PATH = Path(__file__).resolve().parents[1] / "LICENCES.md"
#: Libraries inside the wheels, which no metadata names.
INSIDE = (
    ("SDL2, SDL2_image, SDL2_mixer, SDL2_ttf", "in Kivy's wheel", "Zlib"),
    ("FreeType, HarfBuzz, libpng, libjpeg, libtiff, libwebp", "in Kivy's and Pillow's wheels", "FTL, MIT, libpng, IJG"),
    ("Roboto", "font, in Kivy's wheel", "Apache-2.0"),
    ("DejaVu Sans", "font, in Kivy's wheel", "Bitstream Vera"),
    ("OpenSSL", "with Python", "Apache-2.0"),
    ("Python", "the interpreter", "PSF-2.0"),
)
_EXCLUDED = {"docutils", "pygments", "setuptools"}
_HEAD = """# Licences of the packages in a built client

Made by `python tools/licences.py`; a test keeps the names complete. The client itself is under the MIT licence.

| What | | Licence |
|---|---|---|
"""


#: What `make client-dist` installs.
EXTRAS = ("keyring", "notify")


def closure(name: str, *extras: str) -> set[str]:
    """Canonical names of all distributions that `name` requires on this system."""
    found: set[str] = set()
    queue = [(name, extra) for extra in extras or ("",)]
    while queue:
        current, wanted = queue.pop()
        for line in metadata.requires(current) or []:
            dependency = _needed(line, wanted)
            if dependency is not None and dependency[0] not in found | _EXCLUDED:
                found.add(dependency[0])
                queue.append(dependency)
    return found


def table() -> str:
    rows = [(name, metadata.version(name), _licence(name)) for name in sorted(closure("feexpay-client", *EXTRAS))]
    return _HEAD + "".join(f"| {name} | {about} | {licence} |\n" for name, about, licence in [*rows, *INSIDE])


def _needed(line: str, extra: str) -> tuple[str, str] | None:
    from packaging.requirements import Requirement

    requirement = Requirement(line)
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
        return None
    name = re.sub(r"[-_.]+", "-", requirement.name).lower()
    return name, next(iter(requirement.extras), "")


def _licence(name: str) -> str:
    about = metadata.metadata(name)
    stated = about.get("License-Expression") or ""
    classifiers = [line.split(" :: ")[-1] for line in about.get_all("Classifier", []) if line.startswith("License ::")]
    return stated or ", ".join(classifiers) or (about.get("License") or "see its own files").splitlines()[0]


if __name__ == "__main__":
    PATH.write_text(table(), encoding="utf-8")
    sys.stdout.write(f"{PATH.name}: {len(closure('feexpay-client', *EXTRAS))} distributions\n")
