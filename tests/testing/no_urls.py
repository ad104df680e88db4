"""A project that forgot to include the app's urls."""

from __future__ import annotations

urlpatterns: list[object] = []
