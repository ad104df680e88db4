"""What a shop offers besides payments: sign-in, goods and balance.

`ShopApi` is the protocol, written down in docs/how-to/embed-the-sheet.md; `python -m feexpay_client.contract` checks a
server against it. `HttpShop` speaks it over HTTP, by default at the paths of the sample shop. A game that opens
`PaymentSheet` needs none of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from feexpay_client.core import models
from feexpay_client.core.connection import Connection
from feexpay_client.core.json_reader import Fields


class ShopApi(Protocol):
    """The calls of a shop's own server. Each may raise errors.ApiError."""

    async def sign_in(self, username: str, password: str) -> models.Credentials: ...
    async def sign_out(self) -> None: ...
    async def goods(self) -> tuple[models.Pack, ...]: ...
    async def balance(self) -> models.Balance: ...


@dataclass(frozen=True, slots=True)
class ShopPaths:
    """Where a shop answers. An empty `sign_out` means that its tokens cannot be revoked."""

    sign_in: str = "/api/v1/auth/token/"
    sign_out: str = "/api/v1/auth/logout/"
    goods: str = "/api/v1/shop/packs/"
    balance: str = "/api/v1/shop/balance/"


class HttpShop:
    """A shop over HTTP."""

    def __init__(self, connection: Connection, paths: ShopPaths | None = None) -> None:
        self._connection = connection
        self._paths = paths or ShopPaths()

    async def sign_in(self, username: str, password: str) -> models.Credentials:
        body = {"username": username, "password": password}
        answer = await self._connection.call("POST", self._paths.sign_in, body=body, authenticated=False)
        fields = Fields(answer.value, "token")
        return models.Credentials(username, fields.text("token"), fields.maybe_instant("expires_at"))

    async def sign_out(self) -> None:
        if self._paths.sign_out:
            await self._connection.call("POST", self._paths.sign_out, expect_body=False)

    async def goods(self) -> tuple[models.Pack, ...]:
        return models.packs_from_json(
            (await self._connection.call("GET", self._paths.goods, authenticated=False)).value
        )

    async def balance(self) -> models.Balance:
        return models.Balance.from_json((await self._connection.call("GET", self._paths.balance)).value)
