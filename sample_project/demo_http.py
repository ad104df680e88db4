"""HTTP requests of the demo, with the standard library only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from demo_processes import DemoError

_ANSWER_SECONDS = 20.0
_POLL_SECONDS = 0.1

Found = TypeVar("Found")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `body` is the parsed JSON, or None for other content."""

    status: int
    body: Any

    def expect(self, *statuses: int) -> Any:
        """Return the body if the status is one of these. Raises DemoError with the actual answer."""
        if self.status not in statuses:
            raise DemoError(f"expected HTTP {' or '.join(map(str, statuses))}, got {self.status}: {self.body}")
        return self.body


def ask(
    method: str,
    url: str,
    *,
    token: str = "",
    body: object = None,
    form: dict[str, str] | None = None,
    idempotency_key: str = "",
) -> Answer:
    """Send JSON or a form; follow no redirect. Raises DemoError when there is no answer."""
    headers = {"Accept": "application/json", "Accept-Language": "en"}
    content = None
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if idempotency_key:
        headers["Idempotency-Key"] = idempotency_key
    if form is not None:
        headers["Content-Type"], content = "application/x-www-form-urlencoded", urlencode(form)
    elif body is not None:
        headers["Content-Type"], content = "application/json", json.dumps(body)
    try:
        return _exchange(method, url, headers, content)
    except (OSError, HTTPException) as error:
        raise DemoError(f"no answer from {url}: {error}") from error


def events(url: str, *, token: str) -> Iterator[Any]:
    """Open an event stream at once, and yield each event's JSON. Raises DemoError if it does not open or breaks."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=_ANSWER_SECONDS)
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {token}", "Accept-Language": "en"}
    try:
        connection.request("GET", parts.path, headers=headers)
        response = connection.getresponse()
    except (OSError, HTTPException) as error:
        connection.close()
        raise DemoError(f"no answer from {url}: {error}") from error
    if response.status != 200:
        connection.close()
        raise DemoError(f"expected events, got HTTP {response.status}")
    return _events_of(connection, response)


def _events_of(connection: HTTPConnection, response: HTTPResponse) -> Iterator[Any]:
    with closing(connection):
        try:
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))
        except (OSError, HTTPException) as error:
            raise DemoError(f"the event stream broke: {error}") from error


def wait_for(what: str, find: Callable[[], Found | None], *, seconds: float = 20.0) -> Found:
    """Call `find` until it returns a value, and return the value. Raises DemoError after `seconds`."""
    give_up_at = time.monotonic() + seconds
    while True:
        found = find()
        if found is not None:
            return found
        if time.monotonic() > give_up_at:
            raise DemoError(f"{what}: not within {seconds:.0f} seconds")
        time.sleep(_POLL_SECONDS)


def answers(url: str) -> bool | None:
    """True if the address answers with 200, else None."""
    try:
        return ask("GET", url).status == 200 or None
    except DemoError:
        return None


def _exchange(method: str, url: str, headers: dict[str, str], content: str | None) -> Answer:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=_ANSWER_SECONDS)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), content, headers)
        response = connection.getresponse()
        raw = response.read()
    finally:
        connection.close()
    is_json = "json" in response.headers.get("Content-Type", "")
    return Answer(response.status, json.loads(raw) if is_json else None)
