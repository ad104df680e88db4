"""Webhooks: their fields, their credentials, and repeated attempts."""

from __future__ import annotations

import hashlib
import hmac
import os
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.sandbox.feexpay import collect, status_of
from tests.sandbox.receiver import Receiver, receive_webhooks
from tests.sandbox.running import RunningSandbox, run_sandbox

SECRET = "s3cret-of-at-least-24-bytes"


@pytest.fixture
def own_shop() -> Iterator[Receiver]:
    with receive_webhooks() as receiver:
        yield receiver


def _paid(sandbox: RunningSandbox) -> str:
    reference: str = collect(sandbox).json()["reference"]
    sandbox.approve(reference)
    return reference


def test_webhook_has_the_16_fields(sandbox: RunningSandbox, shop: Receiver) -> None:
    person = {"first_name": "Ama", "last_name": "Dossou", "email": "ama@example.test"}
    answer = collect(sandbox, callback_info="attempt-1", description="500 coins", **person).json()
    sandbox.approve(answer["reference"])
    body = shop.wait_for(answer["reference"])[0].body
    assert body.pop("date").endswith("Z")
    assert body.pop("ref_operator") == status_of(sandbox, answer["reference"])["operator_id"]
    assert body == {
        "reference": answer["reference"],
        "order_id": answer["reference"],
        "status": "SUCCESSFUL",
        "amount": 5000,
        "callback_info": "attempt-1",
        "last_name": "Dossou",
        "first_name": "Ama",
        "email": "ama@example.test",
        "type": "Paiement",
        "phoneNumber": "2290161000050",
        "reseau": "MTN",
        "ref_link": "",
        "description": "500 coins",
        "reason": "",
    }


def test_missing_callback_info_is_an_empty_string_in_the_webhook(sandbox: RunningSandbox, shop: Receiver) -> None:
    assert shop.wait_for(_paid(sandbox))[0].body["callback_info"] == ""


def test_webhook_is_posted_unsigned_to_the_full_url(sandbox: RunningSandbox, shop: Receiver) -> None:
    received = shop.wait_for(_paid(sandbox))[0]
    assert received.path == "/webhook/?token=t1"
    assert received.headers["Content-Type"] == "application/json"
    assert not {"Authorization", "X-FeexPay-Signature"} & set(received.headers)


def test_failure_sends_a_webhook(sandbox: RunningSandbox, shop: Receiver) -> None:
    reference = collect(sandbox).json()["reference"]
    sandbox.expire(reference)
    body = shop.wait_for(reference)[0].body
    assert (body["status"], body["reason"], body["ref_operator"]) == ("FAILED", "EXPIRED", "")


def test_header_mode_sends_the_secret_as_the_whole_authorization(own_shop: Receiver) -> None:
    options = ("--webhook-mode=header", "--webhook-secret=Bearer abcdefgh")
    with run_sandbox(*options, webhook_url=own_shop.url) as sandbox:
        received = own_shop.wait_for(_paid(sandbox))[0]
    assert received.headers["Authorization"] == "Bearer abcdefgh"


def test_hmac_mode_signs_the_raw_body(own_shop: Receiver) -> None:
    options = ("--webhook-mode=hmac", f"--webhook-secret={SECRET}")
    with run_sandbox(*options, webhook_url=own_shop.url) as sandbox:
        received = own_shop.wait_for(_paid(sandbox))[0]
    expected = hmac.new(SECRET.encode(), received.raw, hashlib.sha256).hexdigest()
    assert received.headers["X-FeexPay-Signature"] == expected


def test_without_an_address_no_webhook_is_sent() -> None:
    with run_sandbox() as sandbox:
        _paid(sandbox)
        assert sandbox.payments()[0]["webhooks"] == []


@pytest.mark.parametrize("code", [302, 400, 500])
def test_webhook_is_sent_again_unchanged_until_a_2xx_answer(own_shop: Receiver, code: int) -> None:
    own_shop.answer = lambda one: code if len(own_shop.about(one.body["reference"])) < 3 else 204
    with run_sandbox(webhook_url=own_shop.url) as sandbox:
        deliveries = own_shop.wait_for(_paid(sandbox), 3)
        webhook = _delivered_webhook(sandbox)
    assert len({one.raw for one in deliveries}) == 1
    assert (webhook["attempts"], webhook["outcome"], webhook["delivered"]) == (3, "204", True)


def test_webhook_is_given_up_after_five_attempts(own_shop: Receiver) -> None:
    own_shop.answer = lambda _one: 500
    with run_sandbox(webhook_url=own_shop.url, time_scale=0.0005) as sandbox:
        reference = _paid(sandbox)
        own_shop.wait_for(reference, 5)
        # The next payment's webhook arrives, so a sixth attempt of the first would have arrived before it.
        own_shop.answer = lambda _one: 200
        own_shop.wait_for(_paid(sandbox))
        assert len(own_shop.about(reference)) == 5
        webhook = sandbox.payments()[1]["webhooks"][0]
        assert "SUCCESSFUL → 500 · 5 tentatives · abandonné" in sandbox.get("/payments").text
    assert (webhook["attempts"], webhook["outcome"], webhook["delivered"]) == (5, "500", False)


def test_webhook_is_delivered_once_the_shop_is_up_again(own_shop: Receiver) -> None:
    with receive_webhooks() as gone:
        port = int(gone.url.split(":")[2].split("/")[0])
    with run_sandbox(webhook_url=gone.url) as sandbox:
        reference = _paid(sandbox)
        assert status_of(sandbox, reference)["status"] == "SUCCESSFUL"
        _webhook_with_outcome(sandbox)
        assert "SUCCESSFUL → connection refused" in sandbox.get("/payments").text
        with receive_webhooks(port) as back:
            assert back.wait_for(reference)[0].body["status"] == "SUCCESSFUL"


def test_slow_shop_delays_no_other_webhook(own_shop: Receiver) -> None:
    may_answer = threading.Event()

    def answer_late(_received: object) -> int:
        may_answer.wait(60)
        return 200

    own_shop.answer = answer_late
    with run_sandbox(webhook_url=own_shop.url) as sandbox:
        references = [_paid(sandbox) for _ in range(3)]
        for reference in references:
            own_shop.wait_for(reference)
        statuses = [status_of(sandbox, reference)["status"] for reference in references]
        attempts = [payment["webhooks"][0]["attempts"] for payment in sandbox.payments()]
        may_answer.set()
    assert statuses == ["SUCCESSFUL"] * 3
    assert attempts == [1, 1, 1]


def test_resend_sends_the_current_status_again(sandbox: RunningSandbox, shop: Receiver) -> None:
    reference = _paid(sandbox)
    shop.wait_for(reference)
    sandbox.resend(reference)
    assert [one.body["status"] for one in shop.wait_for(reference, 2)] == ["SUCCESSFUL", "SUCCESSFUL"]


def test_webhook_is_sent_over_tls_to_a_trusted_shop(tmp_path: Path) -> None:
    authority, context = _certificate_authority()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    environment = os.environ | {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    with (
        receive_webhooks(tls=context) as shop,
        run_sandbox(webhook_url=shop.url, environment=environment) as sandbox,
    ):
        assert shop.wait_for(_paid(sandbox))[0].body["status"] == "SUCCESSFUL"


def test_shop_with_an_untrusted_certificate_gets_no_webhook() -> None:
    _, context = _certificate_authority()
    with receive_webhooks(tls=context) as shop, run_sandbox(webhook_url=shop.url) as sandbox:
        _paid(sandbox)
        assert _webhook_with_outcome(sandbox)["outcome"] == "TLS failed"
        assert shop.about(sandbox.payments()[0]["reference"]) == []


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n", b"HTTP/1.1 OK\r\n", b"HTTP/1.1 " + b"2" * 10_000])
def test_answer_that_is_not_http_is_a_failed_attempt(answer: bytes) -> None:
    with _serve_bytes(answer) as url, run_sandbox(webhook_url=url, time_scale=0.0005) as sandbox:
        _paid(sandbox)
        webhook = _webhook_with_outcome(sandbox)
    assert (webhook["outcome"], webhook["delivered"]) == ("connection failed", False)


def _certificate_authority() -> tuple[trustme.CA, ssl.SSLContext]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return authority, context


@contextmanager
def _serve_bytes(answer: bytes) -> Iterator[str]:
    """A server that reads a request, answers these bytes and closes the connection."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def _delivered_webhook(sandbox: RunningSandbox) -> dict[str, Any]:
    return _wait_for_webhook(sandbox, "delivered")


def _webhook_with_outcome(sandbox: RunningSandbox) -> dict[str, Any]:
    return _wait_for_webhook(sandbox, "outcome")


def _wait_for_webhook(sandbox: RunningSandbox, what: str) -> dict[str, Any]:
    """The newest payment's only webhook, once it has `what`; fails after 60 s."""
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        (webhook,) = sandbox.payments()[0]["webhooks"]
        if webhook[what]:
            found: dict[str, Any] = webhook
            return found
    raise AssertionError(f"no {what} in {sandbox.payments()[0]}")
