"""The addresses of the shop, and the reference view that webhooks are compared with."""

from __future__ import annotations

from config.urls import handler400, handler403, handler404, handler500, urlpatterns
from django.urls import path

from tools.bench import reference

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [path("reference/webhook/", reference.webhook), *urlpatterns]
