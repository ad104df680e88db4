"""`GET providers/` as bytes that are kept: most of what is asked here was asked a moment ago, by everybody.

Kept for an hour in the shared cache by what was asked for and in which language; stale at once, in every process, when
a Provider row or a breaker changes (`shared.renew`). One refill serves all who miss at the same time. Without the
cache each reader gets a fresh list.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass

from django.utils.translation import gettext as _

from django_feexpay import __version__, cache_state
from django_feexpay.api import filters
from django_feexpay.api.filters import Wanted
from django_feexpay.api.outputs import etag, provider_body
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.models import Provider
from django_feexpay.payments.admission import circuit_breaker

_KEPT_SECONDS = 3600
#: How long a client may keep it: what changes here changes at once, and a client should not be far behind.
_CLIENT_SECONDS = 60
_FILLING_SECONDS = 5
_PEEK_SECONDS = 0.05
_PEEKS = 40

_filling = threading.Lock()


@dataclass(frozen=True, slots=True)
class ProviderList:
    """The body of an answer, its tag, and how long a client may keep it."""

    body: bytes
    tag: str
    client_seconds: int


def provider_list(wanted: Wanted, language: str) -> ProviderList:
    """The providers that fit, in a language: kept, or rendered now. On a hit no statement goes to the database."""
    edition = cache_state.edition(cache_state.PROVIDERS)
    if not edition:
        return _render(wanted, language)[0]
    # A release may bring another catalogue and another shape.
    name = ":".join(
        (cache_state.PROVIDERS, edition, __version__, language, wanted.country, wanted.kind, wanted.currency)
    )
    return _kept(name) or _refill(name, wanted, language)


def _kept(name: str) -> ProviderList | None:
    return cache_state.read((name,)).get(name)


def _refill(name: str, wanted: Wanted, language: str) -> ProviderList:
    """By one thread of one process; the others wait for what it brings, and help themselves if it does not."""
    with _filling:
        if kept := _kept(name):
            return kept
        turn = f"{name}:filling"
        if not cache_state.put_first(turn, 1, _FILLING_SECONDS, otherwise=True):
            return _wait_for(name) or _render(wanted, language)[0]
        try:
            rendered, seconds = _render(wanted, language)
            cache_state.put(name, rendered, seconds)
        finally:
            cache_state.drop(turn)
        return rendered


def _wait_for(name: str) -> ProviderList | None:
    for _peek in range(_PEEKS):
        time.sleep(_PEEK_SECONDS)
        if kept := _kept(name):
            return kept
    return None


def _render(wanted: Wanted, language: str) -> tuple[ProviderList, int]:
    """The list, and for how many seconds it is true: trouble is shown until somebody may probe again."""
    closed = circuit_breaker.seconds_until_probe(CATALOGUE)
    rows = filters.choose(Provider.objects.filter(pk__in=CATALOGUE), wanted)
    bodies = [provider_body(row, language, trouble=_trouble(row.pk, closed)) for row in rows]
    seconds = min(closed.values(), default=_KEPT_SECONDS)
    body = json.dumps(bodies, ensure_ascii=False, separators=(",", ":")).encode()
    return ProviderList(body, etag(bodies), min(seconds, _CLIENT_SECONDS)), seconds


def _trouble(code: str, closed: dict[str, int]) -> str:
    if circuit_breaker.GATEWAY in closed:
        return _("FeexPay does not answer at the moment. Please try again in a few minutes.")
    if code in closed:
        return _("This operator has a problem at the moment. Please try again soon or choose another way to pay.")
    return ""
