"""Start the client: `python -m feexpay_client`.

FEEXPAY_SERVER: server address shown at sign-in. FEEXPAY_BRAND: a brand file to try without a build; a build ignores it.
FEEXPAY_CLIENT_HOME: data folder. SMOKE=shot.png: draw the first screen, save a picture of it and exit;
`make client-dist` tests a build with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_data_path, user_documents_path

from feexpay_client.core.brand import BRAND_FILE, OUR_ID, Brand, BrandError, load_brand
from feexpay_client.core.instance import Instance
from feexpay_client.core.preferences import Preferences
from feexpay_client.core.session import Session
from feexpay_client.core.system_locale import system_language
from feexpay_client.core.tokens import TokenStore, system_vault

if TYPE_CHECKING:
    from feexpay_client.ui.app import ClientApp

DEMO_SERVER = "http://127.0.0.1:8000"


def main() -> int:
    """Run until the window is closed, or with SMOKE until the picture is saved. Returns 0; 2 for a wrong brand file.

    The return page of the server starts `feexpay_client <scheme>://return`: that shows the window that is open already.
    """
    try:
        brand = _brand()
    except BrandError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    smoke, home = os.environ.get("SMOKE", ""), _home(brand)
    instance = Instance(home)
    first = instance.claim()
    if not first and any(argument.startswith(f"{brand.scheme}:") for argument in sys.argv[1:]):
        instance.ask_to_show()
        return 0
    _configure(home, smoke=bool(smoke))
    return asyncio.run(_run(brand, home, instance if first else None, Path(smoke) if smoke else None))


def _brand() -> Brand:
    tried = os.environ.get("FEEXPAY_BRAND", "")
    return load_brand(Path(tried) if tried and not BRAND_FILE.exists() else BRAND_FILE)


def _configure(home: Path, *, smoke: bool) -> None:
    """Set Kivy's options before its first import: no files of its own, no multitouch emulation."""
    os.environ.setdefault("KIVY_NO_ARGS", "1")
    os.environ.setdefault("KIVY_NO_CONFIG", "1")
    os.environ.setdefault("KIVY_NO_FILELOG", "1")
    os.environ.setdefault("KIVY_LOG_MODE", "PYTHON")
    os.environ.setdefault("KIVY_HOME", str(home / "kivy"))
    # Without a graphics card Mesa draws. Its own threads would cost 100 MB and gain nothing here.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    (home / "kivy").mkdir(parents=True, exist_ok=True)
    from kivy.config import Config

    options = {
        "kivy": {"exit_on_escape": "0", "desktop": "1"},
        "graphics": {
            "width": "440",
            "height": "800",
            "minimum_width": "360",
            "minimum_height": "600",
            "multisamples": "0",
        },
        "input": {"mouse": "mouse,disable_multitouch"},
    }
    for section, values in options.items():
        for name, value in values.items():
            Config.set(section, name, value)
    if smoke:
        Config.set("graphics", "width", "400")
        Config.set("graphics", "height", "720")
    logging.getLogger("kivy").setLevel(logging.WARNING)


def _home(brand: Brand) -> Path:
    """The data folder of a brand: two brands on one computer share nothing."""
    given = os.environ.get("FEEXPAY_CLIENT_HOME", "")
    return (
        Path(given)
        if given
        else user_data_path("feexpay-client" if brand.app_id == OUR_ID else brand.app_id, appauthor=False)
    )


def app_of(brand: Brand, home: Path, tokens: TokenStore, *, transport: Any = None) -> ClientApp:
    """The app of that brand, with its data in `home`. transport: an httpx transport, for tests."""
    from feexpay_client.ui.app import ClientApp

    session = Session(
        home,
        tokens,
        defaults=Preferences(server=DEMO_SERVER, language=system_language(brand.languages, brand.languages[0])),
        open_page=webbrowser.open,
        payments_path=brand.payments_path,
        shop_paths=brand.shop_paths,
        fixed_server=brand.server,
        return_path=brand.return_path,
        languages=brand.languages,
        texts=brand.texts,
        transport=transport,
    )
    wanted_server = os.environ.get("FEEXPAY_SERVER", "") if not brand.server else ""
    if wanted_server and wanted_server != session.server:  # the environment overrides the stored server
        session.preferences.change(server=wanted_server)
    app = ClientApp(
        session,
        user_documents_path(),
        shop_name=brand.shop_name,
        theme=brand.theme,
        sign_up_url=brand.sign_up_url,
        forgot_url=brand.forgot_url,
    )
    app.title = brand.title
    app.icon = brand.theme.logo or str(Path(__file__).parent / "ui" / "icon.png")
    return app


async def _run(brand: Brand, home: Path, instance: Instance | None, smoke: Path | None) -> int:
    app = app_of(brand, home, TokenStore(lambda: system_vault(home)))
    if smoke is not None:
        _save_picture_and_exit(app, smoke)
    if instance is not None:
        _show_window_when_asked(app, instance)
    try:
        await app.async_run(async_lib="asyncio")
    finally:
        await app.close()
    return 0


def _show_window_when_asked(app: ClientApp, instance: Instance) -> None:
    """Come to the front and poll when a link back into the app was opened."""
    from kivy.clock import Clock
    from kivy.core.window import Window

    def look(_seconds: float) -> None:
        if instance.is_asked():
            Window.raise_window()
            app.on_resume()

    Clock.schedule_interval(look, 0.5)


def _save_picture_and_exit(app: ClientApp, path: Path) -> None:
    """Wait some frames for the layout, then draw and read in one step: the last frame's buffer cannot be read."""
    from kivy.clock import Clock
    from kivy.core.window import Window

    from feexpay_client.ui.screenshot import window_picture

    ticks = 0

    def take(_seconds: float) -> None:
        nonlocal ticks
        ticks = 0 if app.showing == "start" else ticks + 1
        if ticks < 3:
            return
        Window.dispatch("on_draw")
        window_picture().save(path)
        app.stop()

    Clock.schedule_interval(take, 0.2)


if __name__ == "__main__":
    sys.exit(main())
