"""Parsing and redaction of webhook bodies."""

from __future__ import annotations

import pytest

from django_feexpay.gateway.reports import hint_from

UUID = "0a1b2c3d-1111-4222-8333-444455556666"
ATTEMPT = "7d9f4a50-8d3c-4e9e-9a52-0c2b8f1d6e77"


WEBHOOK = {
    "reference": UUID,
    "order_id": UUID,
    "status": "SUCCESSFUL",
    "amount": 5000,
    "callback_info": ATTEMPT,
    "last_name": "Canary-Last",
    "first_name": "Canary-First",
    "email": "canary@example.com",
    "type": "Paiement",
    "phoneNumber": "2290197000050",
    "date": "2026-07-01T10:00:00.000Z",
    "reseau": "MTN",
    "ref_link": "",
    "description": "for Canary",
    "reason": "",
    "ref_operator": "9876543210",
}


def test_hint_contains_the_claims_of_the_body() -> None:
    hint = hint_from(WEBHOOK)

    assert (hint.reference, hint.reported_status, hint.event_type) == (UUID, "SUCCESSFUL", "Paiement")
    assert len(hint.dedupe_key) == 64


def test_hint_contains_no_personal_data() -> None:
    body = {**WEBHOOK, "phone_number": 2290197000050, "payer": {"partyId": "2290197000050"}, "new": "canary"}

    kept = hint_from(body).redacted

    assert kept == {
        "reference": UUID,
        "order_id": UUID,
        "status": "SUCCESSFUL",
        "amount": 5000,
        "callback_info": ATTEMPT,
        "type": "Paiement",
        "date": "2026-07-01T10:00:00.000Z",
        "reseau": "MTN",
        "ref_link": "",
        "ref_operator": "•••10",
        "reason": "",
    }


def test_hint_reason_is_kept_without_numbers() -> None:
    assert hint_from({**WEBHOOK, "reason": "2290197000050 refused"}).redacted["reason"] == "••• refused"


def test_hint_of_a_finished_history_export_has_no_reference() -> None:
    body = {
        "request_id": "req-1",
        "status": "COMPLETED",
        "amount": 0,
        "type": "PAYMENT_HISTORY",
        "date": "2026-07-01T10:00:00.000Z",
        "row_count": 1,
        "result_format": "json",
        "result_url": "https://files.example/secret",
        "expires_at": "2026-07-02T10:00:00.000Z",
        "data": [WEBHOOK],
    }

    hint = hint_from(body)

    assert (hint.reference, hint.reported_status, hint.event_type) == ("", "COMPLETED", "PAYMENT_HISTORY")
    assert "anary" not in repr(hint)
    assert "result_url" not in hint.redacted


def test_dedupe_key_ignores_the_order_of_fields() -> None:
    turned = dict(reversed(WEBHOOK.items()))

    assert hint_from(turned).dedupe_key == hint_from(WEBHOOK).dedupe_key


@pytest.mark.parametrize("changed", [{"status": "FAILED"}, {"reference": "other"}, {"amount": 5001}, {"new": 1}])
def test_dedupe_key_differs_for_another_delivery(changed: dict[str, object]) -> None:
    assert hint_from({**WEBHOOK, **changed}).dedupe_key != hint_from(WEBHOOK).dedupe_key


@pytest.mark.parametrize("raw", [float("nan"), float("inf"), float("-inf"), [5000], {"value": 5000}])
def test_hint_drops_nested_values(raw: object) -> None:
    assert hint_from({**WEBHOOK, "amount": raw}).redacted["amount"] == ""


@pytest.mark.parametrize("raw", [5000, 49.5, "5000", None, True])
def test_hint_keeps_plain_values(raw: object) -> None:
    assert hint_from({**WEBHOOK, "amount": raw}).redacted["amount"] == raw


def test_hint_drops_values_that_a_column_refuses() -> None:
    kept = hint_from({**WEBHOOK, "reseau": "M\x00T\ud800N", "ref_link": {"deep": "x"}, "date": "d" * 300}).redacted

    assert (kept["reseau"], kept["ref_link"], kept["date"]) == ("M T N", "", "")
