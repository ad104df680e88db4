"""`GET metrics/`: the metrics in the text format of Prometheus, for a monitor's token or an allowed network."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views import View

from django_feexpay.api.monitors import has_monitor_token, is_in_monitor_network
from django_feexpay.monitoring import process_metrics
from django_feexpay.problems import problem_response


class MetricsView(View):
    """Answers 200, 401, 405; 503 `not_configured` without the extra `metrics`."""

    http_method_names = ("get", "head")

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        return login_not_required(super().as_view(**initkwargs))

    def get(self, request: HttpRequest) -> HttpResponse:
        if not (has_monitor_token(request) or is_in_monitor_network(request)):
            text = _("The metrics need a token of MONITOR_TOKEN, or an address in MONITOR_NETWORKS.")
            headers = {"WWW-Authenticate": "Bearer"}
            return problem_response(request, "not_authenticated", detail=text, headers=headers)
        if not process_metrics.is_installed:
            text = _("The package prometheus_client is not installed.")
            return problem_response(request, "not_configured", detail=text)
        from django_feexpay.monitoring.exposition import CONTENT_TYPE, exposition

        return HttpResponse(exposition(), content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return problem_response(request, "method_not_allowed", headers={"Allow": "GET, HEAD"})
