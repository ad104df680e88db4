"""The formats of an export, so that `?format=` and `Accept` choose one as they choose a renderer."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from django_feexpay.api.negotiation import JSONOnly
from django_feexpay.exports import FORMATS


class ExportRenderer(JSONRenderer):
    """A file is sent as it is read, past DRF's rendering; what is left to render is a problem, and that is JSON."""


class CSVRenderer(ExportRenderer):
    format = "csv"
    media_type = FORMATS["csv"].media_type


class XLSXRenderer(ExportRenderer):
    format = "xlsx"
    media_type = FORMATS["xlsx"].media_type


class FormatInAddress(JSONOnly):
    """`?format=` decides, whatever Accept says: a link in a page cannot choose its headers. Without it Accept does."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        name = request.query_params.get("format")
        if name is None:
            return super().select_renderer(request, renderers, format_suffix)
        for renderer in renderers:
            if renderer.format == name:
                return renderer, renderer.media_type
        raise NotAcceptable
