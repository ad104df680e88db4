"""Connection classes that the transport does not know, as another version of urllib3 may have.

Every failure of such a connection is an unknown outcome, never "not sent".
"""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any

import pytest
import urllib3.connectionpool

from django_feexpay.gateway import transport as transport_module
from django_feexpay.gateway.errors import NotSentError, OutcomeUnknownError
from django_feexpay.gateway.transport import HttpTransport, WireRequest
from tests.gateway.conftest import ServerFactory
from tests.gateway.wire_server import LONG, Peer


def payment_request(url: str) -> WireRequest:
    return WireRequest(
        method="POST",
        url=f"{url}/collect",
        headers={},
        body=b'{"amount": 5000}',
        timeouts=LONG,
        fresh_connection=True,
    )


def answers_ok(peer: Peer) -> None:
    while peer.read_request():
        peer.answer(b'{"ok": true}')


def closes_in_handshake(peer: Peer) -> None:
    peer.sock.recv(65536)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class UnknownConnection:
    """A connection that shares no base class with http.client and fails on every use."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise ConnectionRefusedError("refused")


class UnknownPool(urllib3.HTTPConnectionPool):
    ConnectionCls: Any = UnknownConnection


class UnknownTlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls: Any = UnknownConnection


@pytest.fixture(params=["urllib3's own", "unlike http.client"])
def unknown_pools(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "unlike http.client":
        pools: dict[str, Any] = {"http": UnknownPool, "https": UnknownTlsPool}
    else:
        pools = {"http": urllib3.HTTPConnectionPool, "https": urllib3.HTTPSConnectionPool}
    monkeypatch.setattr(transport_module, "_POOLS", pools)


@pytest.mark.usefixtures("unknown_pools")
def test_refused_connection_of_an_unknown_class_is_unknown(transport: HttpTransport) -> None:
    with pytest.raises(OutcomeUnknownError):
        transport.exchange(payment_request(f"http://127.0.0.1:{closed_port()}"))


@pytest.mark.usefixtures("unknown_pools")
def test_broken_handshake_of_an_unknown_class_is_unknown(transport: HttpTransport, serve: ServerFactory) -> None:
    with pytest.raises(OutcomeUnknownError):
        transport.exchange(payment_request(serve(closes_in_handshake).tls_url))


def test_reply_over_an_unknown_class_is_read(
    transport: HttpTransport, serve: ServerFactory, server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = {"http": urllib3.HTTPConnectionPool, "https": urllib3.HTTPSConnectionPool}
    monkeypatch.setattr(transport_module, "_POOLS", pools)

    assert transport.exchange(payment_request(serve(answers_ok, tls=server_tls).tls_url)).status == 200


def test_connection_that_no_longer_derives_from_http_client_is_unknown(
    transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http.client, "HTTPConnection", type("Other", (), {}))

    with pytest.raises(OutcomeUnknownError):
        transport.exchange(payment_request(f"http://127.0.0.1:{closed_port()}"))


@pytest.mark.parametrize("error", [ConnectionResetError, ValueError], ids=["socket error", "other error"])
def test_connection_that_writes_past_our_send_is_unknown(
    transport: HttpTransport, serve: ServerFactory, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    server = serve(answers_ok)

    def write_and_fail(connection: Any, *args: Any, **kwargs: Any) -> None:
        connection.connect()
        connection.sock.sendall(b"POST /collect HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        raise error("after the request left")

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "request", write_and_fail)

    with pytest.raises(OutcomeUnknownError):
        transport.exchange(payment_request(server.url))


def test_payment_never_uses_an_old_connection_that_urllib3_hands_out(
    transport: HttpTransport, serve: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answers_ok)
    transport.exchange(payment_request(server.url))
    monkeypatch.setattr(urllib3.connectionpool, "is_connection_dropped", lambda connection: False)

    with pytest.raises(NotSentError):
        transport.exchange(payment_request(server.url))
    assert len(server.requests) == 1

    assert transport.exchange(payment_request(server.url)).status == 200
    assert (server.connection_count, len(server.requests)) == (2, 2)
