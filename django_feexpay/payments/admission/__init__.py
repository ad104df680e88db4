"""Whether FeexPay may be called now: circuit breaker, rate budget, bulkhead. Their state is in the cache."""

from __future__ import annotations
