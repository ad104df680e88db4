"""What one unit of another currency is in francs: the euro by treaty, the dollar by whatever source the host names.

A source is asked once an hour, by one caller at a time, and never inside a transaction. While it is silent the last
rate is used, up to an age the host sets; after that nothing is converted, and the payer is told so.
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
from typing import Any, NoReturn, TypeGuard
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from django_feexpay import cache_state, conf
from django_feexpay.catalogue.money import EURO_PARITY
from django_feexpay.conf import feexpay
from django_feexpay.crypto import Secret
from django_feexpay.gateway.errors import GatewayError
from django_feexpay.gateway.transport import HttpTransport, Timeouts, WireReply, WireRequest
from django_feexpay.models import Payment
from django_feexpay.payments.durability import refuse_outer_atomic
from django_feexpay.payments.errors import NotAllowedError

logger = logging.getLogger("django_feexpay.payments")

#: So long a rate is used before its source is asked again.
FRESH = timedelta(seconds=3600)

#: A rate that was quoted to a payer holds for so long, whatever happens to the rate meanwhile.
PROMISE_SECONDS = 600

#: After a failure nobody asks again for so long; also when whoever asks is given up.
PAUSE_SECONDS = 30

#: Francs for one unit, as far as anybody can imagine: beyond, the source means something else.
PLAUSIBLE = {"USD": (Decimal(100), Decimal(2000))}

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TIMEOUTS = Timeouts(connect=3.0, read=4.0, total=6.0)
_REPLY_LIMIT_BYTES = 64 * 1024
_SMALLEST = Decimal("0.00000001")
_FAILED = "failed"


class RateUnavailableError(Exception):
    """A source has no rate. The text goes into the log: it must hold no secret."""


class RatesSource(ABC):
    """Where rates come from: `FEEXPAY["RATES_SOURCE"]` names a class of this kind, made without arguments.

    remote: asking takes a call, so it is done outside transactions and what it says is kept.
    """

    remote = True

    @abstractmethod
    def rate(self, currency: str, into: str) -> Decimal:
        """How many `into` one `currency` is. Raises: RateUnavailableError."""


class SettingsRates(RatesSource):
    """`FEEXPAY["RATES"]`: what the host wrote there."""

    remote = False

    def rate(self, currency: str, into: str) -> Decimal:
        try:
            return feexpay.rates[currency]
        except (KeyError, ValueError, ArithmeticError):
            raise RateUnavailableError('FEEXPAY["RATES"] has no such rate') from None


class HttpRates(RatesSource):
    """Any JSON at `FEEXPAY["RATES_URL"]`, the rate at `RATES_KEY_PATH`: `rates.XOF`, or `0.rate` for a list.

    `{currency}` and `{into}` in both are filled in. https only, but on this machine; no redirect is followed.
    With `RATES_QUOTED_IN` = `EUR` the source tells euros, and the fixed parity does the rest.
    """

    def rate(self, currency: str, into: str) -> Decimal:
        url = _filled(feexpay.rates_url.reveal(), currency, into)
        if not is_safe(url):
            raise RateUnavailableError("RATES_URL is no https address")
        told = _told(_reply(url), _filled(feexpay.rates_key_path, currency, into))
        return told * EURO_PARITY if feexpay.rates_quoted_in == "EUR" else told


def promise(user: Any, currency: str, into: str) -> Decimal | None:
    """`rate`, and hold this user's next starts to it for ten minutes: who saw a sum is charged that sum."""
    rate = _rate_or_refusal(currency, into)
    if rate is not None and currency != "EUR" and user is not None:
        cache_state.put(_promise(user, currency, into), str(rate), PROMISE_SECONDS)
    return rate


def promised(user: Any, currency: str, into: str) -> Decimal | None:
    """The rate this user was promised last, else that of now. None: nothing has to be converted.

    Must run outside a transaction. Changes: the cache. Safe to repeat: yes.
    Raises: NotAllowedError `rate_unavailable`.
    """
    if currency not in (into, "EUR") and user is not None:
        held = _said(_promise(user, currency, into))
        if held is not None:
            return Decimal(held)
    return _rate_or_refusal(currency, into)


def may_be_used_again(payment: Payment) -> bool:
    """Whether another attempt may still ask for what this payment came to.

    By treaty for ever; else no longer than a rate may be old: what failed long ago is no option on the rate of then.
    """
    if payment.exchange_rate is None or payment.currency == "EUR":
        return True
    return conf.now() - payment.created_at < feexpay.rates_stale


def is_plausible(currency: str, rate: object) -> bool:
    """Whether this can be the francs for one unit of a currency that has to be looked up."""
    least, most = PLAUSIBLE[currency]
    return isinstance(rate, Decimal) and rate.is_finite() and least <= rate <= most


def is_safe(url: str) -> bool:
    """Whether a rate may be believed that comes from there: nobody between may change it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # raises for one that is none
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))


def _rate_or_refusal(currency: str, into: str) -> Decimal | None:
    if currency == into:
        return None
    if currency == "EUR":
        return EURO_PARITY
    try:
        source = _source()
        return _kept(source, currency, into) if source.remote else _asked(source, currency, into)
    except RateUnavailableError as error:
        logger.error("no exchange rate for %s: %s", currency, error)
        _refuse(currency)


def _refuse(currency: str) -> NoReturn:
    message = _("Prices in %s cannot be converted at the moment. Please try again soon.") % currency
    raise NotAllowedError("rate_unavailable", message, retry_after_seconds=PAUSE_SECONDS) from None


def _promise(user: Any, currency: str, into: str) -> str:
    return f"rate:{currency}:{into}:promise:{user.pk}"


# --- what is kept ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """A rate and when it was told."""

    rate: Decimal
    told_at: datetime

    def is_younger_than(self, age: timedelta) -> bool:
        return conf.now() - self.told_at < age


def _kept(source: RatesSource, currency: str, into: str) -> Decimal:
    """The rate of the cache while it is fresh; else one caller asks, and the others take the old one or wait.

    Without the cache nobody asks: every start would, and the source would soon have enough of us.
    """
    name = f"rate:{currency}:{into}"
    known = _read(name)
    if known is not None and known.is_younger_than(FRESH):
        return known.rate
    refuse_outer_atomic()  # before the turn is taken, so that others need not wait for one who may not ask
    if cache_state.put_first(f"{name}:asking", "now", PAUSE_SECONDS, otherwise=False):
        return _renewed(source, currency, into, name)
    return known.rate if _is_usable(known) else _waited_for(name)


def _is_usable(known: _Known | None) -> TypeGuard[_Known]:
    return known is not None and known.is_younger_than(feexpay.rates_stale)


def _renewed(source: RatesSource, currency: str, into: str, name: str) -> Decimal:
    known = _read(name)  # somebody may have asked between our look and our turn
    if known is not None and known.is_younger_than(FRESH):
        cache_state.drop(f"{name}:asking")
        return known.rate
    rate = None
    try:
        rate = _asked(source, currency, into)
    except RateUnavailableError as error:
        if not _is_usable(known):
            raise
        logger.warning("the last exchange rate for %s is used: %s", currency, error)
        return known.rate
    finally:
        if rate is None:  # also after an error that nobody expected: whoever waits must not wait for this turn
            cache_state.put(f"{name}:asking", _FAILED, PAUSE_SECONDS)
    _write(name, rate)
    return rate


def _waited_for(name: str) -> Decimal:
    """What the one who asks will write."""
    give_up_at = time.monotonic() + _TIMEOUTS.total + 1
    while time.monotonic() < give_up_at:
        asking = _said(f"{name}:asking")
        known = _read(name)  # after the look at who asks: who wrote it is gone by then
        if _is_usable(known):
            return known.rate
        if asking in (None, _FAILED):
            break
        time.sleep(0.05)
    raise RateUnavailableError("its source was just asked in vain, or the cache is away")


def _said(name: str) -> Any:
    return cache_state.read([name]).get(name)


def _read(name: str) -> _Known | None:
    kept = _said(name)
    if kept is None:
        return None
    rate, told_at = kept
    return _Known(Decimal(rate), datetime.fromtimestamp(told_at, UTC))


def _write(name: str, rate: Decimal) -> None:
    lifetime = max(FRESH, feexpay.rates_stale).total_seconds()
    cache_state.put(name, (str(rate), conf.now().timestamp()), int(lifetime))
    cache_state.drop(f"{name}:asking")


# --- asking ------------------------------------------------------------------------------------------


def _source() -> RatesSource:
    try:
        source: RatesSource = feexpay.rates_source()
    except Exception as error:  # as in _asked
        raise RateUnavailableError(f"its source cannot be made: {type(error).__name__}") from None
    return source


def _asked(source: RatesSource, currency: str, into: str) -> Decimal:
    """What a source says, if that can be a rate; with as many digits as a payment keeps of it, rounded up."""
    try:
        rate = source.rate(currency, into)
    except RateUnavailableError:
        raise
    except Exception as error:  # the host's own code, or what it calls: its text may hold a secret
        raise RateUnavailableError(f"its source broke: {type(error).__name__}") from None
    if not is_plausible(currency, rate):
        raise RateUnavailableError("what its source says is not the francs for one unit")
    return rate.quantize(_SMALLEST, ROUND_UP)


def _filled(text: str, currency: str, into: str) -> str:
    return text.replace("{currency}", currency).replace("{into}", into)


@lru_cache(maxsize=2)
def _transport(proxy: Secret) -> HttpTransport:
    return HttpTransport(proxy=proxy.reveal())


def _reply(url: str) -> WireReply:
    """What the address answers with 200. The errors of the transport quote no address."""
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


def _told(reply: WireReply, path: str) -> Decimal:
    """The value at a path of the body, exactly as it was written there."""
    try:
        value = json.loads(reply.body, parse_float=Decimal, parse_int=Decimal, parse_constant=Decimal)
        for step in path.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
    except (ValueError, ArithmeticError, LookupError, TypeError, RecursionError):
        raise RateUnavailableError("its source answered without a rate where RATES_KEY_PATH points") from None
    return _decimal(value)


def _decimal(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,20})?", value):
        return Decimal(value)
    raise RateUnavailableError("what its source says is no number")
