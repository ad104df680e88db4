"""Transport failures over real sockets: for each, whether the request may have been sent.

Run these tests with each new version of requests or urllib3, to see whether the transport works with it.
"""

from __future__ import annotations

import errno
import gzip
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace

import pytest
import trustme

from django_feexpay.gateway.errors import NotSentError, OutcomeUnknownError
from django_feexpay.gateway.transport import HttpTransport, Timeouts, WireRequest
from tests.gateway.conftest import ServerFactory, server_context
from tests.gateway.wire_server import DRIP_COUNT, LONG, SHORT, Peer


def asking(url: str, *, fresh: bool = False, timeouts: Timeouts = LONG) -> WireRequest:
    return WireRequest(
        method="POST",
        url=f"{url}/asked",
        headers={"Content-Type": "application/json"},
        body=b'{"amount": 5000}',
        timeouts=timeouts,
        fresh_connection=fresh,
    )


# --- nothing was sent -----------------------------------------------------------------------------


def test_refused_connection_is_not_sent(transport: HttpTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(NotSentError, match=rf"nothing was sent to 127\.0\.0\.1:{port}: .*\(Connection refused\)"):
        transport.exchange(asking(f"http://127.0.0.1:{port}"))


def test_unknown_host_is_not_sent(transport: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_name(*args: object, **kwargs: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)

    with pytest.raises(NotSentError):
        transport.exchange(asking("http://gateway.invalid"))


def test_host_without_an_address_is_not_sent(transport: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [])

    with pytest.raises(NotSentError):
        transport.exchange(asking("http://gateway.invalid"))


def test_reset_while_connecting_is_not_sent(
    transport: HttpTransport, serve: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # If the server accepts and drops a connection at once, the reset may arrive before connect() returns.
    def reset(sock: socket.socket, address: object) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    server = serve(answers_ok)
    monkeypatch.setattr(socket.socket, "connect", reset)

    with pytest.raises(NotSentError):
        transport.exchange(asking(server.url))


def full_listener() -> tuple[socket.socket, list[socket.socket]]:
    """A listener with a full queue: the next connection attempt gets no reply."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        waiting.append(sock)
    return listener, waiting


def test_connect_timeout_is_not_sent(transport: HttpTransport) -> None:
    listener, waiting = full_listener()
    try:
        with pytest.raises(NotSentError):
            transport.exchange(asking(f"http://127.0.0.1:{listener.getsockname()[1]}", timeouts=SHORT))
    finally:
        for sock in [*waiting, listener]:
            sock.close()


def test_second_address_of_a_host_is_tried(
    transport: HttpTransport, serve: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answers_ok)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = listener.getsockname()
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (dead, ("127.0.0.1", server.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)

    assert transport.exchange(asking("http://gateway.invalid")).status == 200


def test_deadline_that_ends_at_the_first_address_is_not_sent(
    transport: HttpTransport, serve: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answers_ok)
    listener, waiting = full_listener()
    addresses = (listener.getsockname(), ("127.0.0.1", server.port))
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    try:
        with pytest.raises(NotSentError):
            transport.exchange(asking("http://gateway.invalid", timeouts=Timeouts(0.3, 0.3, 0.3)))
    finally:
        for sock in [*waiting, listener]:
            sock.close()
    assert server.connection_count == 0


def test_certificate_of_an_unknown_authority_is_not_sent(transport: HttpTransport, serve: ServerFactory) -> None:
    server = serve(answers_ok, tls=server_context(trustme.CA(), "localhost"))

    with pytest.raises(NotSentError):
        transport.exchange(asking(server.tls_url))
    assert server.requests == []


def test_certificate_of_another_name_is_not_sent(
    transport: HttpTransport, serve: ServerFactory, authority: trustme.CA
) -> None:
    server = serve(answers_ok, tls=server_context(authority, "elsewhere.example"))

    with pytest.raises(NotSentError):
        transport.exchange(asking(server.tls_url))
    assert server.requests == []


def answers_without_tls(peer: Peer) -> None:
    peer.sock.recv(65536)
    peer.answer(b"{}")


def closes(peer: Peer) -> None:
    peer.sock.recv(65536)


def hangs(peer: Peer) -> None:
    peer.hold()


def resets(peer: Peer) -> None:
    peer.sock.recv(65536)
    peer.reset()


@pytest.mark.parametrize("in_handshake", [answers_without_tls, closes, hangs, resets])
def test_broken_handshake_is_not_sent(
    transport: HttpTransport, serve: ServerFactory, in_handshake: Callable[[Peer], None]
) -> None:
    server = serve(in_handshake)

    with pytest.raises(NotSentError):
        transport.exchange(asking(server.tls_url, timeouts=SHORT if in_handshake is hangs else LONG))


# --- the outcome is unknown --------------------------------------------------------------------


def answers_ok(peer: Peer) -> None:
    while peer.read_request():
        peer.answer(b'{"ok": true}')


def resets_unread(peer: Peer) -> None:
    peer.sock.recv(1, socket.MSG_PEEK)  # wait for the first bytes, and leave them unread
    peer.reset()


def resets_after_reading(peer: Peer) -> None:
    peer.read_request()
    peer.reset()


def closes_after_reading(peer: Peer) -> None:
    peer.read_request()


def answers_nothing(peer: Peer) -> None:
    peer.read_request()
    peer.hold()


def after_reading(content: bytes) -> Callable[[Peer], None]:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send(content)

    return behave


def resets_in_body(peer: Peer) -> None:
    peer.read_request()
    peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"half":')
    peer.reset()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

UNKNOWN_CASES: dict[str, Callable[[Peer], None]] = {
    "reset without reading": resets_unread,
    "reset after reading": resets_after_reading,
    "closed after reading": closes_after_reading,
    "no answer": answers_nothing,
    "reset in the body": resets_in_body,
    "end in the body": after_reading(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"half":'),
    "end in a chunk": after_reading(CHUNKED + b'20\r\n{"half":'),
    "bad chunk": after_reading(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    "bad gzip": after_reading(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip"),
    "half of a gzip": after_reading(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + gzip.compress(bytes(500))[:20]
    ),
    "unknown coding": after_reading(b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"),
    "no HTTP": after_reading(b"\x00\x01\x02 no protocol\r\n\r\n"),
    "endless header": after_reading(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"),
    "too many headers": after_reading(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 150 + b"\r\n"),
}


def limits_of(case: str) -> Timeouts:
    return SHORT if case == "no answer" else LONG


@pytest.mark.parametrize("case", UNKNOWN_CASES)
@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "pooled"])
def test_lost_reply_is_unknown(transport: HttpTransport, serve: ServerFactory, case: str, fresh: bool) -> None:
    server = serve(UNKNOWN_CASES[case])

    with pytest.raises(OutcomeUnknownError):
        transport.exchange(asking(server.url, fresh=fresh, timeouts=limits_of(case)))
    assert server.connection_count == 1


@pytest.mark.parametrize("error", [ConnectionResetError, BrokenPipeError, TimeoutError])
def test_connection_that_breaks_during_the_write_is_unknown(
    transport: HttpTransport, serve: ServerFactory, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    # The bytes that were written before may have arrived.
    server = serve(resets_unread)
    write = socket.socket.sendall

    def breaks(sock: socket.socket, data: bytes, *flags: int) -> None:
        if not bytes(data).startswith(b"POST"):
            return write(sock, data, *flags)
        write(sock, bytes(data)[:20])
        raise error("during the write")

    monkeypatch.setattr(socket.socket, "sendall", breaks)

    with pytest.raises(OutcomeUnknownError):
        transport.exchange(asking(server.url, fresh=True))


@pytest.mark.parametrize("case", [case for case in UNKNOWN_CASES if case != "reset without reading"])
def test_lost_reply_over_tls_is_unknown(
    transport: HttpTransport, serve: ServerFactory, server_tls: ssl.SSLContext, case: str
) -> None:
    server = serve(UNKNOWN_CASES[case], tls=server_tls)

    with pytest.raises(OutcomeUnknownError):
        transport.exchange(asking(server.tls_url, fresh=True, timeouts=limits_of(case)))
    assert len(server.requests) == 1


def test_malformed_bytes_after_the_request_over_tls_is_unknown(
    transport: HttpTransport, serve: ServerFactory, server_tls: ssl.SSLContext
) -> None:
    # The exception alone looks like a failed handshake.
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send_raw(b"not a TLS record at all")
        peer.hold()

    server = serve(behave, tls=server_tls)

    with pytest.raises(OutcomeUnknownError):
        transport.exchange(asking(server.tls_url))


# --- the deadline ------------------------------------------------------------------------------
# Each of these replies is valid in the end: without a deadline the exchange would succeed.

PADDING = b"x" * DRIP_COUNT
DRIPS = {
    "status line": b"HTTP/1.1 200 " + PADDING + b"\r\nContent-Length: 2\r\n\r\n{}",
    "headers": b"HTTP/1.1 200 OK\r\nX-Slow: " + PADDING + b"\r\nContent-Length: 2\r\n\r\n{}",
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 8 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + PADDING,
    "chunks": CHUNKED + b"1\r\nx\r\n" * 40 + b"0\r\n\r\n",
}


@pytest.mark.parametrize("case", DRIPS)
def test_slow_reply_ends_at_the_deadline(transport: HttpTransport, serve: ServerFactory, case: str) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send_slowly(DRIPS[case])

    server = serve(behave)

    with pytest.raises(OutcomeUnknownError):
        transport.exchange(asking(server.url, timeouts=SHORT))


def test_slow_reply_over_tls_ends_at_the_deadline(
    transport: HttpTransport, serve: ServerFactory, server_tls: ssl.SSLContext
) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send_slowly(DRIPS["headers"])

    server = serve(behave, tls=server_tls)

    with pytest.raises(OutcomeUnknownError):
        transport.exchange(asking(server.tls_url, timeouts=SHORT))


def test_slow_handshake_ends_at_the_deadline_and_is_not_sent(
    transport: HttpTransport, serve: ServerFactory, server_tls: ssl.SSLContext
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = server_tls.wrap_bio(incoming, outgoing, server_side=True)

    def behave(peer: Peer) -> None:
        while not handshake_done(engine):
            peer.send_slowly(outgoing.read(), size=16)
            incoming.write(peer.receive())
        engine.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        peer.send(outgoing.read())
        peer.hold()

    server = serve(behave)

    with pytest.raises(NotSentError):
        transport.exchange(asking(server.tls_url, timeouts=SHORT))


def handshake_done(engine: ssl.SSLObject) -> bool:
    try:
        engine.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def test_deadline_in_the_past_is_not_sent(transport: HttpTransport, serve: ServerFactory) -> None:
    server = serve(answers_ok)

    with pytest.raises(NotSentError):
        transport.exchange(asking(server.url, timeouts=Timeouts(0.5, 0.5, 0.0)))
    assert server.requests == []


# --- size and redirects ---------------------------------------------------------------------------

LIMIT = 256 * 1024


def test_reply_of_256_kb_is_read(transport: HttpTransport, serve: ServerFactory) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.answer(b"x" * LIMIT)

    assert len(transport.exchange(asking(serve(behave).url)).body) == LIMIT


def test_request_sets_its_own_limit(transport: HttpTransport, serve: ServerFactory) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.answer(b"x" * (LIMIT + 1))

    request = replace(asking(serve(behave).url), reply_limit_bytes=LIMIT + 1)

    assert len(transport.exchange(request).body) == LIMIT + 1


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "502 Bad Gateway"])
def test_larger_reply_is_unknown(transport: HttpTransport, serve: ServerFactory, status: str) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.answer(b"x" * (LIMIT + 1), status=status, headers=["Location: /elsewhere"])

    server = serve(behave)

    with pytest.raises(OutcomeUnknownError):
        transport.exchange(asking(server.url))


def test_compressed_bomb_is_unknown(transport: HttpTransport, serve: ServerFactory) -> None:
    bomb = gzip.compress(bytes(50_000_000))

    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.answer(bomb, headers=["Content-Encoding: gzip"])

    server = serve(behave)

    with pytest.raises(OutcomeUnknownError, match="256 kB"):
        transport.exchange(asking(server.url))


def test_bomb_inside_a_bomb_is_not_decoded(transport: HttpTransport, serve: ServerFactory) -> None:
    bomb = gzip.compress(gzip.compress(bytes(5_000_000)))

    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.answer(bomb, headers=["Content-Encoding: gzip, gzip"])

    server = serve(behave)

    with pytest.raises(OutcomeUnknownError, match="content coding"):
        transport.exchange(asking(server.url))


def test_compressed_reply_is_decoded(transport: HttpTransport, serve: ServerFactory) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.answer(gzip.compress(b'{"status": "PENDING"}'), headers=["Content-Encoding: gzip"])

    assert transport.exchange(asking(serve(behave).url)).body == b'{"status": "PENDING"}'


@pytest.mark.parametrize("status", ["200 OK", "302 Found"])
def test_larger_reply_is_not_read_to_its_end(transport: HttpTransport, serve: ServerFactory, status: str) -> None:
    megabytes_taken: list[int] = []

    def behave(peer: Peer) -> None:
        peer.read_request()
        head = f"HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nContent-Length: {64 << 20}\r\n\r\n"
        peer.send(head.encode())
        for count in range(64):
            peer.send(bytes(1 << 20))
            megabytes_taken.append(count + 1)

    server = serve(behave)

    with pytest.raises(OutcomeUnknownError, match="256 kB"):
        transport.exchange(asking(server.url))
    server.wait_until_idle()
    assert len(megabytes_taken) < 32  # the kernel's buffers take some of it


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Same", "308 Same"])
def test_redirect_is_returned_and_not_followed(transport: HttpTransport, serve: ServerFactory, status: str) -> None:
    elsewhere = serve(answers_ok)

    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.answer(b"gone", status=status, headers=[f"Location: {elsewhere.url}"])

    reply = transport.exchange(asking(serve(behave).url))

    assert (reply.status, reply.body) == (int(status[:3]), b"gone")
    assert elsewhere.connection_count == 0


@pytest.mark.parametrize("status", [200, 202, 400, 401, 429, 500, 502, 503])
def test_reply_of_any_status_is_returned(transport: HttpTransport, serve: ServerFactory, status: int) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.answer(b"said", status=f"{status} Words", headers=["Retry-After: 7"])

    reply = transport.exchange(asking(serve(behave).url))

    assert (reply.status, reply.body, reply.headers["retry-after"]) == (status, b"said", "7")
