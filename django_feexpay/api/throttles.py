"""100 requests a minute mean 100. DRF's own throttle reads, adds and writes: parallel requests slip through it."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.cache import cache
from django.utils.translation import gettext as _
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from django_feexpay.api.errors import Unavailable
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
            if request.method in SAFE_METHODS:
                return True
            raise Unavailable(_("Nothing can be started at the moment. Please try again soon.")) from error

    def _count(self, user: str, seconds: int) -> int:
        """How many requests this user's window has seen, this one included."""
        now = time.time()
        since = float(cache.get_or_set(f"feexpay:throttle:{user}", now, seconds) or now)
        self._wait = min(max(1.0, since + seconds - now), float(seconds))
        # Named after its window and outliving it: it cannot run out between two calls, and no window inherits it.
        window = f"feexpay:throttle:{user}:{since}"
        try:
            return int(cache.incr(window))
        except ValueError:  # the window's first request
            cache.add(window, 0, 2 * seconds)
            return int(cache.incr(window))

    def wait(self) -> float:
        return self._wait
