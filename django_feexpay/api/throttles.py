"""100 requests a minute mean 100. DRF's own throttle reads, adds and writes: parallel requests slip through it."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from django_feexpay.conf import feexpay

logger = logging.getLogger("django_feexpay.api")

class UserThrottle(BaseThrottle):
    """A fixed window from a user's first request on, counted by the cache's atomic `incr`.

    The key is the user, not the token or the address: neither more tokens nor a made-up X-Forwarded-For help.
    Without its cache it lets readers through and turns writers away: a flood of prompts is worse than a pause.
    """

    def __init__(self) -> None:
        self._wait = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return True
        count, seconds = feexpay.rate_limit
        try:
            return self._count(str(request.user.pk), seconds) <= count
        except Exception as error:  # the host chooses the cache, so its errors have no common name
            logger.error("throttle without cache: %s", type(error).__name__)
            self._wait = 5.0
            return request.method in ("GET", "HEAD", "OPTIONS")

    def _count(self, user: str, seconds: int) -> int:
        key = f"feexpay:throttle:{user}"
        now = time.time()
        cache.add(f"{key}:since", now, seconds)
        cache.add(key, 0, seconds)
        try:
            seen = int(cache.incr(key))
        except ValueError:  # the window ended between the two calls
            cache.add(key, 1, seconds)
            seen = 1
        self._wait = max(1.0, seconds - (now - float(cache.get(f"{key}:since") or now)))
        return seen

    def wait(self) -> float:
        return self._wait
