"""Start the client: `python -m feexpay_client`.

FEEXPAY_SERVER: server address shown at sign-in. FEEXPAY_CLIENT_HOME: data folder. SMOKE=shot.png: draw the first
screen, save a picture of it and exit; `make client-dist` tests a build with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_data_path, user_documents_path

from feexpay_client.core.preferences import Preferences
from feexpay_client.core.session import Session
from feexpay_client.core.tokens import TokenStore, system_vault

if TYPE_CHECKING:
    from feexpay_client.ui.app import ClientApp

DEMO_SERVER = "http://127.0.0.1:8000"


def main() -> int:
    """Run until the window is closed, or with SMOKE until the picture is saved. Returns 0."""
    smoke = os.environ.get("SMOKE", "")
    _configure(smoke=bool(smoke))
    return asyncio.run(_run(Path(smoke) if smoke else None))


def _configure(*, smoke: bool) -> None:
    """Set Kivy's options before its first import: no files in the home folder, no multitouch emulation."""
    os.environ.setdefault("KIVY_NO_ARGS", "1")
    os.environ.setdefault("KIVY_NO_FILELOG", "1")
    os.environ.setdefault("KIVY_LOG_MODE", "PYTHON")
    os.environ.setdefault("KIVY_HOME", str(_home() / "kivy"))
    # Without a graphics card Mesa draws. Its own threads would cost 100 MB and gain nothing here.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    (_home() / "kivy").mkdir(parents=True, exist_ok=True)
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


def _home() -> Path:
    given = os.environ.get("FEEXPAY_CLIENT_HOME", "")
    return Path(given) if given else user_data_path("feexpay-client", appauthor=False)


async def _run(smoke: Path | None) -> int:
    from feexpay_client.ui.app import ClientApp

    home = _home()
    session = Session(
        home,
        TokenStore(lambda: system_vault(home)),
        defaults=Preferences(server=DEMO_SERVER),
        open_page=webbrowser.open,
    )
    wanted_server = os.environ.get("FEEXPAY_SERVER", "")
    if wanted_server and wanted_server != session.server:  # the environment overrides the stored server
        session.preferences.change(server=wanted_server)
    app = ClientApp(session, user_documents_path())
    app.icon = str(Path(__file__).parent / "ui" / "icon.png")
    if smoke is not None:
        _save_picture_and_exit(app, smoke)
    try:
        await app.async_run(async_lib="asyncio")
    finally:
        await app.close()
    return 0


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
