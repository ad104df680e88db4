"""Counters that all processes share, exact under concurrency.

The default cache counts if its `incr` is atomic: Redis, Memcached, local memory. Django's database and file caches
inherit `BaseCache.incr`, a read followed by a write: with them 800 parallel requests exceeded a limit of 100
(measured). In that case the counters are rows of our own table (`models.Counter`), with one upsert per count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, cast

from django.apps import apps
from django.core.cache import cache, caches
from django.core.cache.backends.base import BaseCache


class Counters(Protocol):
    """Integers by key, each with an expiry. Raises the errors of its store."""

    def read(self, keys: Iterable[str]) -> Mapping[str, int]:
        """The values of these keys; unknown keys are left out."""

    def set_first(self, key: str, value: int, seconds: float) -> bool:
        """Write a value unless the key exists; True for the one caller that wrote it."""

    def increase(self, key: str, seconds: float, by: int = 1) -> int:
        """Add `by` (a new key begins at 0) and return the value. No two callers get the same value."""

    def keep(self, key: str, seconds: float) -> None:
        """Set the expiry of an existing key to `seconds` from now."""

    def forget(self, keys: Iterable[str]) -> None:
        """Delete these keys."""


def counters() -> Counters:
    """The default cache if it can count, else our table."""
    if cache_counts():
        return _CacheCounters()
    return cast(Counters, apps.get_model("feexpay.Counter")._default_manager)  # the models import this package


def cache_counts() -> bool:
    """Whether the default cache has an atomic `incr` of its own."""
    return type(caches["default"]).incr is not BaseCache.incr


class _CacheCounters:
    """`Counters` over the default cache."""

    def read(self, keys: Iterable[str]) -> Mapping[str, int]:
        found: Mapping[str, int] = cache.get_many(list(keys))
        return found

    def set_first(self, key: str, value: int, seconds: float) -> bool:
        return bool(cache.add(key, value, seconds))

    def increase(self, key: str, seconds: float, by: int = 1) -> int:
        if cache.add(key, by, seconds):
            return by
        try:
            return int(cache.incr(key, by))
        except ValueError:  # it expired in between
            return by if cache.add(key, by, seconds) else int(cache.incr(key, by))

    def keep(self, key: str, seconds: float) -> None:
        cache.touch(key, seconds)

    def forget(self, keys: Iterable[str]) -> None:
        cache.delete_many(list(keys))
