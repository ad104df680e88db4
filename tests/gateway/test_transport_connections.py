"""Connections, proxies and TLS of the transport, and what its errors and logs contain."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
import urllib3.connectionpool

from django_feexpay.gateway import transport as transport_module
from django_feexpay.gateway.errors import NotSentError, OutcomeUnknownError
from django_feexpay.gateway.transport import HttpTransport, Timeouts, WireRequest
from tests.gateway.conftest import ServerFactory, server_context
from tests.gateway.wire_server import LONG, SHORT, Peer


def asking(
    url: str, *, fresh: bool = False, headers: dict[str, str] | None = None, timeouts: Timeouts = LONG
) -> WireRequest:
    return WireRequest(
        method="GET", url=f"{url}/asked", headers=headers or {}, timeouts=timeouts, fresh_connection=fresh
    )


def answers_ok(peer: Peer) -> None:
    while peer.read_request():
        peer.answer(b'{"ok": true}')


# --- pooled and fresh -----------------------------------------------------------------------------


def test_reads_share_one_connection(transport: HttpTransport, serve: ServerFactory) -> None:
    server = serve(answers_ok)

    for _ in range(3):
        transport.exchange(asking(server.url))

    assert (server.connection_count, len(server.requests)) == (1, 3)


def test_fresh_request_never_uses_an_old_connection(transport: HttpTransport, serve: ServerFactory) -> None:
    server = serve(answers_ok)

    for fresh in (False, True, True, False):
        transport.exchange(asking(server.url, fresh=fresh))

    assert (server.connection_count, len(server.requests)) == (3, 4)


def test_fresh_request_over_tls_opens_a_new_connection(
    transport: HttpTransport, serve: ServerFactory, server_tls: ssl.SSLContext
) -> None:
    server = serve(answers_ok, tls=server_tls)

    for fresh in (False, False, True):
        transport.exchange(asking(server.tls_url, fresh=fresh))

    assert (server.connection_count, len(server.requests)) == (2, 3)


def drops_on_second_request(peer: Peer) -> None:
    peer.read_request()
    peer.answer(b"{}")
    peer.read_request()


def resets_on_second_request(peer: Peer) -> None:
    drops_on_second_request(peer)
    peer.reset()


@pytest.mark.parametrize("behave", [drops_on_second_request, resets_on_second_request])
def test_read_over_a_connection_that_closes_is_unknown(
    transport: HttpTransport, serve: ServerFactory, behave: object
) -> None:
    server = serve(behave)
    transport.exchange(asking(server.url))

    with pytest.raises(OutcomeUnknownError):
        transport.exchange(asking(server.url))
    assert server.connection_count == 1


@pytest.mark.parametrize("behave", [drops_on_second_request, resets_on_second_request])
def test_collect_does_not_use_a_connection_that_closes(
    transport: HttpTransport, serve: ServerFactory, behave: object
) -> None:
    server = serve(behave)
    transport.exchange(asking(server.url))

    assert transport.exchange(asking(server.url, fresh=True)).status == 200
    assert server.connection_count == 2


def closes_while_idle(peer: Peer) -> None:
    peer.read_request()
    peer.answer(b"{}")


def test_connection_closed_while_idle_is_replaced(transport: HttpTransport, serve: ServerFactory) -> None:
    server = serve(closes_while_idle)

    for _ in range(2):
        assert transport.exchange(asking(server.url)).status == 200
        server.wait_until_idle()

    assert (server.connection_count, len(server.requests)) == (2, 2)


def test_connection_closed_between_check_and_write_is_unknown(
    transport: HttpTransport, serve: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(closes_while_idle)
    transport.exchange(asking(server.url))
    server.wait_until_idle()
    monkeypatch.setattr(urllib3.connectionpool, "is_connection_dropped", lambda connection: False)

    with pytest.raises(OutcomeUnknownError):
        transport.exchange(asking(server.url))
    assert (server.connection_count, len(server.requests)) == (1, 1)


def test_each_thread_has_its_own_connection(transport: HttpTransport, serve: ServerFactory) -> None:
    server = serve(answers_ok)
    transport.exchange(asking(server.url))

    def ask() -> None:
        transport.exchange(asking(server.url))
        transport.close()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()

    assert server.connection_count == 2


def test_forked_child_opens_its_own_connection(
    transport: HttpTransport, serve: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answers_ok)
    transport.exchange(asking(server.url))
    parent = transport._mine.session  # a reference, because a real parent process keeps its sockets open
    monkeypatch.setattr(os, "getpid", lambda: -1)

    transport.exchange(asking(server.url))

    assert server.connection_count == 2
    parent.close()


def test_closed_transport_connects_again(transport: HttpTransport, serve: ServerFactory) -> None:
    server = serve(answers_ok)
    transport.exchange(asking(server.url))

    transport.close()
    transport.close()
    transport.exchange(asking(server.url))

    assert server.connection_count == 2


# --- environment, cookies, headers --------------------------------------------------------------------------------


def test_environment_is_ignored(
    transport: HttpTransport, serve: ServerFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = serve(answers_ok)
    proxy = serve(answers_ok)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)

    transport.exchange(asking(server.url, headers={"Authorization": "Bearer fp_made_up"}))

    assert proxy.connection_count == 0
    assert b"Authorization: Bearer fp_made_up\r\n" in server.requests[0]


def test_cookies_are_not_kept(transport: HttpTransport, serve: ServerFactory) -> None:
    def behave(peer: Peer) -> None:
        while peer.read_request():
            peer.answer(b"{}", headers=["Set-Cookie: session=other; Path=/"])

    server = serve(behave)

    for _ in range(2):
        transport.exchange(asking(server.url))

    assert b"session=other" not in server.requests[1]


def test_only_the_given_headers_are_sent(transport: HttpTransport, serve: ServerFactory) -> None:
    server = serve(answers_ok)

    transport.exchange(asking(server.url, headers={"Accept-Encoding": "identity", "User-Agent": "ours"}))

    head = server.requests[0].decode().split("\r\n\r\n")[0].split("\r\n")
    assert sorted(head[1:]) == [
        "Accept-Encoding: identity",
        f"Host: 127.0.0.1:{server.port}",
        "User-Agent: ours",
    ]


# --- proxy ----------------------------------------------------------------------------------------


@pytest.fixture
def through_proxy(client_tls: ssl.SSLContext) -> Iterator[list[HttpTransport]]:
    made: list[HttpTransport] = []
    yield made
    for transport in made:
        transport.close()


def proxied(made: list[HttpTransport], port: int, tls: ssl.SSLContext, user: str = "") -> HttpTransport:
    made.append(HttpTransport(proxy=f"http://{user}127.0.0.1:{port}", tls=tls))
    return made[-1]


def test_plain_request_goes_to_the_given_proxy(
    serve: ServerFactory, client_tls: ssl.SSLContext, through_proxy: list[HttpTransport]
) -> None:
    proxy = serve(answers_ok)
    transport = proxied(through_proxy, proxy.port, client_tls, "us:secret@")

    transport.exchange(asking("http://gateway.invalid/api"))

    assert proxy.requests[0].startswith(b"GET http://gateway.invalid/api/asked HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXM6c2VjcmV0\r\n" in proxy.requests[0]


def test_tls_request_goes_through_a_tunnel(
    serve: ServerFactory,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    through_proxy: list[HttpTransport],
) -> None:
    def tunnels_to_itself(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")
        with server_tls.wrap_socket(peer.sock, server_side=True) as inner:
            answers_ok(Peer(inner, peer.number, proxy))

    proxy = serve(tunnels_to_itself)
    transport = proxied(through_proxy, proxy.port, client_tls)

    for fresh in (True, False, True):
        assert transport.exchange(asking("https://localhost/api", fresh=fresh)).status == 200

    assert proxy.connection_count == 2
    assert proxy.requests[0].startswith(b"CONNECT localhost:443 HTTP/1.")
    assert proxy.requests[1].startswith(b"GET /api/asked HTTP/1.1\r\n")


def refuses_tunnel(peer: Peer) -> None:
    peer.read_request()
    peer.answer(b"no", status="403 Forbidden")


def ignores_tunnel_request(peer: Peer) -> None:
    peer.read_request()
    peer.hold()


def sends_tunnel_reply_slowly(peer: Peer) -> None:
    peer.read_request()
    peer.send_slowly(b"HTTP/1.1 200 " + b"x" * 200 + b"\r\n\r\n")


def opens_tunnel_and_closes(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")


@pytest.mark.parametrize(
    ("behave", "timeouts"),
    [
        (refuses_tunnel, LONG),
        (ignores_tunnel_request, SHORT),
        (sends_tunnel_reply_slowly, SHORT),
        (opens_tunnel_and_closes, LONG),
    ],
)
def test_failed_tunnel_is_not_sent(
    serve: ServerFactory,
    client_tls: ssl.SSLContext,
    through_proxy: list[HttpTransport],
    behave: object,
    timeouts: Timeouts,
) -> None:
    transport = proxied(through_proxy, serve(behave).port, client_tls)

    with pytest.raises(NotSentError):
        transport.exchange(asking("https://localhost/api", timeouts=timeouts))


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:1080", "https://127.0.0.1:3128", "127.0.0.1:3128", "http://:x", "http://h:9x"]
)
def test_other_kinds_of_proxy_are_refused(proxy: str) -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        HttpTransport(proxy=proxy)


# --- the default TLS context ----------------------------------------------------------------------


@pytest.fixture
def default_transport(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[HttpTransport]:
    """The default transport, on a machine whose CA bundle contains only the authority of the tests."""
    bundle = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setattr(transport_module, "DEFAULT_CA_BUNDLE_PATH", str(bundle))
    transport_module._default_tls.cache_clear()
    made = HttpTransport()
    yield made
    made.close()
    transport_module._default_tls.cache_clear()


def test_default_context_trusts_the_bundle(
    default_transport: HttpTransport, serve: ServerFactory, server_tls: ssl.SSLContext
) -> None:
    server = serve(answers_ok, tls=server_tls)

    assert default_transport.exchange(asking(server.tls_url)).status == 200


def test_default_context_refuses_another_authority(default_transport: HttpTransport, serve: ServerFactory) -> None:
    server = serve(answers_ok, tls=server_context(trustme.CA(), "localhost"))

    with pytest.raises(NotSentError):
        default_transport.exchange(asking(server.tls_url))
    assert server.requests == []


def test_default_context_refuses_tls_1_1(
    default_transport: HttpTransport, serve: ServerFactory, authority: trustme.CA
) -> None:
    old = server_context(authority, "localhost")
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    server = serve(answers_ok, tls=old)

    with pytest.raises(NotSentError):
        default_transport.exchange(asking(server.tls_url))


def test_context_is_built_once(
    default_transport: HttpTransport,
    serve: ServerFactory,
    server_tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve(answers_ok, tls=server_tls)
    default_transport.exchange(asking(server.tls_url))
    loaded: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *args, **kwargs: loaded.append(args))

    default_transport.exchange(asking(server.tls_url, fresh=True))

    assert loaded == []


# --- personal data and secrets ---------------------------------------------------------------------


@pytest.mark.parametrize("answers", [True, False], ids=["unknown", "not sent"])
def test_error_contains_neither_key_nor_number(transport: HttpTransport, serve: ServerFactory, answers: bool) -> None:
    server = serve(lambda peer: peer.read_request() and None)
    request = WireRequest(
        method="POST",
        url=server.url if answers else server.tls_url.replace("localhost", "127.0.0.1"),
        headers={"Authorization": "Bearer fp_canary_key"},
        body=b'{"phoneNumber": "2290197000050"}',
        timeouts=LONG if answers else SHORT,  # the peer waits for a request while the client waits for its handshake
    )

    with pytest.raises((NotSentError, OutcomeUnknownError)) as caught:
        transport.exchange(request)

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "canary" not in f"{caught.value!r} {request!r}"
    assert "2290197000050" not in f"{caught.value!r} {request!r}"


def test_key_in_a_url_is_not_logged(
    transport: HttpTransport, serve: ServerFactory, caplog: pytest.LogCaptureFixture
) -> None:
    # A source of exchange rates may expect its key in the query, and urllib3 logs every URL at DEBUG.
    caplog.set_level(logging.DEBUG)
    server = serve(answers_ok)

    transport.exchange(replace(asking(server.url), url=f"{server.url}/latest?key=canary"))

    assert "/latest" in caplog.text
    assert "canary" not in caplog.text
