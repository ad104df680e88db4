"""The checkout's events over a real socket, for whoever has the address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from tests.api.event_reader import EventReader
from tests.asgi_site import asgi_server
from tests.checkout.conftest import MakeAddress
from tests.checkout.payer import Payer
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import sweep

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[tuple[str, int]]:
    with asgi_server("uvicorn") as (address, _process):
        yield address


def test_change_of_the_payment_is_sent_to_its_address_only(
    server: tuple[str, int], payer: Payer, address: MakeAddress, gateway: ModelGateway
) -> None:
    assert payer.client.get(f"{address()}events/").status_code == 404  # no payment yet
    payer.open(address())
    payer.press(provider="mtn_bj", phone="01 61 00 00 50")
    page = payer.page.address
    assert payer.client.get(f"{page}events/").status_code == 406  # not under ASGI: the page polls

    with EventReader(server, page.strip("/"), base="/") as reader:
        before = reader.event()
        gateway.last().approve()
        connection.cursor().execute("UPDATE feexpay_attempt SET next_poll_at = now() - interval '5 seconds'")
        sweep()
        after = reader.event()

    assert before is not None
    assert after is not None
    assert before.body == payer.client.get(f"{page}status/").json() | before.body
    assert (before.body["status"], after.body["status"]) == ("pending", "successful")
    assert after.body["tag"] == payer.client.get(f"{page}status/").json()["tag"] != before.body["tag"]
    with EventReader(server, page.strip("/")[:-1], base="/") as forged:
        assert forged.status == 404
