"""Short-lived state that all processes share, in Django's cache. An unavailable cache raises nothing.

Payments work without the cache, but circuit breakers and shared limits do not. While it is unavailable, each function
returns its argument `otherwise` or a fixed default. The outage is logged once. Then the cache is skipped for some
seconds, because each call to a Redis that hangs takes a whole timeout.
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

#: The rendered list of providers.
PROVIDERS = "providers"

_SKIP_SECONDS = 5.0
_VERSION_SECONDS = 7 * 86_400

Value = TypeVar("Value")


class _Availability:
    """Whether the cache answers this process."""

    def __init__(self) -> None:
        self._skip_until: float | None = None

    def use(self, work: Callable[[], Value], otherwise: Value, *, even_while_skipped: bool = False) -> Value:
        """Run `work` on the cache; `otherwise` if the cache is unavailable."""
        if not even_while_skipped and self._skip_until is not None and time.monotonic() < self._skip_until:
            return otherwise
        try:
            value = work()
        except Exception as error:  # the host chooses the cache, so its errors have no common base
            if self._skip_until is None:
                logger.error("the cache does not answer, continuing without it: %s", type(error).__name__)
            self._skip_until = time.monotonic() + _SKIP_SECONDS
            return otherwise
        if self._skip_until is not None:
            self._skip_until = None
            logger.warning("the cache answers again")
        return value

    def forget(self) -> None:
        self._skip_until = None


_availability = _Availability()


def read(names: Iterable[str]) -> dict[str, Any]:
    """The values under these names, counts included; a name without a value is left out."""
    keys = {_key(name): name for name in names}
    nothing: dict[str, Any] = {}
    found = _availability.use(lambda: _read(list(keys)), nothing)
    return {keys[key]: value for key, value in found.items()}


def put(name: str, value: Any, seconds: float) -> None:
    _availability.use(lambda: cache.set(_key(name), value, seconds), None)


def put_first(name: str, value: Any, seconds: float, *, otherwise: bool) -> bool:
    """Write a value unless there is one; True for the caller that wrote it. `otherwise`: the result without a cache."""
    return bool(_availability.use(lambda: cache.add(_key(name), value, seconds), otherwise))


def take(name: str, seconds: float, *, otherwise: bool) -> bool:
    """Take a lock that one caller holds for `seconds`, or until `drop`; True for that caller. Exact on every cache.

    `otherwise`: the result without a cache.
    """
    return _availability.use(lambda: counters().set_first(_key(name), 1, seconds), otherwise)


def count_up(name: str, seconds: float, by: int = 1) -> int:
    """The number of events within `seconds` of the first one, these `by` events included; 0 without a cache."""
    return _availability.use(lambda: counters().increase(_key(name), seconds, by), 0)


def attempt(work: Callable[[], Value], otherwise: Value) -> Value:
    """Run `work`, which uses the cache; `otherwise` without a cache."""
    return _availability.use(work, otherwise)


def drop(*names: str) -> None:
    _availability.use(lambda: _drop([_key(name) for name in names]), None)


def version(name: str) -> str:
    """The current version of cached copies, a part of their keys; "" without a cache.

    Random, so a cache that lost it cannot serve old copies again.
    """
    key = _key(f"version:{name}")
    return _availability.use(lambda: str(cache.get_or_set(key, _new_version, _VERSION_SECONDS)), "")


def invalidate(name: str) -> None:
    """Make all cached copies stale. Tried also while the cache is skipped: without it, stale copies stay in use."""
    key = _key(f"version:{name}")
    _availability.use(lambda: cache.set(key, _new_version(), _VERSION_SECONDS), None, even_while_skipped=True)


def _read(keys: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = cache.get_many(keys)
    return found if cache_counts() else found | dict(counters().read(keys))


def _drop(keys: list[str]) -> None:
    cache.delete_many(keys)
    if not cache_counts():
        counters().forget(keys)


def _key(name: str) -> str:
    return f"feexpay:{name}"


def _new_version() -> str:
    return uuid.uuid4().hex


def forget() -> None:
    """Forget that the cache did not answer, for tests."""
    _availability.forget()
