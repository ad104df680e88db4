"""The sample project under gunicorn, in several processes on the test database, for tests over real sockets.

As a module it is the WSGI application: `LIMITED_SITE` holds what it changes of Django's settings, as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings

ROOT = Path(__file__).resolve().parents[1]
_CHANGES = "LIMITED_SITE"
_START_SECONDS = 60


@contextmanager
def gunicorn(
    *, workers: int, threads: int, caches: dict[str, Any], slow_body_seconds: int = 5, **feexpay: Any
) -> Iterator[tuple[str, int]]:
    """Run gunicorn on a free port; yield its host and port. `feexpay`: changed keys of FEEXPAY."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        listener.set_inheritable(True)
        database = urlsplit(os.environ["DATABASE_URL"])
        name = settings.DATABASES["default"]["NAME"]
        environment = os.environ | {
            "DATABASE_URL": urlunsplit(database._replace(path=f"/{name}")),
            "DJANGO_SETTINGS_MODULE": "config.settings.testing",
            "PYTHONPATH": f"{ROOT}:{ROOT}/sample_project",
            _CHANGES: json.dumps({"CACHES": caches, "FEEXPAY": feexpay, "SLOW": slow_body_seconds}),
        }
        command = [sys.executable, "-m", "gunicorn", "tests.limited_site", "--log-level=error"]
        command += [f"--workers={workers}", f"--threads={threads}", f"--bind=fd://{listener.fileno()}"]
        server = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[listener.fileno()])
        try:
            address = listener.getsockname()
            wait_until_answering(address)
            yield address
        finally:
            server.terminate()
            server.wait(30)


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A raw request that keeps its connection open."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer: its status, its headers in lower case, its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += _some(connection)
    return int(status.split()[1]), headers, body


def ask(address: tuple[str, int], request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send one request on a connection of its own."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(request)
        return answer(connection)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data


def wait_until_answering(address: tuple[str, int]) -> None:
    """The listener accepts before gunicorn runs, so wait for an answer."""
    give_up_at = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up_at:
        try:
            ask(address, b"GET /nothing/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("gunicorn does not answer")


def _application() -> Any:
    from django.core.wsgi import get_wsgi_application

    changes = json.loads(os.environ[_CHANGES])
    settings.CACHES = changes["CACHES"]
    settings.FEEXPAY |= changes["FEEXPAY"]
    settings.DATABASES["default"]["CONN_MAX_AGE"] = 60
    application = get_wsgi_application()
    from django_feexpay.webhooks import slow_bodies

    slow_bodies.SECONDS = changes["SLOW"]
    return application


if _CHANGES in os.environ:  # in gunicorn's processes
    application = _application()
