"""A flood of forged webhooks costs next to nothing, and loses no true one. Over sockets, against gunicorn."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from django_feexpay.models import Credit, WebhookDelivery
from django_feexpay.monitoring import health
from tests import limited_site
from tests.api.caller import BASE, Caller
from tests.limited_site import answer, ask, post
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import sweep
from tests.webhooks.webhook_requests import delivery

pytestmark = [pytest.mark.postgres_only, pytest.mark.django_db(transaction=True)]

PATH = f"{BASE}webhook/"
KEPT, PER_MINUTE, PER_ADDRESS = 60, 300, 200
Address = tuple[str, int]


@pytest.fixture(scope="module")
def site(django_db_setup: None, redis_url: str) -> Iterator[Address]:
    """Two processes with four threads each. The client of a request is named by X-Real-IP."""
    cache = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}
    with limited_site.gunicorn(
        workers=2,
        threads=4,
        caches={"default": cache | {"KEY_PREFIX": uuid4().hex}},
        UNKNOWN_WEBHOOKS_KEPT=KEPT,
        UNKNOWN_WEBHOOKS_PER_MINUTE=PER_MINUTE,
        RATE_LIMITS={"webhook": f"{PER_ADDRESS}/min"},
        CLIENT_ADDRESS_HEADER="X-Real-IP",
        slow_body_seconds=2,
    ) as address:
        yield address


def webhook(address: Address, sender: str = "10.9.9.9", **body: Any) -> int:
    status, _headers, _body = ask(address, post(PATH, json.dumps(delivery(**body)).encode(), f"X-Real-IP: {sender}"))
    return status


def unknown() -> int:
    return WebhookDelivery.objects.filter(attempt=None).count()


def test_flood_stays_under_its_bound_and_a_true_webhook_in_the_middle_settles_its_payment(
    site: Address, caller: Caller, gateway: ModelGateway
) -> None:
    payment_id = caller.initiate().json()["id"]
    gateway.last().approve()
    command = [sys.executable, str(Path(__file__).with_name("forger.py")), site[0], str(site[1]), PATH, "2", "500"]
    flood = subprocess.Popen(command, stdout=subprocess.PIPE)
    has_ended = False
    while unknown() < KEPT:
        assert not has_ended, "the flood ended before it filled the table"
        has_ended = flood.poll() is not None

    assert webhook(site, reference="ref-0001") == 200  # the true one
    assert webhook(site, reference="of-another-address") == 200  # the flood cannot use up the limit of all
    assert WebhookDelivery.objects.get(gateway_reference="ref-0001").attempt is not None
    assert WebhookDelivery.objects.filter(gateway_reference="of-another-address").exists()
    most = unknown()

    sent = json.loads(flood.communicate(timeout=300)[0])
    report = health.check()
    sweep()

    answers = sent["statuses"].get("200", 0)
    print(f"{answers / sent['seconds']:.0f} forged webhooks a second, {report.dropped_webhooks} of {answers} dropped")
    assert sent["statuses"] == {"200": answers}
    assert most == unknown() == KEPT
    assert report.components["webhooks"] == "webhook_flood"
    # Each process may still hold the drops of its last second.
    assert 0 < report.dropped_webhooks <= answers + 1 - KEPT
    assert caller.get(f"{payment_id}/status/").json()["detail"] == "credited"
    assert (Credit.objects.count(), gateway.questions) == (1, 1)


MEGABYTES = b" " * (3 * 1024 * 1024)
VALID = json.dumps(delivery()).encode()
#: The problem of each body that is not read to its end or not read at all.
REFUSED: dict[str, tuple[int, str, bytes]] = {
    "65 kB": (413, "payload_too_large", post(PATH, b"{" + b" " * 65_536 + b"}")),
    "3 MB": (413, "payload_too_large", post(PATH, MEGABYTES)),
    "deep": (400, "malformed_request", post(PATH, b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}")),
    "compressed": (415, "unsupported_media_type", post(PATH, gzip.compress(VALID), "Content-Encoding: gzip")),
    "UTF-16": (400, "malformed_request", post(PATH, VALID.decode().encode("utf-16"))),
    "charset": (415, "unsupported_media_type", post(PATH, VALID).replace(b"/json", b"/json; charset=latin-1", 1)),
    "chunked": (
        400,
        "malformed_request",
        post(PATH, b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"") + b"2\r\n{}\r\n0\r\n\r\n",
    ),
    "cut off": (400, "malformed_request", post(PATH, VALID)[:-20]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_body_that_is_no_webhook_is_refused_with_a_problem(site: Address, name: str) -> None:
    status, code, request = REFUSED[name]

    with socket.create_connection(site, timeout=30) as client:
        client.sendall(request)
        if name == "cut off":
            client.shutdown(socket.SHUT_WR)
        found, headers, body = answer(client)

    assert (found, json.loads(body)["code"]) == (status, code)
    assert headers["content-type"] == "application/problem+json"
    assert WebhookDelivery.objects.count() == 0


def test_slow_bodies_are_refused_and_leave_the_threads_to_others(site: Address) -> None:
    """More slow senders than the server has threads: each would hold one for ever."""
    request = post(PATH, VALID)
    slow = [socket.create_connection(site, timeout=30) for _ in range(12)]
    try:
        for client in slow:
            client.sendall(request[:-1])
        assert webhook(site, reference="ref-of-a-quick-one") == 200
        answers = [answer(client) for client in slow]
    finally:
        for client in slow:
            client.close()

    assert [status for status, _headers, _body in answers] == [400] * 12
    assert {json.loads(body)["detail"] for _status, _headers, body in answers} == {
        "The body did not arrive within 2 seconds."
    }
    assert WebhookDelivery.objects.count() == 1
