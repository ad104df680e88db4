from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path
from orders import views

urlpatterns = [
    path("buy/", views.buy),
    path("admin/", admin.site.urls),
    *i18n_patterns(path("payments/", include("django_feexpay.urls"))),
]
