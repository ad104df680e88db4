"""The throttle per user, exact under parallel requests.

DRF's own throttle reads, adds and writes in three steps, so parallel requests exceed its limit. A fixed window would
let twice the limit pass around its edge.
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
    """Limits the requests of a user in a sliding window, counted by `rate_limit`.

    Counts by user, so a client gains nothing by more tokens or a forged X-Forwarded-For. If the cache fails, reads pass
    and writes get 503: a pause is better than unlimited prompts to phones.
    """

    def __init__(self) -> None:
        self._wait = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return True
        limit, seconds = feexpay.rate_limit
        try:
            self._wait = rate_limit.wait_seconds(f"user:{request.user.pk}", limit, seconds)
        except Exception as error:  # the host chooses the cache, so its errors have no common base
            logger.error("throttle: the cache failed: %s", type(error).__name__)
            if request.method in SAFE_METHODS:
                return True
            raise Unavailable(
                _("No payment can be started at the moment. Nothing was taken. Please try again soon.")
            ) from error
        return not self._wait

    def wait(self) -> float:
        return self._wait
