"""Measures how long each answer of our URLs takes, for the metrics and the facts about slow and failing answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern

from django_feexpay.monitoring import http_counts, process_metrics

View = Callable[..., HttpResponseBase]


def measured(patterns: Iterable[URLPattern]) -> list[URLPattern]:
    """The same URL patterns with views that are measured. A route is named by the name of its pattern."""
    found = list(patterns)
    for pattern in found:
        pattern.callback = _measured(str(pattern.name), pattern.callback)
    return found


def _measured(route: str, view: View) -> View:
    @wraps(view)  # also copies what other programs read from a view: `view_class`, `cls`, `csrf_exempt`
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        began_at, status = time.monotonic(), 500
        try:
            response = view(request, *args, **kwargs)
            status = response.status_code
            return response
        finally:
            seconds = time.monotonic() - began_at
            http_counts.note(route, status, seconds)
            process_metrics.note_answer(route, str(request.method), status, seconds)

    return answer
