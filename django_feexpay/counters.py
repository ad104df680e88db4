"""Counts that all processes share, exact under concurrency: the one place that counts.

A cache counts by itself where its `incr` is one atomic step: Redis, Memcached, the memory of one process. Django's
database and file caches inherit `BaseCache.incr`, a read and a write, so 800 parallel requests passed a limit of 100.
Where the cache cannot count, the counts stand in our own table (`models.Counter`), one upsert each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, cast

from django.apps import apps
from django.core.cache import cache, caches
from django.core.cache.backends.base import BaseCache


class Counters(Protocol):
    """Whole numbers by key, each forgotten some seconds after it was written first. Raises what its store raises."""

    def read(self, keys: Iterable[str]) -> Mapping[str, int]:
        """The numbers under these keys; what is not known is left out."""

    def set_first(self, key: str, value: int, seconds: float) -> bool:
        """Write a number unless there is one; True for the one caller who did."""

    def increase(self, key: str, seconds: float) -> int:
        """Add one, from nothing to 1; the number after it. No two callers get the same one."""

    def keep(self, key: str, seconds: float) -> None:
        """Keep a number for so long from now on, if it is there."""

    def forget(self, keys: Iterable[str]) -> None:
        """Drop these."""


def counters() -> Counters:
    """The store that can count: the default cache, else our table."""
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

    def increase(self, key: str, seconds: float) -> int:
        if cache.add(key, 1, seconds):
            return 1
        try:
            return int(cache.incr(key))
        except ValueError:  # it ran out in between
            return 1 if cache.add(key, 1, seconds) else int(cache.incr(key))

    def keep(self, key: str, seconds: float) -> None:
        cache.touch(key, seconds)

    def forget(self, keys: Iterable[str]) -> None:
        cache.delete_many(list(keys))
