from __future__ import annotations

from django.urls import include, path
from orders import views

api = [path("money/", include(("django_feexpay.urls", "money"), namespace="money"))]
urlpatterns = [
    path("buy/", views.buy),
    path("api/v2/", include((api, "api"), namespace="v2")),
]
