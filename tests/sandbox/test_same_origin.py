"""Pages of other sites, open in a developer's browser, cannot change anything in the sandbox."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.sandbox.feexpay import BEARER, collect, status_of
from tests.sandbox.running import SHOP_ID, RunningSandbox

FORM = "application/x-www-form-urlencoded"
FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://127.0.0.1"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
]


@pytest.fixture
def reference(sandbox: RunningSandbox) -> str:
    return str(collect(sandbox).json()["reference"])


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(
    "path",
    [
        "/control/payments/{}/approve",
        "/control/payments/{}/force",
        "/control/conditions",
        "/control/reset",
        "/control",
        "/phone/{}",
        "/pay/{}",
        "/payments/{}",
    ],
)
def test_foreign_page_changes_nothing(
    sandbox: RunningSandbox, reference: str, path: str, headers: dict[str, str]
) -> None:
    data = {"choice": "approve", "status": "SUCCESSFUL", "act": "approve"}

    answer = sandbox.post(path.format(reference), data=data, headers={"Content-Type": FORM, **headers})

    assert (answer.status_code, sorted(answer.json())) == (403, ["error"])
    assert status_of(sandbox, reference)["status"] == "PENDING"
    assert len(sandbox.payments()) == 1


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "own"}, {"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {"Sec-Fetch-Site": "none"}],
)
def test_own_page_and_other_clients_may_change_payments(
    sandbox: RunningSandbox, reference: str, headers: dict[str, str]
) -> None:
    sent = {name: sandbox.base_url if value == "own" else value for name, value in headers.items()}

    assert sandbox.post(f"/control/payments/{reference}/approve", headers=sent).status_code == 200
    assert status_of(sandbox, reference)["status"] == "SUCCESSFUL"


def test_rebound_host_name_is_refused(sandbox: RunningSandbox, reference: str) -> None:
    port = urlsplit(sandbox.base_url).port
    rebound: dict[str, Any] = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}

    read = sandbox.get("/control/payments", headers={"Host": rebound["Host"]})
    changed = sandbox.post(f"/control/payments/{reference}/approve", headers=rebound)

    assert (read.status_code, changed.status_code) == (403, 403)
    assert status_of(sandbox, reference)["status"] == "PENDING"


@pytest.mark.parametrize("host", ["localhost", "shop.localhost", "127.0.0.1", "[::1]"])
def test_names_of_this_machine_are_served(sandbox: RunningSandbox, host: str) -> None:
    assert sandbox.get("/control/payments", headers={"Host": host}).status_code == 200


def test_feexpay_endpoints_check_the_key_instead_of_the_origin(sandbox: RunningSandbox) -> None:
    """FeexPay's browser SDK calls from the pages of shops."""
    body = {"phoneNumber": "2290161000050", "amount": 5000, "shop": SHOP_ID}
    headers = {**BEARER, "Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"}

    answer = sandbox.post("/api/transactions/public/requesttopay/mtn", json=body, headers=headers)

    assert answer.json()["status"] == "PENDING"
