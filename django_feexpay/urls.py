"""The URLs of the API and the webhook: `path("payments/", include("django_feexpay.urls"))`."""

from __future__ import annotations

from django.urls import path

from django_feexpay.api import views as api
from django_feexpay.api.metrics import MetricsView
from django_feexpay.monitoring.answers import measured
from django_feexpay.webhooks import url_token  # noqa: F401 -- registers the converter
from django_feexpay.webhooks.views import WebhookView

app_name = "feexpay"

_patterns = [
    # First: Django tries the patterns in turn, and a forged webhook must cost little.
    path("webhook/", WebhookView.as_view(), name="webhook"),
    path("webhook/<feexpay_token:token>/", WebhookView.as_view(), name="webhook_with_token"),
    path("initiate/", api.InitiateView.as_view(), name="initiate"),
    path("<uuid:payment_id>/status/", api.StatusView.as_view(), name="status"),
    path("<uuid:payment_id>/events/", api.EventsView.as_view(), name="events"),
    path("<uuid:payment_id>/otp/", api.OtpView.as_view(), name="otp"),
    path("retry/<uuid:payment_id>/", api.RetryView.as_view(), name="retry"),
    path("quote/", api.QuoteView.as_view(), name="quote"),
    path("providers/", api.ProvidersView.as_view(), name="providers"),
    path("history/export/", api.ExportView.as_view(), name="export"),
    path("history/", api.HistoryView.as_view(), name="history"),
    path("health/", api.HealthView.as_view(), name="health"),
    path("health/live/", api.LiveView.as_view(), name="live"),
    path("health/ready/", api.ReadyView.as_view(), name="ready"),
    path("metrics/", MetricsView.as_view(), name="metrics"),
]

urlpatterns = measured(_patterns)
