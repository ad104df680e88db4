"""Check that a host's server offers what the client needs: `python -m feexpay_client.contract https://host TOKEN`.

It prints one line for each requirement and exits with 1 if one is missing. It starts no payment.

    TOKEN         of a player; `-`: the first line of standard input, so that it appears in no list of processes
    --app         also what the whole app needs: goods and balance. A game that only opens `PaymentSheet` needs neither
    --user NAME   also sign-in, the token's end and sign-out. The password is the next line of standard input
    --expired T   also that this token, which has ended, is refused
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from feexpay_client.core import errors, models
from feexpay_client.core.api import PAYMENTS_PATH, FeexPayClient
from feexpay_client.core.shop import HttpShop, ShopPaths

#: A key that no client has used.
_UNUSED_KEY = "contract-00000000-0000-4000-8000-000000000000"
#: No server gives out such a token.
_WRONG_TOKEN = "wrong" * 8

Requirement = tuple[str, Callable[[], Awaitable[Any]]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One requirement. `problem` is empty if the server meets it."""

    requirement: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """A player's account on the server, for the check of its sign-in."""

    username: str
    password: str = field(repr=False)


async def check(
    with_token: Callable[[str], FeexPayClient],
    token: str,
    *,
    app: bool = False,
    account: Account | None = None,
    expired: str = "",
    paths: ShopPaths | None = None,
) -> list[Finding]:
    """Check every requirement, one after the other. with_token: a new client of the server with that token."""
    paths = paths or ShopPaths()
    async with with_token(token) as api:
        requirements = [*_payments(api), ("a wrong token gets 401 and no payment", _refused(with_token, _WRONG_TOKEN))]
        if expired:
            requirements.append(("a token that has ended gets 401 and no payment", _refused(with_token, expired)))
        if app:
            requirements += _shop(HttpShop(api.connection, paths))
        if account is not None:
            requirements += _sign_in(with_token, account, paths)
        return [await _met(name, call) for name, call in requirements]


def _payments(api: FeexPayClient) -> Iterator[Requirement]:
    async def quote() -> None:
        usable = [one for one in (await api.providers()).value or () if one.enabled]
        if not usable:
            raise errors.MalformedAnswer("no provider is enabled")
        first = usable[0]
        answer = await api.quote(first.code, max(first.min_amount or 0, 1000), first.currency)
        if answer.total <= 0:
            raise errors.MalformedAnswer("a total of nothing")

    async def unused_key() -> None:
        if (await api.find_by_key(_UNUSED_KEY)).value is not None:
            raise errors.MalformedAnswer("the filter idempotency_key is ignored")

    async def clock() -> None:
        if (await api.find_pending()).server_now is None:
            raise errors.MalformedAnswer("no Date header: the countdown needs the server's clock")

    yield "providers: the ways to pay", api.providers
    yield "quote: the price before the payment", quote
    yield "history: the payments of the token's player", lambda: api.history({"page_size": "1"})
    yield "history finds a payment by its idempotency key", unused_key
    yield "answers carry the server's time", clock


def _shop(shop: HttpShop) -> Iterator[Requirement]:
    async def goods() -> None:
        wrong = [pack.code for pack in await shop.goods() if pack.price <= 0 or len(pack.currency) != 3]
        if wrong:
            raise errors.MalformedAnswer(f"no price in a currency: {', '.join(wrong)}")

    yield "goods, without a token: code, name, coins, price, currency, metadata", goods
    yield "balance: the coins of the token's player", shop.balance


def _sign_in(with_token: Callable[[str], FeexPayClient], account: Account, paths: ShopPaths) -> Iterator[Requirement]:
    """Each step uses the token of the first; without one they fail with the same words."""
    given: list[models.Credentials] = []

    def credentials() -> models.Credentials:
        if not given:
            raise errors.MalformedAnswer("the sign-in gave no token")
        return given[0]

    async def sign_in() -> None:
        async with with_token("") as api:
            given.append(await HttpShop(api.connection, paths).sign_in(account.username, account.password))

    async def end() -> None:
        ends = credentials().expires_at
        if ends is not None and ends <= datetime.now(UTC):
            raise errors.MalformedAnswer("expires_at is past")

    async def works() -> None:
        async with with_token(credentials().token) as api:
            await api.history({"page_size": "1"})

    async def wrong_password() -> None:
        async with with_token("") as api:
            try:
                await HttpShop(api.connection, paths).sign_in(account.username, f"{account.password} ")
            except (errors.Unauthorized, errors.Invalid):
                return
        raise errors.MalformedAnswer("it got a token")

    async def sign_out() -> None:
        token = credentials().token
        async with with_token(token) as api:
            await HttpShop(api.connection, paths).sign_out()
        await _refused(with_token, token)()

    yield "sign-in: a token for username and password", sign_in
    yield "a token that ends says when, and has not ended yet", end
    yield "the token of the sign-in opens the payments", works
    yield "a wrong password gets 400 or 401 and no token", wrong_password
    if paths.sign_out:
        yield "after the sign-out the token gets 401", sign_out


def _refused(with_token: Callable[[str], FeexPayClient], token: str) -> Callable[[], Awaitable[None]]:
    async def refused() -> None:
        async with with_token(token) as api:
            try:
                await api.history({"page_size": "1"})
            except errors.Unauthorized:
                return
        raise errors.MalformedAnswer("the history was shown")

    return refused


async def _met(requirement: str, call: Callable[[], Awaitable[Any]]) -> Finding:
    try:
        await call()
    except errors.ApiError as error:
        return Finding(requirement, f"{type(error).__name__} {error}".strip())
    return Finding(requirement)


def main(arguments: list[str] | None = None) -> int:
    """Print the findings. Returns 1 if the server lacks something."""
    ours = ShopPaths()
    parser = argparse.ArgumentParser(
        prog="python -m feexpay_client.contract",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("server")
    parser.add_argument("token")
    parser.add_argument("--app", action="store_true")
    parser.add_argument("--user", default="")
    parser.add_argument("--expired", default="")
    parser.add_argument("--payments-path", default=PAYMENTS_PATH)
    for name in ("sign_in", "sign_out", "goods", "balance"):
        parser.add_argument(f"--{name.replace('_', '-')}-path", default=getattr(ours, name))
    given = parser.parse_args(arguments)
    token = sys.stdin.readline().strip() if given.token == "-" else given.token  # noqa: S105 -- an option, no secret
    account = Account(given.user, sys.stdin.readline().rstrip("\n")) if given.user else None
    paths = ShopPaths(given.sign_in_path, given.sign_out_path, given.goods_path, given.balance_path)

    def with_token(token: str) -> FeexPayClient:
        return FeexPayClient(given.server, token, payments_path=given.payments_path)

    findings = asyncio.run(check(with_token, token, app=given.app, account=account, expired=given.expired, paths=paths))
    for finding in findings:
        sys.stdout.write(f"{'FAILED' if finding.problem else 'ok':<8}{finding.requirement}")
        sys.stdout.write(f": {finding.problem}\n" if finding.problem else "\n")
    return 1 if any(finding.problem for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
