"""Requests of a FeexPay client, written without the code of the gateway."""

from __future__ import annotations

import time
from typing import Any

import requests

from tests.sandbox.running import API_KEY, SHOP_ID, RunningSandbox

BEARER = {"Authorization": f"Bearer {API_KEY}"}


def collect(sandbox: RunningSandbox, ending: str = "50", suffix: str = "mtn", **changes: Any) -> requests.Response:
    """Ask a payer in Benin whose number ends with `ending`. A change to None leaves the field out."""
    body = {"phoneNumber": f"22901610000{ending}", "amount": 5000, "shop": SHOP_ID} | changes
    body = {name: value for name, value in body.items() if value is not None}
    return sandbox.post(f"/api/transactions/public/requesttopay/{suffix}", json=body, headers=BEARER)


def status_of(sandbox: RunningSandbox, reference: str) -> dict[str, Any]:
    answer = sandbox.get(f"/api/transactions/public/single/status/{reference}", headers=BEARER)
    body: dict[str, Any] = answer.json()
    return body


def wait_for_status(sandbox: RunningSandbox, reference: str, status: str) -> dict[str, Any]:
    """Poll until the status is `status`, and return the body of that answer. Raises AssertionError after 60 s."""
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        body = status_of(sandbox, reference)
        if body.get("data", body)["status"] == status:
            return body
        time.sleep(0.01)
    raise AssertionError(f"{reference} did not become {status}: {status_of(sandbox, reference)}")


def sent_statuses(sandbox: RunningSandbox, reference: str) -> list[str]:
    """The statuses of a payment's webhooks, in the order in which they are due. They may arrive in another order."""
    answer = sandbox.get(f"/control/payments/{reference}/webhooks")
    return [webhook["body"]["status"] for webhook in answer.json()["webhooks"]]


def search_history(sandbox: RunningSandbox, **changes: Any) -> requests.Response:
    """Search today and the day before, because a payment may be made right before midnight."""
    yesterday, today = (time.strftime("%Y-%m-%d", time.gmtime(at)) for at in (time.time() - 86_400, time.time()))
    body = {"start_date": yesterday, "end_date": today, "shop": SHOP_ID} | changes
    return sandbox.post("/api/transactions/history", json=body, headers=BEARER)
