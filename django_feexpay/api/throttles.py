"""100 requests a minute mean 100, in any minute. DRF's own throttle reads, adds and writes: parallel requests slip
through it, and a fixed window lets twice the limit pass at its edge.
"""

from __future__ import annotations

import logging
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from django_feexpay import rate_limit
from django_feexpay.api.errors import Unavailable
from django_feexpay.conf import feexpay

logger = logging.getLogger("django_feexpay.api")


class UserThrottle(BaseThrottle):
    """A user's requests in the last period, counted by `rate_limit`.

    The key is the user, not the token or the address: neither more tokens nor a made-up X-Forwarded-For help.
    Without its cache it lets readers through and turns writers away: a flood of prompts is worse than a pause.
    """

    def __init__(self) -> None:
        self._wait = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return True
        limit, seconds = feexpay.rate_limit
        try:
            self._wait = rate_limit.wait_seconds(f"user:{request.user.pk}", limit, seconds)
        except Exception as error:  # the host chooses the cache, so its errors have no common name
            logger.error("throttle without cache: %s", type(error).__name__)
            if request.method in SAFE_METHODS:
                return True
            raise Unavailable(_("Nothing can be started at the moment. Please try again soon.")) from error
        return not self._wait

    def wait(self) -> float:
        return self._wait
