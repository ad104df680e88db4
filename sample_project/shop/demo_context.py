"""What templates show in `make demo` only: the sandbox's pages and the player's account. Empty elsewhere."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def demo(request: HttpRequest) -> dict[str, str]:
    """A context processor."""
    return {
        "sandbox_url": settings.DEMO_SANDBOX_URL,
        "demo_username": settings.DEMO_USERNAME,
        "demo_password": settings.DEMO_PASSWORD,
    }
