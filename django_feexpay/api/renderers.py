"""Renderers of the export formats, so that `?format=` and `Accept` choose between them."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from django_feexpay.api.negotiation import JSONOnly
from django_feexpay.exports import FORMATS


class ExportRenderer(JSONRenderer):
    """Renders only problems, as JSON: the file itself is streamed without a renderer."""


class CSVRenderer(ExportRenderer):
    format = "csv"
    media_type = FORMATS["csv"].media_type


class XLSXRenderer(ExportRenderer):
    format = "xlsx"
    media_type = FORMATS["xlsx"].media_type


class FormatInAddress(JSONOnly):
    """`?format=` decides before Accept, because a link in a page cannot set headers."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        name = request.query_params.get("format")
        if name is None:
            return super().select_renderer(request, renderers, format_suffix)
        for renderer in renderers:
            if renderer.format == name:
                return renderer, renderer.media_type
        raise NotAcceptable
