"""The base URLs and pages that the client accepts."""

from __future__ import annotations

import pytest

from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.catalogue.web_addresses import why_refused
from django_feexpay.gateway.client import Gateway
from django_feexpay.gateway.errors import MisconfiguredError
from django_feexpay.gateway.request_bodies import PageRequest
from tests.gateway.canned import ATTEMPT, KEY, REFERENCE, SHOP, CannedTransport, attempt

REAL = "https://api-v2.feexpay.me/api"
NEAR = [
    "https://localhost/api",
    "https://localhost./api",
    "https://sandbox.localhost/api",
    "https://127.0.0.1/api",
    "https://127.9.9.9/api",
    "https://127.1/api",
    "https://2130706433/api",
    "https://0x7f000001/api",
    "https://0.0.0.0/api",
    "https://10.0.0.5/api",
    "https://192.168.1.5:8443/api",
    "https://169.254.169.254/api",
    "https://[::1]/api",
    "https://[::ffff:127.0.0.1]/api",
    "https://[fd00::1]/api",
]


def refused(base_url: str, *, sandbox_allowed: bool, insecure_hosts: tuple[str, ...] = ()) -> bool:
    return bool(why_refused(base_url, insecure_hosts=insecure_hosts, sandbox_allowed=sandbox_allowed))


@pytest.mark.parametrize("address", [REAL, "https://8.8.8.8/api", "https://gateway.example:8443/api"])
def test_https_on_the_internet_is_allowed_in_every_environment(address: str) -> None:
    assert not refused(address, sandbox_allowed=False)
    assert not refused(address, sandbox_allowed=True)


@pytest.mark.parametrize("address", NEAR)
def test_this_machine_and_private_networks_are_refused_in_production(address: str) -> None:
    assert refused(address, sandbox_allowed=False)
    assert not refused(address, sandbox_allowed=True)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8801/api", "http://api-v2.feexpay.me/api", "http://gateway/api"])
def test_http_is_refused_in_production(address: str) -> None:
    assert refused(address, sandbox_allowed=False, insecure_hosts=("gateway",))


@pytest.mark.parametrize(
    ("address", "is_refused"),
    [
        ("http://127.0.0.1:8801/api", False),
        ("http://localhost/api", False),
        ("http://[::1]:8801/api", False),
        ("http://gateway:8801/api", False),
        ("http://api-v2.feexpay.me/api", True),
        ("http://10.0.0.5/api", True),
        ("http://127.0.0.1.evil.example/api", True),
    ],
)
def test_sandbox_may_use_http_on_this_machine_and_on_listed_hosts(address: str, is_refused: bool) -> None:
    assert refused(address, sandbox_allowed=True, insecure_hosts=("gateway",)) is is_refused


@pytest.mark.parametrize(("address", "sandbox_allowed"), [("http://127.0.0.1/api", False), ("http://far/api", True)])
def test_client_sends_nothing_to_a_refused_address(address: str, sandbox_allowed: bool) -> None:
    transport = CannedTransport(200, {"reference": REFERENCE, "status": "SUCCESSFUL"})
    gateway = Gateway(api_key=KEY, shop_id=SHOP, base_url=address, transport=transport, sandbox_allowed=sandbox_allowed)
    page = PageRequest(
        provider=CATALOGUE["visa"], amount=500, attempt_id=ATTEMPT, minutes=15, description="", return_url=""
    )

    for call in (
        lambda: gateway.collect(attempt()),
        lambda: gateway.open_page(page),
        lambda: gateway.fetch_status(REFERENCE),
        gateway.balance,
    ):
        with pytest.raises(MisconfiguredError) as error:
            call()
        assert error.value.code == "unsafe_address"
    assert transport.asked == []


@pytest.mark.parametrize("sandbox_allowed", [True, False])
def test_payer_is_redirected_to_this_machine_only_if_a_sandbox_is_allowed(sandbox_allowed: bool) -> None:
    answer = {"reference": REFERENCE, "status": "PENDING", "payment_url": "http://127.0.0.1:8801/pay/x"}
    gateway = Gateway(
        api_key=KEY,
        shop_id=SHOP,
        base_url=REAL,
        transport=CannedTransport(200, answer),
        sandbox_allowed=sandbox_allowed,
    )

    assert (gateway.collect(attempt("wave_sn")).redirect_url is not None) is sandbox_allowed
