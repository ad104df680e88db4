"""The signed-in account: its API client, token, flow, catalogue and history."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feexpay_client.core import errors
from feexpay_client.core.api import PAYMENTS_PATH, FeexPayClient
from feexpay_client.core.catalogue import Catalogue
from feexpay_client.core.connection import server_address
from feexpay_client.core.flow import Clock, Flow
from feexpay_client.core.history import History
from feexpay_client.core.i18n import Texts
from feexpay_client.core.journal import Journal
from feexpay_client.core.models import Credentials
from feexpay_client.core.preferences import LANGUAGES, PreferenceFile, Preferences
from feexpay_client.core.shop import HttpShop, ShopApi, ShopPaths
from feexpay_client.core.tokens import TokenStore


class Session:
    """The core's entry point. Call `start()` first and `close()` last, on the app's asyncio loop.

    folder: the app's private folder. tokens: the store of the tokens. open_page: opens an address in the browser, and
    returns False if nothing opened it. fixed_server: the only server this app talks to. return_path: the page of that
    server to which an operator's page leads back; empty: none is sent. languages: those the player may choose. texts:
    the host's own, see `Texts`.
    payments_path, shop_paths: where the server answers. transport: an httpx transport, for tests. on_change: called
    after a sign-in, a sign-out or the end of the session.
    """

    def __init__(
        self,
        folder: Path,
        tokens: TokenStore,
        *,
        defaults: Preferences | None = None,
        open_page: Callable[[str], object] = lambda url: None,
        on_change: Callable[[], None] = lambda: None,
        payments_path: str = PAYMENTS_PATH,
        shop_paths: ShopPaths | None = None,
        fixed_server: str = "",
        return_path: str = "",
        languages: tuple[str, ...] = LANGUAGES,
        texts: Mapping[str, Mapping[str, str]] | None = None,
        transport: Any = None,
        clock: Clock | None = None,
        random_source: random.Random | None = None,
    ) -> None:
        self._folder = folder
        self._tokens = tokens
        self._open_page = open_page
        self.on_change = on_change
        self._payments_path, self._shop_paths = payments_path, shop_paths
        self._transport = transport
        self._clock = clock
        self._random_source = random_source
        self.fixed_server = fixed_server
        self._return_path = return_path
        self._account = ""
        self._credentials: Credentials | None = None
        self.languages = languages
        self.preferences = PreferenceFile(folder / "preferences.json", defaults, languages)
        self.texts = Texts(self.preferences.value.language, texts)
        self.api: FeexPayClient | None = None
        self.shop: ShopApi | None = None
        self.flow: Flow | None = None
        self.catalogue: Catalogue | None = None
        self.history: History | None = None

    # --- properties ---

    @property
    def signed_in(self) -> bool:
        """There is a token, and the server has not rejected it."""
        return self._credentials is not None

    @property
    def username(self) -> str:
        return self._credentials.username if self._credentials is not None else self.preferences.value.username

    @property
    def server(self) -> str:
        return self.fixed_server or self.preferences.value.server

    @property
    def return_url(self) -> str:
        """Where an operator's page leads back to; empty if the server has no such page."""
        return f"{self.server}{self._return_path}" if self._return_path and self.server else ""

    @property
    def is_stored(self) -> bool:
        """The session survives a restart. If not, the screen says that the payer must sign in again."""
        return self._tokens.persistent

    # --- actions ---

    async def start(self) -> bool:
        """Resume the stored session and its open payment. Returns False if there is none."""
        if not self.server:
            return False
        try:
            self._connect(server_address(self.server))
        except ValueError:  # the file was edited or written by another version
            return False
        credentials = await self._tokens.load(self.server)
        if credentials is None or _has_expired(credentials):
            return False
        await self._use_credentials(credentials)
        return True

    async def sign_in(self, server: str, username: str, password: str) -> None:
        """Raises ValueError (`empty`, `invalid`, `insecure`) for the address, errors.ApiError for the rest.

        Unauthorized: wrong username or password. An open payment continues after signing in.
        """
        address = server_address(server)
        if self.api is None or self.api.base_url != address:
            await self._disconnect()
            self._connect(address)
        assert self.shop is not None  # noqa: S101 -- set by _connect
        credentials = await self.shop.sign_in(username.strip(), password)
        await self._tokens.save(address, credentials)
        if credentials.username != self.preferences.value.username:  # another payer: not the last one's number
            self.preferences.change(phone="", provider="")
        self.preferences.change(server=address, username=credentials.username)
        await self._use_credentials(credentials)

    async def sign_out(self) -> None:
        """Delete the token here and, if reachable, on the server. An open payment stays in the journal."""
        if self.shop is not None and self._credentials is not None:
            with contextlib.suppress(errors.ApiError):
                await self.shop.sign_out()
        await self._tokens.clear(self.server)
        self.preferences.change(phone="")
        await self._leave()
        self.on_change()

    def set_language(self, language: str) -> None:
        """Change the language of our texts and of the server's."""
        self.preferences.change(language=language)
        self.texts.switch(language)
        if self.api is not None:
            self.catalogue = Catalogue(self.api, self._folder / "cache", self.api.base_url, language)

    async def close(self) -> None:
        """Stop polling and close the connections. An open payment stays in the journal. Safe to repeat."""
        await self._disconnect()

    # --- connection and flow ---

    def _connect(self, address: str) -> None:
        self.api = FeexPayClient(
            address,
            self._token,
            payments_path=self._payments_path,
            language=lambda: self.texts.language,
            transport=self._transport,
        )
        self.shop = HttpShop(self.api.connection, self._shop_paths)
        self.catalogue = Catalogue(self.api, self._folder / "cache", address, self.texts.language)

    async def _use_credentials(self, credentials: Credentials) -> None:
        """Open the account's flow; for the same account, continue the current one."""
        same = self.flow is not None and self._account == credentials.username
        self._credentials = credentials
        if same and self.flow is not None:
            self.flow.signed_in()
        else:
            await self._open_flow(credentials.username)
        self.on_change()

    async def _open_flow(self, username: str) -> None:
        assert self.api is not None  # noqa: S101 -- a sign-in sets it
        if self.flow is not None:
            await self.flow.close()
        self._account = username
        self.history = History(self.api)
        self.flow = Flow(
            self.api,
            Journal(self._folder / "journal", self.api.base_url, username),
            open_page=self._open_page,
            ask_sign_in=self._session_ended,
            clock=self._clock,
            random_source=self._random_source,
        )
        await self.flow.open()

    def _session_ended(self) -> None:
        """Drop the token. The flow waits for the next sign-in."""
        self._credentials = None
        self.on_change()

    async def _leave(self) -> None:
        self._credentials = None
        flow, self.flow, self.history = self.flow, None, None
        if flow is not None:
            await flow.close()

    async def _disconnect(self) -> None:
        await self._leave()
        api, self.api, self.shop, self.catalogue = self.api, None, None, None
        if api is not None:
            await api.close()

    def _token(self) -> str:
        return self._credentials.token if self._credentials is not None else ""


def _has_expired(credentials: Credentials) -> bool:
    return credentials.expires_at is not None and credentials.expires_at <= datetime.now(UTC)
