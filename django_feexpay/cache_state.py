"""What all processes know of each other at this moment, in Django's cache. A cache that is away is no error here.

Nothing about money rests on it: lost, it costs a protection for a while, never a payment. Away, every reader gets its
`otherwise`; that is logged once, and the cache is left alone for some seconds, because each question to a Redis that
hangs costs its whole timeout.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.core.cache import cache

from django_feexpay.counters import cache_counts, counters

logger = logging.getLogger("django_feexpay.payments")

#: The list of ways to pay, as rendered for doors.
PROVIDERS = "providers"

_LEFT_ALONE_SECONDS = 5.0
_EDITION_SECONDS = 7 * 86_400

Value = TypeVar("Value")


class _Line:
    """Whether the cache of this process answers."""

    def __init__(self) -> None:
        self._away_until: float | None = None

    def use(self, work: Callable[[], Value], otherwise: Value, *, insist: bool = False) -> Value:
        """`insist`: try it also while the cache is left alone."""
        if not insist and self._away_until is not None and time.monotonic() < self._away_until:
            return otherwise
        try:
            value = work()
        except Exception as error:  # the host chooses the cache, so its errors have no common name
            self._went(error)
            return otherwise
        self._came()
        return value

    def _went(self, error: Exception) -> None:
        if self._away_until is None:
            logger.error("the cache is away, going on without it: %s", type(error).__name__)
        self._away_until = time.monotonic() + _LEFT_ALONE_SECONDS

    def _came(self) -> None:
        if self._away_until is not None:
            self._away_until = None
            logger.warning("the cache is back")


_line = _Line()


def read(names: Iterable[str]) -> dict[str, Any]:
    """What is known under these names, counts included; what is not is left out."""
    keys = {_key(name): name for name in names}
    nothing: dict[str, Any] = {}
    found = _line.use(lambda: _read(list(keys)), nothing)
    return {keys[key]: value for key, value in found.items()}


def put(name: str, value: Any, seconds: float) -> None:
    """Write it down for so long."""
    _line.use(lambda: cache.set(_key(name), value, seconds), None)


def put_first(name: str, value: Any, seconds: float, *, otherwise: bool) -> bool:
    """Write it down unless it is there; True for the one who did. `otherwise`: the answer without a cache."""
    return bool(_line.use(lambda: cache.add(_key(name), value, seconds), otherwise))


def take(name: str, seconds: float, *, otherwise: bool) -> bool:
    """Take what one caller may hold for so long, or until `drop`; True for that caller, exact on every cache.
    `otherwise`: the answer without a cache.
    """
    return _line.use(lambda: counters().set_first(_key(name), 1, seconds), otherwise)


def count_up(name: str, seconds: float) -> int:
    """How often this was said within `seconds` of its first time, this time included; 0 without a cache."""
    return _line.use(lambda: counters().increase(_key(name), seconds), 0)


def drop(*names: str) -> None:
    """Forget these."""
    _line.use(lambda: _drop([_key(name) for name in names]), None)


def edition(name: str) -> str:
    """The edition of something kept under keys that bear it: a new one makes all of them stale at once, everywhere.
    "" without a cache. Never used twice, so that a cache which forgot it brings nothing old back.
    """
    key = _key(f"edition:{name}")
    return _line.use(lambda: str(cache.get_or_set(key, _new_edition, _EDITION_SECONDS)), "")


def renew(name: str) -> None:
    """A new edition from now on. Insists: what is missed here stays wrong."""
    _line.use(lambda: cache.set(_key(f"edition:{name}"), _new_edition(), _EDITION_SECONDS), None, insist=True)


def _read(keys: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = cache.get_many(keys)
    return found if cache_counts() else found | dict(counters().read(keys))


def _drop(keys: list[str]) -> None:
    cache.delete_many(keys)
    if not cache_counts():
        counters().forget(keys)


def _key(name: str) -> str:
    return f"feexpay:{name}"


def _new_edition() -> str:
    return uuid.uuid4().hex
