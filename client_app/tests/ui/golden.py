"""The approved pictures of every screen.

Each picture is stored as a digest, which must match on the same renderer, and as a small picture with few colours, for
reviews and for other renderers, where some pixels may differ.
`UPDATE_GOLDEN=1 pytest tests/ui/test_every_screen.py` records them again: review the changes before you commit.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from feexpay_client.ui.screenshot import renderer
from PIL import Image, ImageChops

FOLDER = Path(__file__).parent / "golden"
DIGESTS = FOLDER / "digests.json"
UPDATING = os.environ.get("UPDATE_GOLDEN", "") not in ("", "0")
#: On another renderer, this share of the small picture's pixels may differ by more than this step (of 255).
TOLERATED_SHARE, TOLERATED_STEP = 0.02, 48
_COLORS = 28


def small(picture: Any) -> Any:
    """Half the size and few colours: some kilobytes, still readable."""
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    return half.quantize(_COLORS, method=Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE)


def compare(picture: Any, name: str, made: Path) -> str:
    """Return an empty text if the picture is as recorded, else the difference. `made` then holds the picture."""
    digest = hashlib.sha256(picture.tobytes()).hexdigest()[:16]
    kept = json.loads(DIGESTS.read_text()) if DIGESTS.exists() else {"renderer": renderer(), "digests": {}}
    if UPDATING:
        return _record(picture, name, digest, kept)
    if name not in kept["digests"]:
        return f"{name}: no picture was recorded (UPDATE_GOLDEN=1 records one)"
    if kept["digests"][name] == digest:
        return ""
    made.mkdir(parents=True, exist_ok=True)
    picture.save(made / f"{name}.png")
    if kept["renderer"] == renderer():
        return f"{name}: differs from its picture; actual in {made / name}.png"
    share = _differing(picture, name)
    limit = f"tolerated on another renderer ({renderer()}): {TOLERATED_SHARE:.0%} by more than {TOLERATED_STEP}/255"
    print(f"{name}: {share:.2%} differ, {limit}")
    return "" if share <= TOLERATED_SHARE else f"{name}: {share:.1%} of the pixels differ; {limit}"


def _differing(picture: Any, name: str) -> float:
    """The share of the small pictures' pixels that differ by more than tolerated."""
    kept = Image.open(FOLDER / f"{name}.png").convert("RGB")
    actual = small(picture).convert("RGB")
    if kept.size != actual.size:
        return 1.0
    steps = ImageChops.difference(kept, actual).convert("L").histogram()
    return sum(steps[TOLERATED_STEP + 1 :]) / (kept.width * kept.height)


def _record(picture: Any, name: str, digest: str, kept: dict[str, Any]) -> str:
    FOLDER.mkdir(exist_ok=True)
    if kept["renderer"] != renderer():
        kept = {"renderer": renderer(), "digests": {}}
    if kept["digests"].get(name) != digest or not (FOLDER / f"{name}.png").exists():
        small(picture).save(FOLDER / f"{name}.png", optimize=True)
        kept["digests"][name] = digest
        DIGESTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    return ""
