"""The limits of API requests, exact under parallel requests.

DRF's own throttle reads, adds and writes in three steps, so parallel requests exceed its limit. A fixed window would
let twice the limit pass around its edge.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from django_feexpay import rate_limit
from django_feexpay.api.errors import RateUnavailable
from django_feexpay.client_address import client_key
from django_feexpay.conf import feexpay
from django_feexpay.monitoring import process_metrics

logger = logging.getLogger("django_feexpay.api")


class ScopeThrottle(BaseThrottle):
    """Limits the requests of a user in each scope (`view.rate_scope`), in a sliding window counted by `rate_limit`.

    Counts by user, so a client gains nothing by more tokens or a forged X-Forwarded-For. Callers that are not signed in
    share the scope `anonymous`, counted by their address. If the cache fails, reads pass and writes get 503: a pause
    is better than unlimited prompts to phones. Sets `view.rate_headers`.
    """

    def __init__(self) -> None:
        self._wait = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        scope, caller = _counted(request, view.rate_scope)
        limit, seconds = feexpay.rate_of(scope)
        try:
            use = rate_limit.use(f"{scope}:{caller}", limit, seconds)
        except Exception as error:  # the host chooses the cache, so its errors have no common base
            logger.error("throttle: the cache failed: %s", type(error).__name__)
            if request.method in SAFE_METHODS:
                return True
            raise RateUnavailable(
                _("Requests cannot be counted at the moment, so none is accepted. Nothing was taken. Please try again.")
            ) from error
        view.rate_headers = _headers(scope, limit, seconds, use)
        self._wait = use.wait
        if use.wait:
            process_metrics.note_throttled(scope)
        return not use.wait

    def wait(self) -> float:
        return self._wait


def _counted(request: Request, scope: str) -> tuple[str, str]:
    """The scope that a request counts in, and who is counted."""
    if request.user and request.user.is_authenticated:
        return scope, f"user:{request.user.pk}"
    return "anonymous", f"address:{client_key(request._request)}"


def _headers(scope: str, limit: int, seconds: int, use: rate_limit.Use) -> Mapping[str, str]:
    """The fields of draft-ietf-httpapi-ratelimit-headers-10 (27 September 2025), the newest one."""
    return {
        "RateLimit-Policy": f'"{scope}";q={limit};w={seconds}',
        "RateLimit": f'"{scope}";r={use.remaining};t={math.ceil(use.renewed)}',
    }
