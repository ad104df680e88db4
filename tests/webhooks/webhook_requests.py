"""Webhooks of FeexPay, and the credentials that FeexPay or a relay may add."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from django.test import Client

from tests.api.caller import BASE, JSON


def delivery(reference: str = "ref-0001", status: str = "SUCCESSFUL", **changes: Any) -> dict[str, Any]:
    """The sixteen fields of a webhook of FeexPay."""
    return {
        "type": "payment",
        "reference": reference,
        "order_id": reference,
        "status": status,
        "amount": 5000,
        "callback_info": "",
        "first_name": "Ama",
        "last_name": "Doe",
        "email": "ama@example.com",
        "reason": "",
        "ref_link": "",
        "description": "500 coins for Ama",
        "reseau": "MTN",
        "phoneNumber": "2290161000050",
        "date": "2026-11-23T12:00:00Z",
        "ref_operator": "OP-1",
    } | changes


def post_webhook(
    body: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    token: str = "",
    content_type: str = JSON,
) -> Any:
    """POST to the webhook. `body`: raw bytes, an object to encode as JSON, or None for a valid delivery."""
    address = f"{BASE}webhook/{token}/" if token else f"{BASE}webhook/"
    return Client().post(address, raw(body), content_type=content_type, headers=dict(headers or {}))


def raw(body: object = None) -> bytes:
    if isinstance(body, bytes):
        return body
    return json.dumps(delivery() if body is None else body).encode()


def hmac_header(body: bytes, secret: str, name: str = "X-FeexPay-Signature") -> dict[str, str]:
    return {name: hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def standard_headers(body: bytes, key: bytes, at: float, identifier: str = "msg_1") -> dict[str, str]:
    """The headers of Standard Webhooks 1.0.0."""
    stamp = str(int(at))
    digest = hmac.new(key, f"{identifier}.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": identifier, "webhook-timestamp": stamp, "webhook-signature": signature}
