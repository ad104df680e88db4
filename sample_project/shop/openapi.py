"""OpenAPI description of the shop's own calls."""

from __future__ import annotations

from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme

from django_feexpay.openapi import (
    AMOUNT,
    INSTANT,
    PROBLEMS_ALWAYS,
    PROBLEMS_SIGNED_IN,
    PROBLEMS_WITH_BODY,
    TEXT,
    UUID,
    Answer,
    Call,
    describe,
    described,
    nullable,
    one_of,
    record,
)


class BearerScheme(KnoxTokenScheme):  # type: ignore[no-untyped-call]  # theirs
    """How the description names BearerAuthentication."""

    target_class = "shop.authentication.BearerAuthentication"


_TOKEN = record("A bearer token and the end of its validity.", token=TEXT, expires_at=INSTANT)
_SIGN_IN = {
    **record(
        "A user name and a password.",
        username={"type": "string", "minLength": 1, "maxLength": 150},
        password={"type": "string", "minLength": 1, "maxLength": 4096, "format": "password"},
    ),
    "additionalProperties": False,
}
_PACK = record(
    "Coins at a price.",
    code=TEXT,
    name=TEXT,
    coins=AMOUNT,
    price=described(AMOUNT, "The `amount` to start a payment with."),
    currency=one_of(("XOF",)),
    metadata=described({"type": "object"}, "Send it along to `initiate/` to buy this pack."),
)
_ENTRY = record("Coins that were given.", coins=AMOUNT, pack=nullable(TEXT), payment_id=UUID, created_at=INSTANT)
_BALANCE = record(
    "A player's coins and the newest entries, newest first.",
    coins=AMOUNT,
    entries={"type": "array", "items": _ENTRY},
)

_ORDER = record(
    "An order of a pack.",
    id=described(UUID, "The `merchant_reference` to start its payment with."),
    pack=TEXT,
    price=AMOUNT,
    payment_id=described(nullable(UUID), "A pending or paid payment: follow it and start none."),
)
_AN_ORDER = {
    "id": "0d0f0c3e-8a41-4d6b-9e55-1d2a3b4c5d6e",
    "pack": "pouch",
    "price": 2500,
    "payment_id": None,
}

TOKEN = Call(
    id="token",
    summary="Sign in",
    tag="shop",
    answers={
        200: Answer(
            "Send it as `Authorization: Bearer …`.",
            _TOKEN,
            {
                "a token": {
                    "token": "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26",
                    "expires_at": "2026-12-26T09:30:00.000000+01:00",
                }
            },
            headers=(),
        ),
    },
    problems=(*PROBLEMS_WITH_BODY, "not_authenticated", "throttled"),
    body=_SIGN_IN,
    body_examples={"a player": {"username": "ama", "password": "correct horse battery staple"}},
)
_KEPT_TOKEN = record(
    "What is known of a token. The token itself is not kept.",
    id={"type": "string", "pattern": "^[0-9a-f]{32}$"},
    created_at=INSTANT,
    expires_at=INSTANT,
    current=described({"type": "boolean"}, "Whether this request used it."),
)
TOKENS = Call(
    id="tokens",
    summary="Tokens of the player",
    description="The valid ones. At most 20 are kept; a further sign-in revokes the oldest.",
    tag="shop",
    answers={
        200: Answer(
            "Newest first.",
            {"type": "array", "items": _KEPT_TOKEN},
            {
                "one": [
                    {
                        "id": "5df6e0e2761359d30a8275058e299fcc",
                        "created_at": "2026-11-26T09:30:00.000000+01:00",
                        "expires_at": "2026-12-26T09:30:00.000000+01:00",
                        "current": True,
                    }
                ]
            },
            headers=(),
        )
    },
    problems=PROBLEMS_SIGNED_IN,
)
REVOKE_TOKEN = Call(
    id="revoke_token",
    summary="Revoke a token",
    description="For a lost phone. It may be the token of this request.",
    tag="shop",
    answers={204: Answer("Revoked.", headers=())},
    problems=(*PROBLEMS_SIGNED_IN, "not_found"),
)
LOGOUT = Call(
    id="logout",
    summary="Sign out",
    description="Revokes the token of this request.",
    tag="shop",
    answers={204: Answer("Signed out.", headers=())},
    problems=PROBLEMS_SIGNED_IN,
)
LOGOUT_ALL = Call(
    id="logout_all",
    summary="Sign out everywhere",
    description="Revokes all tokens of the player. A new password does the same.",
    tag="shop",
    answers={204: Answer("Signed out.", headers=())},
    problems=PROBLEMS_SIGNED_IN,
)
PACKS = Call(
    id="packs",
    summary="Packs for sale",
    tag="shop",
    answers={
        200: Answer(
            "In display order.",
            {"type": "array", "items": _PACK},
            {
                "one of them": [
                    {
                        "code": "pouch",
                        "name": "Pouch",
                        "coins": 500,
                        "price": 2500,
                        "currency": "XOF",
                        "metadata": {"pack": "pouch"},
                    }
                ]
            },
            headers=(),
        )
    },
    problems=PROBLEMS_ALWAYS,
)
BALANCE = Call(
    id="balance",
    summary="Balance of the player",
    tag="shop",
    answers={
        200: Answer(
            "Coins, and the last twenty entries.",
            _BALANCE,
            {
                "after a purchase": {
                    "coins": 500,
                    "entries": [
                        {
                            "coins": 500,
                            "pack": "pouch",
                            "payment_id": "6f1c1c0e-5f0a-4c7e-9a54-0d6f7c2b8f11",
                            "created_at": "2026-11-26T09:30:22.010Z",
                        }
                    ],
                }
            },
            headers=(),
        )
    },
    problems=PROBLEMS_SIGNED_IN,
)

describe("shop.tokens.TokenView", {"post": TOKEN})
describe("shop.tokens.TokensView", {"get": TOKENS})
describe("shop.tokens.OneTokenView", {"delete": REVOKE_TOKEN})
describe("shop.tokens.LogoutView", {"post": LOGOUT})
describe("shop.tokens.LogoutAllView", {"post": LOGOUT_ALL})
describe("shop.views.PacksView", {"get": PACKS})
ORDERS = Call(
    id="orders",
    summary="Orders with a pending payment",
    tag="shop",
    answers={
        200: Answer(
            "Newest first.",
            {"type": "array", "items": _ORDER},
            {"one": [_AN_ORDER | {"payment_id": "6f1c1c0e-5f0a-4c7e-9a54-0d6f7c2b8f11"}]},
            headers=(),
        )
    },
    problems=PROBLEMS_SIGNED_IN,
)
ORDER = Call(
    id="order",
    summary="The open order for a pack",
    description="The player's open order for that pack. It is created if there is none.",
    tag="shop",
    answers={200: Answer("The order.", _ORDER, {"a new one": _AN_ORDER}, headers=())},
    problems=(*PROBLEMS_SIGNED_IN, *PROBLEMS_WITH_BODY, "not_found"),
    body={
        **record("The pack to order.", pack={"type": "string", "minLength": 1, "maxLength": 32}),
        "additionalProperties": False,
    },
    body_examples={"a pouch": {"pack": "pouch"}},
)

describe("shop.views.OrdersView", {"get": ORDERS, "post": ORDER})
describe("shop.views.BalanceView", {"get": BALANCE})
