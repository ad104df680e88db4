"""The URLs of the app and of the reference views."""

from __future__ import annotations

from django.urls import include, path

from tools.bench import reference

urlpatterns = [
    path("feexpay/", include("django_feexpay.urls")),
    path("reference/bare/", reference.bare),
    path("reference/empty/", reference.EmptyView.as_view()),
    path("reference/webhook/", reference.webhook),
    path("reference/<uuid:payment_id>/status/", reference.status),
    path("reference/history/", reference.HistoryView.as_view()),
    path("reference/initiate/", reference.initiate),
]
