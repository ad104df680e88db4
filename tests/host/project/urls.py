from __future__ import annotations

from django.apps import apps
from django.contrib import admin
from django.urls import include, path
from orders import views

urlpatterns = [
    path("buy/", views.buy),
    path("payments/", include("django_feexpay.urls")),
]
if apps.is_installed("django.contrib.admin"):
    urlpatterns.append(path("admin/", admin.site.urls))
