"""The app under test: its shop is pretended, its clock stands still, its folder is thrown away."""

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

from tests.ui.clock import StillClock
from tests.ui.shop import NOW, Shop

SERVER = "https://shop.example"


class Memory:
    """A vault that lasts as long as the test, so that the app says nothing about a missing keyring."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}

    def read(self, server: str) -> str | None:
        return self.secrets.get(server)

    def write(self, server: str, secret: str) -> None:
        self.secrets[server] = secret

    def remove(self, server: str) -> None:
        self.secrets.pop(server, None)


def make_app(folder: Path, shop: Shop, *, opened: list[str] | None = None, **preferences: Any) -> ClientApp:
    """Not signed in yet; `signed_in` makes one that is. `opened` collects the pages it would open."""
    pages = opened if opened is not None else []
    vault, clock = Memory(), StillClock()
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
        session, folder / "documents", now=lambda: NOW, zone=UTC, system_dark=lambda: False, copy=copied.append
    )
    app.copied = copied
    app.clock = clock
    return app


async def admit(app: ClientApp, username: str = "awa") -> None:
    """A session from last time is in the store: the app starts signed in."""
    await app.session._tokens.save(SERVER, Credentials(username, "t" * 40, None))
