"""Create the app under test with a fake shop, a manual clock and a temporary folder."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import httpx
from feexpay_client.core.models import Credentials
from feexpay_client.core.preferences import Preferences
from feexpay_client.core.session import Session
from feexpay_client.core.tokens import TokenStore
from feexpay_client.ui.app import ClientApp

from tests.ui.fake_shop import NOW, FakeShop
from tests.ui.manual_clock import ManualClock

SERVER, SHOP = "https://shop.example", "Jeux d'Awa"


class MemoryVault:
    """A vault in memory, so that the app shows no notice about a missing keyring."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}

    def read(self, server: str) -> str | None:
        return self.secrets.get(server)

    def write(self, server: str, secret: str) -> None:
        self.secrets[server] = secret

    def remove(self, server: str) -> None:
        self.secrets.pop(server, None)


def make_app(folder: Path, shop: FakeShop, *, opened: list[str] | None = None, **preferences: Any) -> ClientApp:
    """The app, not signed in: call `store_session` to change that. `opened` collects the pages it opens."""
    pages = opened if opened is not None else []
    vault, clock = MemoryVault(), ManualClock()
    session = Session(
        folder,
        TokenStore(lambda: vault),
        defaults=Preferences(**{"server": SERVER, "reduced_motion": True, "theme": "light"} | preferences),
        open_page=pages.append,
        transport=httpx.MockTransport(shop),
        clock=clock,
    )
    copied: list[str] = []
    app = ClientApp(
        session,
        folder / "documents",
        now=lambda: NOW,
        zone=UTC,
        system_dark=lambda: False,
        copy=copied.append,
        shop_name=SHOP,
    )
    app.copied = copied
    app.clock = clock
    return app


async def store_session(app: ClientApp, username: str = "awa") -> None:
    """Store a session, so that the app starts signed in."""
    await app.session._tokens.save(SERVER, Credentials(username, "t" * 40, None))
