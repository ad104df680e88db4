"""Rate limits against password guessing, exact under concurrency. The settings hold the rates.

The token endpoint and the admin's sign-in page count together. No limit locks an account: each one ends by itself, and
at an address where the owner has signed in before, the guesses of others do not count.
"""

from __future__ import annotations

import hashlib
import logging
from ipaddress import IPv6Address, ip_address
from typing import cast

from django.core.cache import cache
from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle
from rest_framework.views import APIView

from django_feexpay.rest import Unavailable, wait_seconds

logger = logging.getLogger("shop")

#: A successful sign-in makes its address a usual one of the account for this long.
_USUAL_ADDRESS_SECONDS = 30 * 24 * 3600


class SignInThrottle(SimpleRateThrottle):
    """DRF's rates and client addresses, counted by the sliding window of django_feexpay.

    Under concurrency DRF's own count admits 15 requests where 10 are allowed. While the cache is
    unavailable, this throttle refuses every sign-in, because nothing would count the guesses.
    """

    def __init__(self) -> None:
        super().__init__()
        self._wait = 0.0

    def counted(self, address: str, account: str) -> str:
        """The key under which the guesses are counted."""
        raise NotImplementedError

    def allow_request(self, request: Request, view: APIView | None) -> bool:
        given = request.data
        named = given.get("username") if isinstance(given, dict) else None
        return self.admits(request, named if isinstance(named, str) else "")

    def admits(self, request: HttpRequest | Request, account: str) -> bool:
        """Count one guess. Raises: Unavailable."""
        limit, seconds = self.parse_rate(self.rate)
        if limit is None or seconds is None:
            return True
        try:
            counted = self.counted(_address(request), account.casefold())
            self._wait = wait_seconds(_hashed(str(self.scope), counted), limit, seconds)
        except Exception as error:  # the host chooses the cache, so its errors have no common name
            logger.error("throttle without cache: %s", type(error).__name__)
            raise Unavailable(_("You cannot sign in at the moment. Please try again soon.")) from error
        return not self._wait

    def wait(self) -> float:
        return self._wait


class AddressThrottle(SignInThrottle):
    """All accounts from one address, against one common password tried with many names."""

    scope = "sign_in_address"

    def counted(self, address: str, account: str) -> str:
        return address


class AccountThrottle(SignInThrottle):
    """One account from one address, so that a stranger elsewhere does not slow the owner down."""

    scope = "sign_in_account"

    def counted(self, address: str, account: str) -> str:
        return f"{address} {account}"


class EverywhereThrottle(SignInThrottle):
    """One account from all unusual addresses together, against guesses from thousands of machines.

    Each usual address of the account is counted by itself, so such an attack does not shut the owner out there.
    """

    scope = "sign_in_everywhere"

    def counted(self, address: str, account: str) -> str:
        usual = cache.get(_usual_address(address, account)) is not None
        return f"{address if usual else '*'} {account}"


SIGN_IN_THROTTLES = (AddressThrottle, AccountThrottle, EverywhereThrottle)


def seconds_to_wait(request: HttpRequest, account: str) -> float:
    """Count one guess in every limit. Return 0 if it may be checked, else the seconds until the next one may be.

    Raises: Unavailable.
    """
    throttles = [throttle() for throttle in SIGN_IN_THROTTLES]
    return max(0.0 if throttle.admits(request, account) else throttle.wait() for throttle in throttles)


def remember_address(request: HttpRequest | Request, account: str) -> None:
    """After a successful sign-in: make its address a usual one of the account. Safe to repeat: yes."""
    try:
        cache.set(_usual_address(_address(request), account.casefold()), 1, _USUAL_ADDRESS_SECONDS)
    except Exception as error:  # as above; and a sign-in that succeeded must not fail because of the cache
        logger.error("usual address not kept: %s", type(error).__name__)


def _address(request: HttpRequest | Request) -> str:
    """The client's address by NUM_PROXIES; of IPv6 the network, as one subscriber has 2^64 addresses."""
    named = str(BaseThrottle().get_ident(cast(Request, request)))  # it reads only META
    try:
        address = ip_address(named)
    except ValueError:
        return named
    return str(int(address) >> 64) if isinstance(address, IPv6Address) else str(address)


def _usual_address(address: str, account: str) -> str:
    return _hashed("sign_in_usual", f"{address} {account}")


def _hashed(scope: str, value: str) -> str:
    """A cache key. Hashed: a name may hold any character, and names do not belong in a cache."""
    return f"{scope}:{hashlib.sha256(value.encode()).hexdigest()}"
