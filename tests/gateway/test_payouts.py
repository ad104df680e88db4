"""Payouts on the wire: what is sent, which refusals are definite, and that both sides know the same routes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from django_feexpay.catalogue.payout_routes import PAYOUT_ROUTES
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.gateway.errors import GatewayError, MisconfiguredError, OutcomeUnknownError, RefusedError
from django_feexpay.gateway.refusals import refusal_of_payout
from django_feexpay.gateway.request_bodies import PayoutRequest, payout_body
from django_feexpay.sandbox import payouts as sandbox_payouts


def request(code: str, **changes: Any) -> PayoutRequest:
    values: dict[str, Any] = {
        "route": PAYOUT_ROUTES[code],
        "msisdn": Msisdn("229", "0161000050"),
        "amount": 2000,
        "payout_id": "our-id",
        "motive": "Refund of your payment",
    }
    return PayoutRequest(**(values | changes))


def test_shared_route_names_the_provider_and_its_own_route_does_not() -> None:
    body = payout_body(request("mtn_bj"), "SHOP")

    assert dict(body) == {
        "phoneNumber": "2290161000050",
        "amount": 2000,
        "shop": "SHOP",
        "motif": "Refund of your payment",
        "callback_info": "our-id",
        "network": "MTN",
    }
    assert "network" not in payout_body(request("wave_sn"), "SHOP")
    assert "0161000050" not in repr(body) + repr(request("mtn_bj"))


@pytest.mark.parametrize(
    ("motive", "sent"),
    [
        ("Été – commande n° 7 : remboursée à l'acheteur", "Ete commande n 7 remboursee a"),
        ("x" * 40, "x" * 30),
    ],
)
def test_motive_has_at_most_30_plain_characters(motive: str, sent: str) -> None:
    assert payout_body(request("mtn_bj", motive=motive), "SHOP")["motif"] == sent


def test_client_and_sandbox_know_the_same_routes() -> None:
    shared = {(path, name) for path, names in sandbox_payouts.SHARED_ROUTES.items() for name in names}
    own = set(sandbox_payouts.OWN_ROUTES)
    routes = PAYOUT_ROUTES.values()

    assert {(route.path, route.wire_name) for route in routes if route.path in sandbox_payouts.SHARED_ROUTES} == shared
    assert {route.path for route in routes if route.path not in sandbox_payouts.SHARED_ROUTES} == own
    assert all(CATALOGUE[code].served and CATALOGUE[code].phone for code in PAYOUT_ROUTES)
    assert "coris_bj" not in PAYOUT_ROUTES


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (403, {"code": "ERR_PAYOUT_NOT_ENABLED", "message": "x"}, RefusedError, "payout_not_enabled"),
        (400, {"code": "ERR_INSUFFICIENT_BALANCE", "message": "x"}, RefusedError, "balance_too_low"),
        (400, {"message": "Validation failed", "errors": [{"property": "motif"}]}, RefusedError, "invalid_request"),
        (400, {"code": "ERR_INVALID_PHONE_NUMBER", "message": "x"}, RefusedError, "invalid_phone"),
        (400, {"code": "ERR_INVALID_AMOUNT", "message": "x"}, RefusedError, "invalid_amount"),
        (404, {"message": "MTN channel not configured"}, RefusedError, "provider_not_activated"),
        (403, {"code": "IP_NOT_ALLOWED", "message": "x"}, MisconfiguredError, "address_not_allowed"),
        (401, {"code": "UNAUTHORIZED", "message": "x"}, MisconfiguredError, "invalid_api_key"),
        (400, {"message": "Something else"}, OutcomeUnknownError, "outcome_unknown"),
        (400, {"code": "ERR_TRANSACTION_FAILED", "message": "x"}, OutcomeUnknownError, "outcome_unknown"),
        (400, {"code": "ERR_DUPLICATE_TRANSACTION", "message": "x"}, OutcomeUnknownError, "outcome_unknown"),
        (400, {"code": "NETWORK_UNAVAILABLE", "message": "x"}, OutcomeUnknownError, "outcome_unknown"),
        (403, {"code": "ERR_PAYOUT_NOT_ENABLED", "reference": "R"}, OutcomeUnknownError, "payment_named"),
        (500, {"code": "ERR_PAYOUT_NOT_ENABLED", "message": "x"}, OutcomeUnknownError, "outcome_unknown"),
        (429, {"code": "RATE_LIMIT_EXCEEDED", "message": "x"}, OutcomeUnknownError, "rate_limited"),
    ],
)
def test_only_refusals_that_sources_name_are_definite(
    status: int, body: Mapping[str, Any], kind: type[GatewayError], code: str
) -> None:
    error = refusal_of_payout(status, {}, json.dumps(body).encode())

    assert (type(error), error.code) == (kind, code)
