"""Bodies over a real server: chunked, and too long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from django_feexpay.models import Payment, WebhookDelivery
from tests.api.caller import BASE, JSON, initiate_body, new_token
from tests.payments.fake_gateway import ModelGateway

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]


@pytest.fixture
def post(live_server: LiveServer, player: User) -> Any:
    """`post(path, json=…)` as the player, over a new connection."""
    token = new_token(player)

    def send(path: str, **options: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            session.headers.update({"Authorization": f"Bearer {token}", "Content-Type": JSON})
            return session.post(f"{live_server.url}{BASE}{path}", timeout=60, **options)

    return send


def in_pieces() -> Iterator[bytes]:
    """A body of unknown length: `requests` sends it in chunks, without a Content-Length."""
    yield b'{"provider":"mtn_bj",'
    yield b'"amount":5000,"phone":"0161000050"}'


def test_payment_starts_over_a_real_connection(post: Any, gateway: ModelGateway) -> None:
    answer = post("initiate/", json=initiate_body())

    assert (answer.status_code, answer.json()["detail"]) == (201, "waiting_for_payer")
    assert len(gateway.charges) == 1


@pytest.mark.parametrize("path", ["initiate/", "webhook/"])
def test_body_in_pieces_is_refused(post: Any, path: str) -> None:
    answer = post(path, data=in_pieces())

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    assert (Payment.objects.count(), WebhookDelivery.objects.count()) == (0, 0)


@pytest.mark.parametrize("path", ["initiate/", "webhook/"])
def test_body_of_64_kilobytes_and_one_is_refused(post: Any, path: str) -> None:
    answer = post(path, data=b"{" + b" " * (64 * 1024 - 1) + b"}")

    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert (Payment.objects.count(), WebhookDelivery.objects.count()) == (0, 0)
