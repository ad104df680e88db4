"""Rate limits against password guessing, exact under concurrency. The settings hold the rates."""

from __future__ import annotations

import hashlib
import logging

from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from django_feexpay.rest import Unavailable, wait_seconds

logger = logging.getLogger("shop")


class SlidingThrottle(SimpleRateThrottle):
    """DRF's rates and client addresses, counted by the sliding window of django_feexpay.

    Under concurrency DRF's own count admits 15 requests where 10 are allowed. While the cache is
    unavailable, this throttle refuses every sign-in, because nothing would count the guesses.
    """

    def __init__(self) -> None:
        super().__init__()
        self._wait = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        limit, seconds = self.parse_rate(self.rate)
        if limit is None or seconds is None:
            return True
        try:
            self._wait = wait_seconds(str(self.get_cache_key(request, view)), limit, seconds)
        except Exception as error:  # the host chooses the cache, so its errors have no common name
            logger.error("throttle without cache: %s", type(error).__name__)
            raise Unavailable(_("You cannot sign in at the moment. Please try again soon.")) from error
        return not self._wait

    def wait(self) -> float:
        return self._wait


class AccountThrottle(SlidingThrottle):
    """One account from one address, so a stranger elsewhere cannot lock a player out."""

    scope = "sign_in_account"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        given = request.data
        named = given.get("username") if isinstance(given, dict) else None
        account = named.casefold() if isinstance(named, str) else ""
        # Hashed: a name may hold any character, and names do not belong in a cache.
        digest = hashlib.sha256(f"{self.get_ident(request)} {account}".encode()).hexdigest()
        return f"{self.scope}:{digest}"


class AddressThrottle(SlidingThrottle):
    """All accounts from one address, against one common password tried with many names."""

    scope = "sign_in_address"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        digest = hashlib.sha256(str(self.get_ident(request)).encode()).hexdigest()
        return f"{self.scope}:{digest}"
