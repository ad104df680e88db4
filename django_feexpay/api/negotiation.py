"""Content negotiation by the Accept header alone."""

from __future__ import annotations

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation


class JSONOnly(DefaultContentNegotiation):
    """Ignore the host's URL_FORMAT_OVERRIDE: `?format=` is an ordinary parameter."""

    def filter_renderers(self, renderers: Any, format: str) -> Any:
        return renderers
