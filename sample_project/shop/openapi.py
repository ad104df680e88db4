"""OpenAPI description of the shop's own calls."""

from __future__ import annotations

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

_TOKEN = record("A bearer token and when it ends.", token=TEXT, expires_at=INSTANT)
_SIGN_IN = {
    **record(
        "A name and a password as they were typed.",
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
    "What a player has, and where the last of it came from, newest first.",
    coins=AMOUNT,
    entries={"type": "array", "items": _ENTRY},
)

_ORDER = record(
    "A wish to buy a pack.",
    id=described(UUID, "The `merchant_reference` to start its payment with."),
    pack=TEXT,
    price=AMOUNT,
    payment_id=described(nullable(UUID), "Under way or paid: follow this one, and start none."),
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
LOGOUT = Call(
    id="logout",
    summary="Sign out",
    description="The token it was sent with opens nothing any more.",
    tag="shop",
    answers={204: Answer("Signed out.", headers=())},
    problems=PROBLEMS_SIGNED_IN,
)
LOGOUT_ALL = Call(
    id="logout_all",
    summary="Sign out everywhere",
    description="No token of the player opens anything any more. A new password does the same.",
    tag="shop",
    answers={204: Answer("Signed out.", headers=())},
    problems=PROBLEMS_SIGNED_IN,
)
PACKS = Call(
    id="packs",
    summary="What is for sale",
    tag="shop",
    answers={
        200: Answer(
            "In the order to show them.",
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
    summary="What a player has",
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
describe("shop.tokens.LogoutView", {"post": LOGOUT})
describe("shop.tokens.LogoutAllView", {"post": LOGOUT_ALL})
describe("shop.views.PacksView", {"get": PACKS})
ORDERS = Call(
    id="orders",
    summary="Orders that are being paid",
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
    summary="The order to pay for a pack",
    description="The player's open order of that pack, or a new one: asked again, it is the same.",
    tag="shop",
    answers={200: Answer("The order.", _ORDER, {"a new one": _AN_ORDER}, headers=())},
    problems=(*PROBLEMS_SIGNED_IN, *PROBLEMS_WITH_BODY, "not_found"),
    body={
        **record("What is wanted.", pack={"type": "string", "minLength": 1, "maxLength": 32}),
        "additionalProperties": False,
    },
    body_examples={"a pouch": {"pack": "pouch"}},
)

describe("shop.views.OrdersView", {"get": ORDERS, "post": ORDER})
describe("shop.views.BalanceView", {"get": BALANCE})
