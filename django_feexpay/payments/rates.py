"""Exchange rates into francs: the euro by its fixed parity, the dollar from the host's rates source.

One caller at a time asks the source, once an hour and never inside a transaction. While the source does not answer, the
last rate is used for RATES_STALE_SECONDS. After that a start in this currency is refused.
"""

from __future__ import annotations

import json
import logging
import re
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_UP, Decimal
from functools import lru_cache
from typing import Any, TypeGuard

from django.utils.translation import gettext as _

from django_feexpay import cache_state, conf
from django_feexpay.catalogue.money import EURO_PARITY
from django_feexpay.catalogue.web_addresses import secure_url
from django_feexpay.conf import feexpay
from django_feexpay.crypto import Secret
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.gateway.transport import HttpTransport, Timeouts, WireReply, WireRequest
from django_feexpay.models import Payment
from django_feexpay.payments.durability import is_inside_atomic, refuse_outer_atomic
from django_feexpay.payments.errors import NotAllowedError

logger = logging.getLogger("django_feexpay.payments")

#: A cached rate of this age is no longer fresh: the source is asked again.
FRESH = timedelta(seconds=3600)

#: A rate that was quoted to a user stays valid for that user's starts for this time.
QUOTED_RATE_SECONDS = 600

#: After a failure the source is not asked again for this time. One caller may take this long to ask.
PAUSE_SECONDS = 30

#: Plausible prices of one unit in francs. A value outside of this range is refused.
PLAUSIBLE = {"USD": (Decimal(100), Decimal(2000))}

_TIMEOUTS = Timeouts(connect=3.0, read=4.0, total=6.0)
_REPLY_LIMIT_BYTES = 64 * 1024
_SMALLEST = Decimal("0.00000001")
_FAILED = "failed"


class RateUnavailableError(Exception):
    """A source has no rate. The text goes into the log, so it must hold no secret."""


class RatesSource(ABC):
    """Base class of rates sources. `FEEXPAY["RATES_SOURCE"]` names a subclass, which is created without arguments.

    remote: `rate` makes a call, so it is called outside transactions, and the rate is cached.
    """

    remote = True

    @abstractmethod
    def rate(self, currency: str, into: str) -> Decimal:
        """The price of one `currency` in `into`. Raises: RateUnavailableError."""


class SettingsRates(RatesSource):
    """The rates in `FEEXPAY["RATES"]`."""

    remote = False

    def rate(self, currency: str, into: str) -> Decimal:
        try:
            return feexpay.rates[currency]
        except (KeyError, ValueError, ArithmeticError):
            raise RateUnavailableError('FEEXPAY["RATES"] has no such rate') from None


class HttpRates(RatesSource):
    """Any JSON at `FEEXPAY["RATES_URL"]`, the rate at `RATES_KEY_PATH`: `rates.XOF`, or `0.rate` for a list.

    `{currency}` and `{into}` in both are filled in. https only, except on this machine; no redirect is followed.
    With `RATES_QUOTED_IN` = `EUR` the source quotes euros, and the fixed parity gives francs.
    """

    def rate(self, currency: str, into: str) -> Decimal:
        def filled(text: str) -> str:
            return text.replace("{currency}", currency).replace("{into}", into)

        url = filled(feexpay.rates_url.reveal())
        if secure_url(url) is None:
            raise RateUnavailableError("RATES_URL is no https address")
        quoted = _value_at(filled(feexpay.rates_key_path), _reply(url))
        return quoted * EURO_PARITY if feexpay.rates_quoted_in == "EUR" else quoted


def store_rate_for_user(user: Any, currency: str, into: str) -> Decimal | None:
    """The current rate, stored for this user's starts for ten minutes: the payer is charged the amount they saw.

    Changes: the cache. Raises and returns: as `rate_for_user`.
    """
    rate = _current_rate(currency, into)
    if rate is not None and currency != "EUR" and user is not None:
        cache_state.put(_user_rate_key(user, currency, into), str(rate), QUOTED_RATE_SECONDS)
    return rate


def rate_for_user(user: Any, currency: str, into: str) -> Decimal | None:
    """The rate stored for this user by `store_rate_for_user`, else the current rate. None: nothing has to be converted.

    Inside a transaction only a cached rate is used. Changes: the cache. Safe to repeat: yes.
    Raises: NotAllowedError `rate_unavailable`; InsideAtomicError where the source would have to be asked.
    """
    if currency not in (into, "EUR") and user is not None:
        held = _cached(_user_rate_key(user, currency, into))
        if held is not None:
            return Decimal(held)
    return _current_rate(currency, into)


def may_be_used_again(payment: Payment) -> bool:
    """Whether a retry may charge at the payment's rate: always the fixed parity, another rate until it is too old."""
    if payment.exchange_rate is None or payment.currency == "EUR":
        return True
    return conf.now() - payment.created_at < feexpay.rates_stale


def is_plausible(currency: str, rate: object) -> bool:
    """Whether this can be the price in francs of one unit, for a currency without a fixed parity."""
    least, most = PLAUSIBLE[currency]
    return isinstance(rate, Decimal) and rate.is_finite() and least <= rate <= most


def _current_rate(currency: str, into: str) -> Decimal | None:
    if currency == into:
        return None
    if currency == "EUR":
        return EURO_PARITY
    try:
        try:
            source: RatesSource = feexpay.rates_source()
        except Exception as error:  # the host's own code: its text may hold a secret
            raise RateUnavailableError(f"its source cannot be created: {type(error).__name__}") from None
        return _cached_rate(source, currency, into) if source.remote else _ask(source, currency, into)
    except RateUnavailableError as error:
        logger.error("no exchange rate for %s: %s", currency, error)
        message = _("Prices in %s cannot be converted at the moment. Please try again soon.") % currency
        raise NotAllowedError("rate_unavailable", message, retry_after_seconds=PAUSE_SECONDS) from None


def _user_rate_key(user: Any, currency: str, into: str) -> str:
    return f"rate:{currency}:{into}:held:{user.pk}"


# --- the cache ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """A rate and when its source gave it."""

    rate: Decimal
    given_at: datetime

    def is_younger_than(self, age: timedelta) -> bool:
        return conf.now() - self.given_at < age


def _cached_rate(source: RatesSource, currency: str, into: str) -> Decimal:
    """The cached rate while it is fresh. Then one caller asks the source, and the others use the old rate or wait.

    Without a cache the source is not asked, because every start would ask it.
    """
    name = f"rate:{currency}:{into}"
    known = _read(name)
    if known is not None and known.is_younger_than(FRESH):
        return known.rate
    if _is_usable(known) and is_inside_atomic():
        return known.rate
    refuse_outer_atomic()
    if cache_state.put_first(f"{name}:asking", "now", PAUSE_SECONDS, otherwise=False):
        return _refresh(source, currency, into, name)
    return known.rate if _is_usable(known) else _wait_for_refresh(name)


def _is_usable(known: _Known | None) -> TypeGuard[_Known]:
    return known is not None and known.is_younger_than(feexpay.rates_stale)


def _refresh(source: RatesSource, currency: str, into: str, name: str) -> Decimal:
    known = _read(name)  # another process may have refreshed it since the caller read it
    if known is not None and known.is_younger_than(FRESH):
        cache_state.drop(f"{name}:asking")
        return known.rate
    rate = None
    try:
        rate = _ask(source, currency, into)
    except RateUnavailableError as error:
        if not _is_usable(known):
            raise
        logger.warning("the last exchange rate for %s is used: %s", currency, error)
        return known.rate
    finally:
        if rate is None:  # after an unexpected error, too, so that the others stop waiting
            cache_state.put(f"{name}:asking", _FAILED, PAUSE_SECONDS)
    lifetime = max(FRESH, feexpay.rates_stale).total_seconds()
    cache_state.put(name, (str(rate), conf.now().timestamp()), int(lifetime))
    cache_state.drop(f"{name}:asking")
    return rate


def _wait_for_refresh(name: str) -> Decimal:
    """Wait for the rate that another caller asks for. Raises: RateUnavailableError."""
    give_up_at = time.monotonic() + _TIMEOUTS.total + 1
    while time.monotonic() < give_up_at:
        asking = _cached(f"{name}:asking")
        known = _read(name)  # read after `asking`, because `_refresh` stores the rate before it drops `asking`
        if _is_usable(known):
            return known.rate
        if asking in (None, _FAILED):
            break
        time.sleep(0.05)
    raise RateUnavailableError("its source just failed to answer, or the cache is unavailable")


def _cached(name: str) -> Any:
    return cache_state.read([name]).get(name)


def _read(name: str) -> _Known | None:
    cached = _cached(name)
    if cached is None:
        return None
    rate, given_at = cached
    return _Known(Decimal(rate), datetime.fromtimestamp(given_at, UTC))


# --- the source --------------------------------------------------------------------------------------


def _ask(source: RatesSource, currency: str, into: str) -> Decimal:
    """The source's rate if it is plausible, rounded up to the digits that a payment stores."""
    try:
        rate = source.rate(currency, into)
    except RateUnavailableError:
        raise
    except Exception as error:  # the host's own code, or what it calls: its text may hold a secret
        raise RateUnavailableError(f"its source failed: {type(error).__name__}") from None
    if not is_plausible(currency, rate):
        raise RateUnavailableError("its source gave a value that cannot be the francs for one unit")
    return rate.quantize(_SMALLEST, ROUND_UP)


@lru_cache(maxsize=2)
def _transport(proxy: Secret) -> HttpTransport:
    return HttpTransport(proxy=proxy.reveal())


def _reply(url: str) -> WireReply:
    """A reply with status 200. Raises: RateUnavailableError, which never quotes the URL."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "django-feexpay"}
    request = WireRequest(
        method="GET", url=url, timeouts=_TIMEOUTS, headers=headers, reply_limit_bytes=_REPLY_LIMIT_BYTES
    )
    try:
        reply = _transport(feexpay.proxy).exchange(request)
    except GatewayError as error:
        raise RateUnavailableError(str(error)) from None
    if reply.status != 200:
        raise RateUnavailableError(f"its source answered with status {reply.status}")
    return reply


def _value_at(path: str, reply: WireReply) -> Decimal:
    """The number at a path of the body, with all its digits."""
    try:
        value = json.loads(reply.body, parse_float=Decimal, parse_int=Decimal, parse_constant=Decimal)
        for step in path.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
    except (ValueError, ArithmeticError, LookupError, TypeError, RecursionError):
        raise RateUnavailableError("its source answered without a rate at RATES_KEY_PATH") from None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,20})?", value):
        value = Decimal(value)
    if not isinstance(value, Decimal):
        raise RateUnavailableError("its source answered with a value that is not a number")
    return value
