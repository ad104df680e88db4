"""Which of several API keys is used: the newest one that FeexPay does not refuse."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django_feexpay.crypto import Secret

#: A refused key is tried again after this time: FeexPay may know a new key some minutes late.
REFUSED_SECONDS = 300.0


class RefusedKeys:
    """The keys that FeexPay refused lately, in this process."""

    def __init__(self) -> None:
        self._until: dict[Secret, float] = {}

    def add(self, key: Secret) -> None:
        now = time.monotonic()
        kept = {each: until for each, until in self._until.items() if until > now}
        self._until = {**kept, key: now + REFUSED_SECONDS}  # replaced, not changed: other threads read it

    def choose(self, keys: Sequence[Secret]) -> Secret:
        """The first key that is not refused, else the first one; an empty Secret without any."""
        now, until = time.monotonic(), self._until
        usable = (key for key in keys if until.get(key, 0.0) <= now)
        return next(usable, keys[0] if keys else Secret(""))
