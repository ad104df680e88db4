"""Content negotiation: by the Accept header, and for exports first by `?format=`."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from django_feexpay.exports import FORMATS
from django_feexpay.live_status.streaming import MEDIA_TYPE


class JSONOnly(DefaultContentNegotiation):
    """Ignores the host's URL_FORMAT_OVERRIDE: `?format=` is an ordinary parameter."""

    def filter_renderers(self, renderers: Any, format: str) -> Any:
        return renderers


class FormatInAddress(JSONOnly):
    """Chooses by `?format=` before Accept, because a link in a page cannot set headers."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        name = request.query_params.get("format")
        if name is None:
            return super().select_renderer(request, renderers, format_suffix)
        for renderer in renderers:
            if renderer.format == name:
                return renderer, renderer.media_type
        raise NotAcceptable


class EventStreamRenderer(JSONRenderer):
    """Renders only problems, as JSON: `live_status` streams the events itself without a renderer."""

    format = "events"
    media_type = MEDIA_TYPE


class CSVRenderer(JSONRenderer):
    """Renders only problems, as JSON: `exports` streams the file itself without a renderer."""

    format = "csv"
    media_type = FORMATS["csv"].media_type


class XLSXRenderer(CSVRenderer):
    format = "xlsx"
    media_type = FORMATS["xlsx"].media_type
