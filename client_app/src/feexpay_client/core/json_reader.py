"""Strict reading of JSON: a missing member or a wrong type raises MalformedAnswer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from feexpay_client.core.errors import MalformedAnswer

#: A page of 100 payments is about 100 kB.
LARGEST_BODY = 4_000_000


class Fields:
    """One JSON object. Each method reads one member or raises MalformedAnswer naming it.

    `maybe_…` accept null.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise MalformedAnswer(f"{where}: not an object")
        self._members: Mapping[str, Any] = value
        self._where = where

    def text(self, name: str) -> str:
        value: str = self._of(name, str)
        return value

    def maybe_text(self, name: str) -> str | None:
        return None if self._get(name) is None else self.text(name)

    def optional_text(self, name: str) -> str | None:
        """Text, or None where the member is missing or null."""
        return self.text(name) if self._members.get(name) is not None else None

    def integer(self, name: str) -> int:
        value = self._get(name)
        if type(value) is not int:  # isinstance would accept True
            raise MalformedAnswer(f"{self._where}.{name}: not an integer")
        return value

    def maybe_integer(self, name: str) -> int | None:
        return None if self._get(name) is None else self.integer(name)

    def number(self, name: str) -> float:
        value = self._get(name)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise MalformedAnswer(f"{self._where}.{name}: not a number")
        return float(value)

    def flag(self, name: str) -> bool:
        value: bool = self._of(name, bool)
        return value

    def instant(self, name: str) -> datetime:
        text = self.text(name)
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise MalformedAnswer(f"{self._where}.{name}: not a date and time") from None
        if at.tzinfo is None:
            raise MalformedAnswer(f"{self._where}.{name}: a time without UTC offset")
        return at

    def maybe_instant(self, name: str) -> datetime | None:
        return None if self._get(name) is None else self.instant(name)

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._each(name, str))

    def integers(self, name: str) -> tuple[int, ...]:
        return tuple(self._each(name, int))

    def objects(self, name: str) -> list[Any]:
        value: list[Any] = self._of(name, list)
        return value

    def object(self, name: str) -> Any:
        value: dict[str, Any] = self._of(name, dict)
        return value

    def maybe_object(self, name: str) -> Any:
        return None if self._get(name) is None else self.object(name)

    def all(self) -> Mapping[str, Any]:
        """The whole JSON object."""
        return self._members

    def _each(self, name: str, kind: type[Any]) -> list[Any]:
        values: list[Any] = self._of(name, list)
        if not all(type(value) is kind for value in values):
            raise MalformedAnswer(f"{self._where}.{name}: not all of type {kind.__name__}")
        return values

    def _of(self, name: str, kind: type[Any]) -> Any:
        value = self._get(name)
        if not isinstance(value, kind):
            raise MalformedAnswer(f"{self._where}.{name}: not of type {kind.__name__}")
        return value

    def _get(self, name: str) -> Any:
        try:
            return self._members[name]
        except KeyError:
            raise MalformedAnswer(f"{self._where}.{name}: missing") from None


def parse(raw: bytes, where: str) -> Any:
    """The JSON value of a body. Raises MalformedAnswer."""
    if len(raw) > LARGEST_BODY:
        raise MalformedAnswer(f"{where}: too large")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise MalformedAnswer(f"{where}: not JSON") from None


def listed(value: object, where: str) -> list[Any]:
    """A JSON array. Raises MalformedAnswer."""
    if not isinstance(value, list):
        raise MalformedAnswer(f"{where}: not an array")
    return value
