"""Server-Sent Events, as the HTML standard defines them: bytes in, events out."""

from __future__ import annotations

from dataclasses import dataclass

from feexpay_client.core.errors import MalformedAnswer
from feexpay_client.core.json_reader import LARGEST_BODY


@dataclass(frozen=True, slots=True)
class StreamEvent:
    id: str
    data: str


class EventParser:
    """Feed it what arrives, in pieces of any size. `retry_seconds`: when to connect again, if the server said so."""

    def __init__(self) -> None:
        self.retry_seconds: float | None = None
        self._rest = b""
        self._id = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """The events that this chunk completes. Raises MalformedAnswer if they hold more than our server ever sends."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) + sum(map(len, self._data)) > LARGEST_BODY:
            raise MalformedAnswer("event: too large")
        found = []
        for line in lines:
            if event := self._take(line.removesuffix(b"\r").decode(errors="replace")):
                found.append(event)
        return found

    def _take(self, line: str) -> StreamEvent | None:
        """Read one line; an empty one completes an event."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            data, self._data = self._data, []
            return StreamEvent(self._id, "\n".join(data)) if data else None
        if name == "id":
            self._id = value
        elif name == "data":
            self._data.append(value)
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_seconds = int(value[:9]) / 1000
        return None
