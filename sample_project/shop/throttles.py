"""Against guessing passwords. The rates are in the settings."""

from __future__ import annotations

import hashlib

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView


class AccountThrottle(SimpleRateThrottle):
    """One account from one address. Nobody can lock a player out from elsewhere."""

    scope = "sign_in_account"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        given = request.data
        named = given.get("username") if isinstance(given, dict) else None
        account = named.casefold() if isinstance(named, str) else ""
        # Hashed: a name may hold anything, and a cache is no place for names.
        digest = hashlib.sha256(f"{self.get_ident(request)} {account}".encode()).hexdigest()
        return self.cache_format % {"scope": self.scope, "ident": digest}


class AddressThrottle(SimpleRateThrottle):
    """Any account from one address: one common password against many names."""

    scope = "sign_in_address"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}
