"""Latencies and counts that only this process knows, for Prometheus. Without the extra `metrics` nothing is counted.

What the database knows is read at the scrape (`database_metrics.py`), so a restart loses none of it. With
PROMETHEUS_MULTIPROC_DIR all processes of a machine, the workers included, write into that directory, and a scrape of
any web process adds them up. Every label has few values.
"""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from django_feexpay.gateway.client import CallSeen

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

logger = logging.getLogger("django_feexpay.monitoring")

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
is_installed = find_spec("prometheus_client") is not None

_HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)
_CALL_SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120)
_ROUND_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)
_METHODS = frozenset({"GET", "HEAD", "POST"})


class _Meters:
    """The metrics of prometheus_client, which is imported only where it is installed."""

    def __init__(self) -> None:
        if directory := os.environ.get(DIRECTORY_VARIABLE):  # prometheus_client needs it before its first import
            Path(directory).mkdir(parents=True, exist_ok=True)
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry = CollectorRegistry()
        self.http = Histogram(
            "feexpay_http_request_seconds",
            "Time to answer a request, by route.",
            ("route", "method", "status"),
            buckets=_HTTP_SECONDS,
            registry=self.registry,
        )
        self.throttled = Counter(
            "feexpay_throttled", "Requests refused by a rate limit.", ("scope",), registry=self.registry
        )
        self.call_seconds = Histogram(
            "feexpay_gateway_call_seconds",
            "Time of a call to FeexPay; outcome: `answered` or the kind of error.",
            ("operation", "outcome"),
            buckets=_CALL_SECONDS,
            registry=self.registry,
        )
        self.calls = Counter(
            "feexpay_gateway_calls",
            "Calls to FeexPay by provider; provider is empty for calls about none.",
            ("operation", "provider", "outcome"),
            registry=self.registry,
        )
        self.rounds = Histogram(
            "feexpay_worker_round_seconds",
            "Time of one round of a worker: claiming due work and starting it.",
            buckets=_ROUND_SECONDS,
            registry=self.registry,
        )
        self.provider_lists = Counter(
            "feexpay_provider_list_reads",
            "Reads of the cached list of providers.",
            ("result",),
            registry=self.registry,
        )


_meters = _Meters() if is_installed else None


def note_answer(route: str, method: str, status: int, seconds: float) -> None:
    if _meters is not None:
        method = method if method in _METHODS else "other"  # a client may send any word
        _meters.http.labels(route, method, str(status)).observe(seconds)


def note_throttled(scope: str) -> None:
    if _meters is not None:
        _meters.throttled.labels(scope).inc()


def note_call(seen: CallSeen) -> None:
    """Count one call to FeexPay."""
    if _meters is not None:
        _meters.call_seconds.labels(seen.operation, seen.outcome).observe(seen.seconds)
        _meters.calls.labels(seen.operation, seen.provider_code or "", seen.outcome).inc()


def note_round(seconds: float) -> None:
    if _meters is not None:
        _meters.rounds.observe(seconds)


def note_provider_list(*, hit: bool) -> None:
    if _meters is not None:
        _meters.provider_lists.labels("hit" if hit else "miss").inc()


def registry() -> CollectorRegistry:
    """The counts of this process, or of all processes of this machine with PROMETHEUS_MULTIPROC_DIR."""
    assert _meters is not None  # noqa: S101 -- the caller asked is_installed
    if not os.environ.get(DIRECTORY_VARIABLE):
        return _meters.registry
    from prometheus_client import CollectorRegistry, multiprocess

    found = CollectorRegistry()
    multiprocess.MultiProcessCollector(found)  # type: ignore[no-untyped-call]  # prometheus_client's
    return found
