"""`python -m tests.shots` draws the pictures of docs/client.md anew, offscreen, from the same scenes as the tests."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from tests.ui.offscreen import prepare

PHONE, DESKTOP = (360, 640), (1280, 800)
prepare(DESKTOP)

from PIL import Image  # noqa: E402 -- the window must be prepared first

from tests.ui.app import admit, make_app  # noqa: E402
from tests.ui.driver import Driver  # noqa: E402
from tests.ui.scenes import SCENES  # noqa: E402
from tests.ui.shop import Shop  # noqa: E402

FOLDER = Path(__file__).resolve().parents[2] / "docs/images"
_GAP, _BACKGROUND, _COLORS = 16, "#8A9490", 64

#: picture → size, theme, language, scenes from left to right.
PICTURES = {
    "client-pay": (PHONE, "light", "fr", ("signin", "home", "providers", "form")),
    "client-under-way": (PHONE, "dark", "en", ("waiting-help", "waiting-offline", "code", "page")),
    "client-ends": (PHONE, "light", "en", ("paid", "failed", "history", "settings")),
    "client-desktop": (DESKTOP, "dark", "fr", ("form",)),
}


async def draw(name: str, size: tuple[int, int], theme: str, language: str) -> Any:
    """One scene as picture."""
    scene, shop = SCENES[name], Shop()
    scene.prepare(shop)
    with tempfile.TemporaryDirectory() as folder:
        app = make_app(Path(folder), shop, theme=theme, language=language)
        if scene.signed_in:
            await admit(app)
        driver = Driver(app, size)
        try:
            await driver.until(lambda: app.showing != "start")
            await scene.act(driver, shop)
            await driver.settle()
            return driver.picture()
        finally:
            driver.close()
            await app.close()


async def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (size, theme, language, scenes) in PICTURES.items():
        drawn = [await draw(scene, size, theme, language) for scene in scenes]
        width = sum(one.width for one in drawn) + _GAP * (len(drawn) + 1)
        sheet = Image.new("RGB", (width, size[1] + 2 * _GAP), _BACKGROUND)
        for place, one in enumerate(drawn):
            sheet.paste(one, (_GAP + place * (size[0] + _GAP), _GAP))
        path = FOLDER / f"{name}.png"
        sheet.quantize(_COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path.name}: {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    asyncio.run(main())
