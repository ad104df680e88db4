"""State that the package keeps in the cache and in a process, and how to forget it between tests and simulations."""

from __future__ import annotations

from django.core.cache import cache

from django_feexpay import cache_state
from django_feexpay.monitoring import http_counts
from django_feexpay.payments import webhook_bounds, webhook_drops
from django_feexpay.webhooks import refusal_log


def forget() -> None:
    """Forget everything that was counted, remembered or skipped."""
    cache.clear()
    cache_state.forget()
    webhook_bounds.forget()
    webhook_drops.forget_pending()
    refusal_log.forget()
    http_counts.forget_pending()
