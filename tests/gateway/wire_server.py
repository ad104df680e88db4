"""A TCP server that fails as a test says, byte by byte."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Self

from django_feexpay.gateway.transport import Timeouts

#: Where the peer answers or closes, however slow the machine is.
LONG = Timeouts(connect=60, read=60, total=60)
#: Where the peer stays silent, and the time limit is what ends the request.
SHORT = Timeouts(connect=0.5, read=0.5, total=1.0)

# A slow reply takes longer than any deadline of these tests, but is valid: a client without a deadline accepts it.
DRIP_COUNT = 200
DRIP_SECONDS = 0.05


class Peer:
    """One connection, on the server's side. number: 1 for the first connection of that server."""

    def __init__(self, sock: socket.socket, number: int, server: WireServer) -> None:
        self.sock = sock
        self.number = number
        self._server = server

    def read_request(self) -> bytes:
        """Read the next request with its body, and append it to `server.requests`."""
        text = b""
        while b"\r\n\r\n" not in text:
            text += self.receive()
        head, _, body = text.partition(b"\r\n\r\n")
        while len(body) < _content_length(head):
            body += self.receive()
        request = head + b"\r\n\r\n" + body
        self._server.requests.append(request)
        return request

    def send(self, content: bytes) -> None:
        self.sock.sendall(content)

    def send_raw(self, content: bytes) -> None:
        """Write to the socket without TLS."""
        os.write(self.sock.fileno(), content)

    def answer(self, body: bytes, *, status: str = "200 OK", headers: Iterable[str] = ()) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def send_slowly(self, content: bytes, size: int = 1) -> None:
        """Send `size` bytes every 50 ms, too often for any read timeout."""
        for index in range(0, len(content), size):
            self.send(content[index : index + size])
            if self._server.closing.wait(DRIP_SECONDS):
                return

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hold(self) -> None:
        """Send nothing until the client disconnects."""
        while self.sock.recv(4096):
            pass

    def receive(self) -> bytes:
        """Read some bytes. Raises: ConnectionError after the client has disconnected."""
        content = self.sock.recv(65536)
        if not content:
            raise ConnectionError("the client disconnected")
        return content


class WireServer:
    """Listens on 127.0.0.1 and lets `behave` handle each connection in a thread of its own.

    tls: wrap every connection before `behave` sees it; None leaves the handshake to `behave`.
    """

    def __init__(self, behave: Callable[[Peer], None], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connection_count = 0
        self.closing = threading.Event()
        self._behave = behave
        self._tls = tls
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(60)
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.wait_until_idle()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def tls_url(self) -> str:
        return f"https://localhost:{self.port}/api"

    def wait_until_idle(self) -> None:
        """Wait until every connection is closed."""
        for thread in self._threads:
            thread.join(60)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connection_count += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock, self.connection_count), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), sock:
            if self._tls is None:
                self._behave(Peer(sock, number, self))
                return
            with self._tls.wrap_socket(sock, server_side=True) as wrapped:
                self._open.append(wrapped)
                self._behave(Peer(wrapped, number, self))


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
