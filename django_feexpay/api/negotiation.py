"""One format, and nothing in the address changes it."""

from __future__ import annotations

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation


class JSONOnly(DefaultContentNegotiation):
    """By the Accept header alone: `?format=` is a parameter like any other, whatever the host's REST_FRAMEWORK says."""

    def filter_renderers(self, renderers: Any, format: str) -> Any:
        return renderers
