"""The addresses of the checkout: `path("pay/", include("django_feexpay.checkout.urls"))`."""

from __future__ import annotations

from django.urls import path

from django_feexpay.checkout import views

app_name = "feexpay_checkout"

urlpatterns = [
    path("<str:address>/", views.PageView.as_view(), name="page"),
    path("<str:address>/status/", views.StatusView.as_view(), name="status"),
    path("<str:address>/events/", views.EventsView.as_view(), name="events"),
    path("<str:address>/code/", views.CodeView.as_view(), name="code"),
    path("<str:address>/retry/", views.RetryView.as_view(), name="retry"),
    path("<str:address>/back/", views.BackView.as_view(), name="back"),
]
