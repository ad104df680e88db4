"""How many webhooks are stored, so that a flood of forged ones costs next to nothing.

A webhook whose reference we do not know may be forged by anyone. Of these, FEEXPAY["UNKNOWN_WEBHOOKS_PER_MINUTE"] are
stored in a minute, at most the rate of the scope `webhook` from one address, and FEEXPAY["UNKNOWN_WEBHOOKS_KEPT"] are
kept: each further one replaces the oldest. The others are dropped and counted (`webhook_drops`). The worker polls each
payment anyway, so a true webhook that is dropped costs seconds and no money.

A webhook that names an attempt or a payout of ours, by reference, by echo or by its hosted page, never counts among the
unknown ones. A payer knows the reference of their own payment and may repeat it with other contents: the bounds below
limit what is stored of these. Stored or not, such a webhook makes its attempt or payout due.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection

from django_feexpay import cache_state, conf, rate_limit
from django_feexpay.conf import feexpay
from django_feexpay.models import WebhookDelivery
from django_feexpay.payments import advisory_locks

#: Different webhooks stored of an attempt or a payout without asking the other bounds. FeexPay sends a few.
FREE_EACH = 5
#: Different webhooks stored of an attempt or a payout in all.
MAX_EACH = 50
#: Webhooks stored beyond FREE_EACH, for the attempts of one user and of all users, as (number, seconds).
OF_USER = (100, 3600)
OF_ALL_USERS = (1000, 60)

#: How long an unmatched webhook may still be matched: FeexPay's answer with the reference is minutes late at most.
MATCHABLE = timedelta(hours=24)

#: The most names of limits that a process remembers. Strangers choose the addresses, so their number must be bounded.
_MAX_REMEMBERED = 10_000


class _Limits:
    """Limits shared by all processes. While one is used up, this process does not ask the shared counter again.

    Without a cache each process applies the limits on its own, in fixed windows.
    """

    def __init__(self) -> None:
        self._used_up: dict[tuple[str, int], float] = {}
        self._alone: dict[tuple[str, int], tuple[int, int]] = {}

    def is_used_up(self, name: str, limit: int) -> bool:
        return self._used_up.get((name, limit), 0.0) > conf.now().timestamp()

    def admits(self, name: str, limit: int, seconds: int) -> bool:
        """Count one webhook; True if it is within the limit."""
        if self.is_used_up(name, limit):
            return False
        wait = cache_state.attempt(lambda: rate_limit.wait_seconds(f"webhooks:{name}", limit, seconds), None)
        if wait is None:
            wait = self._wait_alone(name, limit, seconds)
        if wait:
            self._remember(self._used_up, (name, limit), conf.now().timestamp() + wait)
        return not wait

    def forget(self) -> None:
        self._used_up.clear()
        self._alone.clear()

    def _wait_alone(self, name: str, limit: int, seconds: int) -> float:
        now = conf.now().timestamp()
        window, key = int(now // seconds), (name, limit)
        known, count = self._alone.get(key, (window, 0))
        count = count + 1 if known == window else 1
        self._remember(self._alone, key, (window, count))
        return 0.0 if count <= limit else (window + 1) * seconds - now

    @staticmethod
    def _remember(values: dict[tuple[str, int], Any], key: tuple[str, int], value: Any) -> None:
        if len(values) >= _MAX_REMEMBERED:
            values.clear()
        values[key] = value


_limits = _Limits()


def drops_unknown(sender: str) -> bool:
    """Whether this process knows that a webhook of an unknown reference from this sender would be dropped now."""
    limit, _seconds = feexpay.rate_of("webhook")
    of_all = feexpay.unknown_webhooks_per_minute
    return _limits.is_used_up("unknown", of_all) or _limits.is_used_up(f"address:{sender}", limit)


def admits_unknown(sender: str) -> bool:
    """Count one more webhook of an unknown reference; True if it may be stored. Call it outside transactions.

    sender: a hash of its address. The address is counted first, so that one address alone cannot use up the limit of
    all.
    """
    if drops_unknown(sender):
        return False
    limit, seconds = feexpay.rate_of("webhook")
    of_all = feexpay.unknown_webhooks_per_minute
    return _limits.admits(f"address:{sender}", limit, seconds) and _limits.admits("unknown", of_all, 60)


def admits_known(user_id: Any) -> bool:
    """Whether one more webhook of this user's payments may be stored beyond FREE_EACH. As `admits_unknown`."""
    return _limits.admits(f"user:{user_id}", *OF_USER) and _limits.admits("users", *OF_ALL_USERS)


def lock_unknown() -> None:
    """Let one transaction at a time add an unknown webhook, so that `evict` is exact."""
    advisory_locks.lock(advisory_locks.UNKNOWN_WEBHOOKS)


def evict() -> int:
    """Delete the oldest unmatched webhooks above UNKNOWN_WEBHOOKS_KEPT. Return how many might still have been matched.

    Matched ones are never deleted here. Exact only under `lock_unknown`.
    """
    unmatched = WebhookDelivery.objects.unmatched()
    kept = feexpay.unknown_webhooks_kept
    newest_to_delete = unmatched.order_by("-pk").values_list("pk", flat=True)[kept : kept + 1].first()
    if newest_to_delete is None:
        return 0
    too_many = unmatched.filter(pk__lte=newest_to_delete).order_by("pk")
    if connection.features.has_select_for_update_skip_locked:
        too_many = too_many.select_for_update(skip_locked=True)  # not those that are being matched
    chosen = dict(too_many.values_list("pk", "received_at"))
    unmatched.filter(pk__in=list(chosen)).delete()
    matchable_since = conf.now() - MATCHABLE
    return sum(received_at > matchable_since for received_at in chosen.values())


def forget() -> None:
    """Forget which limits are used up, for tests."""
    _limits.forget()
