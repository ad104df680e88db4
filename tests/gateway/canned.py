"""A gateway with one fixed reply: the real transport, with `responses` in place of the socket."""

from __future__ import annotations

import json
import re

import responses

from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.catalogue.providers import CATALOGUE, ProviderSpec
from django_feexpay.gateway.client import CallSeen, Gateway
from django_feexpay.gateway.request_bodies import CollectRequest
from django_feexpay.gateway.transport import HttpTransport, WireReply, WireRequest

KEY = "fp_canary_key"
SHOP = "SHOP00000000001"
REFERENCE = "0a1b2c3d-1111-4222-8333-444455556666"
ATTEMPT = "7d9f4a50-8d3c-4e9e-9a52-0c2b8f1d6e77"
_ANY_URL = re.compile("")


class CannedTransport:
    """Gives every request the same reply, and records the requests."""

    def __init__(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        self._status = status
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._headers = headers
        self._transport = HttpTransport()
        self.asked: list[WireRequest] = []

    def exchange(self, request: WireRequest) -> WireReply:
        self.asked.append(request)
        with responses.RequestsMock() as mocked:
            mocked.add(request.method, _ANY_URL, body=self._body, status=self._status, headers=self._headers)
            return self._transport.exchange(request)


def gateway_that_answers(
    status: int, body: object, headers: dict[str, str] | None = None, seen: list[CallSeen] | None = None
) -> Gateway:
    observer = None if seen is None else seen.append
    transport = CannedTransport(status, body, headers)
    return Gateway(
        api_key=KEY,
        shop_id=SHOP,
        base_url="https://gateway.invalid/api",
        transport=transport,
        observer=observer,
    )


def attempt(provider: str | ProviderSpec = "mtn_bj", **changed: object) -> CollectRequest:
    facts: dict[str, object] = {
        "provider": CATALOGUE[provider] if isinstance(provider, str) else provider,
        "msisdn": Msisdn("229", "0197000050"),
        "amount": 5000,
        "attempt_id": ATTEMPT,
    }
    return CollectRequest(**(facts | changed))  # type: ignore[arg-type]  # the test says what differs
