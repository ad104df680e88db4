"""A local webhook endpoint that records deliveries and answers with a chosen code."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed


@dataclass(slots=True)
class Receiver:
    """`answer` returns the HTTP code for each delivery, and may be slow."""

    url: str
    answer: Callable[[Received], int] = lambda _received: 200
    _received: list[Received] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, received: Received) -> int:
        with self._changed:
            self._received.append(received)
            self._changed.notify_all()
        return self.answer(received)

    def about(self, reference: str) -> list[Received]:
        return [one for one in list(self._received) if one.body.get("reference") == reference]

    def wait_for_one(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first body for which `wanted` is true. Raises AssertionError after 60 s."""

        def found() -> dict[str, Any] | None:
            return next((one.body for one in list(self._received) if wanted(one.body)), None)

        with self._changed:
            body = self._changed.wait_for(found, timeout=60)
        assert body is not None, "no such webhook arrived"
        return body

    def wait_for(self, reference: str, count: int = 1) -> list[Received]:
        """The first `count` deliveries about `reference`. Raises AssertionError after 60 s."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.about(reference)) >= count, timeout=60)
        assert arrived, f"{len(self.about(reference))} of {count} deliveries arrived"
        return self.about(reference)[:count]


@contextmanager
def receive_webhooks(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.take(Received(self.path, dict(self.headers), raw)))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *values: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        receiver = Receiver(f"{scheme}://127.0.0.1:{server.server_port}/webhook/?token=t1")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
