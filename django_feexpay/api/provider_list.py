"""The cached body of `GET providers/`.

The shared cache keeps it for an hour by filters and language. When a Provider row or a circuit breaker changes,
`cache_state.invalidate` makes it stale at once in every process. When several requests miss the cache at the same time,
one thread renders for all of them. If the cache fails, each request renders its own list.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass

from django_feexpay import __version__, cache_state
from django_feexpay.api.filters import ProviderQuery
from django_feexpay.api.outputs import provider_body
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.etags import etag
from django_feexpay.models import Provider
from django_feexpay.monitoring import process_metrics
from django_feexpay.payments.admission import circuit_breaker, trouble

_CACHE_SECONDS = 3600
#: `max-age` for clients: short, because a provider can change at any time.
_CLIENT_SECONDS = 60
_LOCK_SECONDS = 5
_WAIT_STEP_SECONDS = 0.05
_WAIT_STEPS = 40

_render_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class ProviderList:
    """An answer: its body, its ETag, and the seconds of its `max-age`."""

    body: bytes
    tag: str
    client_seconds: int


def provider_list(query: ProviderQuery, language: str) -> ProviderList:
    """The providers that match, in a language. A cache hit needs no database statement."""
    version = cache_state.version(cache_state.PROVIDERS)
    if not version:
        return _render(query, language)[0]
    # The release is part of the name: it may change the catalogue or the body.
    name = ":".join((cache_state.PROVIDERS, version, __version__, language, query.country, query.kind, query.currency))
    cached = _cached(name)
    process_metrics.note_provider_list(hit=cached is not None)
    return cached or _refill(name, query, language)


def _cached(name: str) -> ProviderList | None:
    return cache_state.read((name,)).get(name)


def _refill(name: str, query: ProviderQuery, language: str) -> ProviderList:
    """Render in one thread of one process. The others wait for that copy and render their own only if none appears."""
    with _render_lock:
        if cached := _cached(name):
            return cached
        lock = f"{name}:lock"
        if not cache_state.put_first(lock, 1, _LOCK_SECONDS, otherwise=True):
            for _step in range(_WAIT_STEPS):
                time.sleep(_WAIT_STEP_SECONDS)
                if cached := _cached(name):
                    return cached
            return _render(query, language)[0]
        try:
            rendered, seconds = _render(query, language)
            cache_state.put(name, rendered, seconds)
        finally:
            cache_state.drop(lock)
        return rendered


def _render(query: ProviderQuery, language: str) -> tuple[ProviderList, int]:
    """The list, and the seconds it may be cached: at most until an open circuit breaker allows its next probe."""
    blocked = circuit_breaker.seconds_until_probe(CATALOGUE)
    rows = [row for row in Provider.objects.filter(pk__in=CATALOGUE) if query.matches(row)]
    bodies = [provider_body(row, language, trouble=_trouble(row.pk, blocked)) for row in rows]
    seconds = min(blocked.values(), default=_CACHE_SECONDS)
    body = json.dumps(bodies, ensure_ascii=False, separators=(",", ":")).encode()
    return ProviderList(body, etag(bodies), min(seconds, _CLIENT_SECONDS)), seconds


def _trouble(code: str, blocked: dict[str, int]) -> str:
    circuit = trouble.circuit_of(code, blocked)
    return trouble.for_payers(circuit) if circuit else ""
