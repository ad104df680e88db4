"""Example bodies of the API description: one payment in several states."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django_feexpay.api.outputs import provider_body
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.etags import etag
from django_feexpay.models import Provider

PAYMENT_ID = "6f1c1c0e-5f0a-4c7e-9a54-0d6f7c2b8f11"
_REFERENCE = "B7C0A1F2-52D9-4C0B-9D6A-2E7B1C3D4E5F"

INITIATE_BODIES: Mapping[str, Any] = {
    "mobile money": {
        "provider": "mtn_bj",
        "amount": 5000,
        "phone": "+229 01 61 00 00 50",
        "merchant_reference": "order-17",
    },
    "a card": {
        "provider": "visa",
        "amount": 5000,
        "first_name": "Ama",
        "last_name": "Dossou",
        "email": "ama@example.com",
    },
    "a price in euros": {"provider": "wave_sn", "amount": 1000, "currency": "EUR", "phone": "+221 77 000 00 50"},
}

WAITING: Mapping[str, Any] = {
    "id": PAYMENT_ID,
    "status": "pending",
    "detail": "waiting_for_payer",
    "provider": "mtn_bj",
    "provider_name": "MTN Mobile Money",
    "country": "BJ",
    "amount": 5000,
    "currency": "XOF",
    "charged_amount": 5000,
    "charged_currency": "XOF",
    "exchange_rate": None,
    "fee": 85,
    "phone": "+229 01 •• •• •• 50",
    "merchant_reference": "order-17",
    "reference": _REFERENCE,
    "redirect_url": None,
    "otp_required": False,
    "reason": None,
    "can_retry": False,
    "next_poll_seconds": 5,
    "attempt_count": 1,
    "created_at": "2026-11-26T09:30:00.120Z",
    "updated_at": "2026-11-26T09:30:00.870Z",
    "expires_at": "2026-11-26T09:45:00.120Z",
    "settled_at": None,
    "metadata": {},
}
QUEUED = {**WAITING, "detail": "queued", "reference": None, "next_poll_seconds": 2}
CHECKING = {**WAITING, "detail": "checking", "reference": None}
CREDITED = {
    **WAITING,
    "status": "successful",
    "detail": "credited",
    "next_poll_seconds": None,
    "updated_at": "2026-11-26T09:30:21.400Z",
    "settled_at": "2026-11-26T09:30:21.400Z",
}
EVENTS = (
    "retry: 3000\n\n"
    f"id: {etag(WAITING)}\ndata: {json.dumps(WAITING)}\n\n"
    ":\n\n"
    f"id: {etag(CREDITED)}\ndata: {json.dumps(CREDITED)}\n\n"
)
REFUSED = {
    **WAITING,
    "status": "failed",
    "detail": "refused",
    "reference": None,
    "reason": {
        "code": "low_balance",
        "message": "There was not enough money, or a limit was reached. Top up or use another number.",
    },
    "can_retry": True,
    "next_poll_seconds": None,
    "settled_at": "2026-11-26T09:30:00.870Z",
}
HISTORY: Mapping[str, Any] = {"next": None, "previous": None, "results": [CREDITED]}
QUOTE: Mapping[str, Any] = {
    "amount": 1000,
    "currency": "EUR",
    "charged_amount": 6560,
    "charged_currency": "XOF",
    "fee": 112,
    "total": 6560,
    "exchange_rate": "655.957",
}
_MTN = CATALOGUE["mtn_bj"]
PROVIDER = provider_body(
    Provider(
        code=_MTN.code,
        name=_MTN.name,
        enabled=True,
        min_amount=_MTN.min_amount,
        max_amount=_MTN.max_amount,
        fee_percent=_MTN.fee_percent,
        flow=_MTN.flow,
    ),
    "en",
)
DELIVERY: Mapping[str, Any] = {"reference": _REFERENCE, "order_id": "order-17", "status": "SUCCESSFUL", "amount": 5000}

READY = {"status": "ok", "checks": {"database": "ok", "migrations": "ok"}}
NOT_READY = {"status": "down", "checks": {"database": "unreachable"}}
