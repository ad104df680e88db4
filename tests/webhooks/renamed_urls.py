"""A host with a namespace of its own."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("money/", include(("django_feexpay.urls", "money"), namespace="money"))]
