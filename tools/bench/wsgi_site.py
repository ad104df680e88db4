"""Calls the WSGI application in this process, so that no server or socket is measured."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from typing import Any

from django.core.wsgi import get_wsgi_application


class Site:
    """The WSGI application. Raises RuntimeError for an unexpected status, because its time would mean nothing."""

    def __init__(self) -> None:
        self._application = get_wsgi_application()

    def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        expected: int = 200,
    ) -> bytes:
        """Send a request and return the body of the answer."""
        seen: list[str] = []

        def start_response(status: str, headers: Any, error: Any = None, /) -> Callable[[bytes], object]:
            seen.append(status)
            return io.BytesIO().write

        answer = self._application(_environ(method, path, body, headers or {}), start_response)
        content = b"".join(answer)
        answer.close()
        if not seen[0].startswith(str(expected)):
            raise RuntimeError(f"{method} {path} answered {seen[0]}: {content[:300]!r}")
        return content


def _environ(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    path, _, query = path.partition("?")
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    of_body = {
        name: named.pop(f"HTTP_{name}") for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if f"HTTP_{name}" in named
    }
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        **named,
        **of_body,
    }
