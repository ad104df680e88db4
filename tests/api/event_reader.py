"""Reads an event stream over a socket, as a browser does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from types import TracebackType
from typing import Any, Self

from tests.api.caller import BASE

_SECONDS = 60


@dataclass(frozen=True)
class Event:
    tag: str
    body: dict[str, Any]


class EventReader:
    """One open stream. `status` and `headers` are there at once; each read waits for at most a minute."""

    def __init__(
        self,
        address: tuple[str, int],
        payment_id: object,
        token: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        base: str = BASE,
    ) -> None:
        self._connection = HTTPConnection(*address, timeout=_SECONDS)
        sent = {"Accept": "text/event-stream", **(headers or {})}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        self._connection.request("GET", f"{base}{payment_id}/events/", headers=sent)
        self._response = self._connection.getresponse()
        self.status, self.headers = self._response.status, self._response.headers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()
        self._connection.close()

    def block(self) -> dict[str, str] | None:
        """The fields up to the next empty line, those of a comment under ""; None at the end of the stream."""
        fields: dict[str, str] = {}
        while line := self._response.readline().decode().rstrip("\n"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        return fields or None

    def event(self) -> Event | None:
        """The next event; None at the end of the stream."""
        while (block := self.block()) is not None:
            if "data" in block:
                return Event(block["id"], json.loads(block["data"]))
        return None

    def rest(self) -> bytes:
        return self._response.read()
