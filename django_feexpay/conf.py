"""The settings in `settings.FEEXPAY`, the gateway client built from them, and the clock.

Only this module reads the dict, each time a value is used. `checks` finds wrong values. A list may be a Python list
or, as environment variables are text, a comma-separated string.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.conf import settings as django_settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string

from django_feexpay.crypto import Secret
from django_feexpay.gateway.client import CallSeen, Gateway
from django_feexpay.gateway.signatures import HmacScheme, WebhookSecret, parse_secrets
from django_feexpay.gateway.transport import HttpTransport, Transport

logger = logging.getLogger("django_feexpay.payments")

#: Every key of the dict FEEXPAY with its default. A key that is not here is a check error.
DEFAULTS: Mapping[str, Any] = {
    "ENVIRONMENT": "",
    "API_KEY": "",
    "SHOP_ID": "",
    "BASE_URL": "https://api-v2.feexpay.me/api",
    "INSECURE_HOSTS": [],
    "PROXY": "",
    "WEBHOOK_MODES": ["status"],
    "WEBHOOK_SECRETS": [],
    "WEBHOOK_HMAC": {},
    "FIELD_KEYS": [],
    "HASH_KEY": "",
    "SECRETS_BACKEND": "env",
    "DISPATCH": "inline",
    "POLL_SECONDS": [5, 10, 15, 30, 60],
    "EXPIRY_SECONDS": 900,
    "RATE_LIMIT": "100/min",
    "FEE_PAYER": "merchant",
    "RETURN_HOSTS": [],
    "RATES_SOURCE": "django_feexpay.payments.rates.SettingsRates",
    "RATES": {},
    "RATES_URL": "",
    "RATES_KEY_PATH": "",
    "RATES_QUOTED_IN": "",
    "RATES_STALE_SECONDS": 86_400,
    "COMPARE_AT": "02:00",
    "PAYABLE": None,
    "NOTIFICATIONS": [],
    "REQUIRE_IDEMPOTENCY_KEY": False,
    "MAX_ATTEMPTS": 5,
    "REVIEW_TWO_PERSON_ABOVE": None,
    "PAYOUTS": False,
    "PROMPTS_PER_PHONE": 5,
    "GATEWAY_PER_SECOND": 100,
    "GATEWAY_AT_ONCE": 40,
    "EXPORT_STORAGE": "",
    "EXPORT_DAYS": 2,
}

DEVELOPMENT, STAGING, PRODUCTION = "development", "staging", "production"
#: PAYABLE: the payer chooses the amount, as for a top-up.
ANY_AMOUNT = "any_amount"

_PERIODS: Mapping[str, int] = {"s": 1, "min": 60, "hour": 3600, "day": 86_400}

#: Keys for development, so that the app runs without any setting. They are public: other environments refuse them.
_DEVELOPMENT_KEYS: Mapping[str, str] = {
    "FIELD_KEYS": "ZGphbmdvLWZlZXhwYXktZGV2ZWxvcG1lbnQta2V5ISE=",
    "HASH_KEY": "django-feexpay development hash key",
}

Value = TypeVar("Value")


def given() -> Mapping[str, Any]:
    """The dict FEEXPAY as the host wrote it; `{}` without one."""
    return getattr(django_settings, "FEEXPAY", {})


def _value(name: str) -> Any:
    return given().get(name, DEFAULTS[name])


class _Setting(Generic[Value]):
    """A value of FEEXPAY, converted each time it is read."""

    def __init__(self, name: str, convert: Callable[[Any], Value]) -> None:
        self._name, self._convert = name, convert

    def __get__(self, settings: object, kind: type[object]) -> Value:
        return self._convert(_value(self._name))


def _list(value: str | Iterable[Any]) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else value
    return [str(part).strip() for part in parts if str(part).strip()]


def _seconds(value: Any) -> timedelta:
    return timedelta(seconds=int(value))


class Settings:
    """The values of the dict FEEXPAY with their types. Nothing is cached."""

    __slots__ = ()

    api_key = _Setting("API_KEY", Secret)
    shop_id = _Setting("SHOP_ID", str)
    base_url = _Setting("BASE_URL", str)
    insecure_hosts = _Setting("INSECURE_HOSTS", _list)
    #: A Secret, because it may hold a user and a password.
    proxy = _Setting("PROXY", Secret)
    webhook_modes = _Setting("WEBHOOK_MODES", _list)
    dispatch = _Setting("DISPATCH", str)
    expiry = _Setting("EXPIRY_SECONDS", _seconds)
    fee_payer = _Setting("FEE_PAYER", str)
    return_hosts = _Setting("RETURN_HOSTS", _list)
    #: A Secret, because it may hold a key.
    rates_url = _Setting("RATES_URL", Secret)
    rates_key_path = _Setting("RATES_KEY_PATH", str)
    #: The currency in which the source quotes: `EUR`, or "" for francs.
    rates_quoted_in = _Setting("RATES_QUOTED_IN", str)
    #: The greatest age of a rate that is used while its source does not answer.
    rates_stale = _Setting("RATES_STALE_SECONDS", _seconds)
    #: The dotted paths of the notifiers, subclasses of notifications.Notifier.
    notifications = _Setting("NOTIFICATIONS", _list)
    require_idempotency_key = _Setting("REQUIRE_IDEMPOTENCY_KEY", bool)
    #: Whether staff may send payouts for refunds.
    payouts = _Setting("PAYOUTS", lambda value: value is True)
    #: The attempts that a payment may have, the first included.
    max_attempts = _Setting("MAX_ATTEMPTS", int)
    #: Prompts to one phone per hour, from all users together; 0: no limit.
    prompts_per_phone = _Setting("PROMPTS_PER_PHONE", int)
    #: Calls to FeexPay per second, of all processes together; 0: no limit.
    gateway_per_second = _Setting("GATEWAY_PER_SECOND", int)
    #: Concurrent calls to FeexPay for which a web request waits, of all processes together; 0: no limit.
    gateway_at_once = _Setting("GATEWAY_AT_ONCE", int)

    #: The alias in STORAGES where files made in the background are kept; "": a directory of this machine.
    export_storage = _Setting("EXPORT_STORAGE", str)
    #: After this many days a file made in the background is deleted.
    export_days = _Setting("EXPORT_DAYS", int)

    @property
    def environment(self) -> str:
        """`development`, `staging` or `production`; an unknown word counts as production.

        Unset: development where DEBUG is on and in a test run, for which Django switches DEBUG off; else production.
        """
        configured = str(_value("ENVIRONMENT"))
        # A test runner sets up Django's test environment, which gives `django.core.mail` an outbox.
        if not configured and (django_settings.DEBUG or hasattr(mail, "outbox")):
            return DEVELOPMENT
        return configured if configured in (DEVELOPMENT, STAGING) else PRODUCTION

    @property
    def sandbox_allowed(self) -> bool:
        return self.environment != PRODUCTION

    @property
    def webhook_secrets(self) -> tuple[WebhookSecret, ...]:
        return parse_secrets(_list(_value("WEBHOOK_SECRETS")))

    @property
    def webhook_hmac(self) -> HmacScheme:
        return HmacScheme(**{key.lower(): value for key, value in _value("WEBHOOK_HMAC").items()})

    @property
    def field_keys(self) -> list[Secret]:
        """The first key encrypts, all decrypt. Raises: ImproperlyConfigured when none is set outside development."""
        return [Secret(key) for key in _list(_value("FIELD_KEYS")) or [_built_in("FIELD_KEYS")]]

    @property
    def hash_key(self) -> Secret:
        """Raises: ImproperlyConfigured when it is not set outside development."""
        return Secret(str(_value("HASH_KEY")) or _built_in("HASH_KEY"))

    @property
    def poll_seconds(self) -> list[int]:
        return [int(seconds) for seconds in _list(_value("POLL_SECONDS"))]

    @property
    def rate_limit(self) -> tuple[int, int]:
        """`100/min` as (requests, seconds). Raises: ValueError."""
        count, _, period = str(_value("RATE_LIMIT")).partition("/")
        if period not in _PERIODS or not count.isdecimal() or int(count) < 1:
            raise ValueError("RATE_LIMIT is not a count and a period")
        return int(count), _PERIODS[period]

    @property
    def compare_at(self) -> clock_time | None:
        """The time of day (UTC) of the nightly comparison; None: it is switched off. Raises: ValueError."""
        written = str(_value("COMPARE_AT") or "").strip()
        return datetime.strptime(written, "%H:%M").time() if written else None  # noqa: DTZ007 -- a time of day

    @property
    def rates_source(self) -> Callable[[], Any]:
        """The class of the source of exchange rates, a payments.rates.RatesSource. Raises: ImportError."""
        source: Callable[[], Any] = import_string(str(_value("RATES_SOURCE")))
        return source

    @property
    def rates(self) -> dict[str, Decimal]:
        """Francs for one unit, by currency. Written as a dict, or as text: `USD:605.25`.

        Raises: ValueError, ArithmeticError.
        """
        value = _value("RATES")
        pairs = value.items() if isinstance(value, Mapping) else (part.split(":") for part in _list(value))
        return {str(currency).strip(): Decimal(str(rate)) for currency, rate in pairs}

    @property
    def payable_path(self) -> str:
        """PAYABLE as written: a dotted path, ANY_AMOUNT, or "" when it is not set."""
        return str(_value("PAYABLE") or "")

    @property
    def payable_target(self) -> Any:
        """The object that PAYABLE names: a subclass of Payable or a function. None: not set, or any amount may be paid.

        Raises: ImportError.
        """
        path = self.payable_path
        return import_string(path) if path not in ("", ANY_AMOUNT) else None

    @property
    def payable(self) -> Callable[..., Any] | None:
        """The function that returns what is owed. None: any amount within the provider's limits may be paid."""
        target = self.payable_target
        price: Callable[..., Any] | None = target().price if isinstance(target, type) else target
        return price

    @property
    def review_two_person_above(self) -> int | None:
        """The charged amount, in minor units, above which two persons close a review. None: one person always may."""
        value = _value("REVIEW_TWO_PERSON_ABOVE")
        return None if value in (None, "") else int(value)


feexpay = Settings()


def _built_in(name: str) -> str:
    if feexpay.environment != DEVELOPMENT:
        raise ImproperlyConfigured(f'FEEXPAY["{name}"] is not set: `manage.py check --deploy` says how to make one.')
    return _DEVELOPMENT_KEYS[name]


# --- the gateway client ------------------------------------------------------------------------------

_transport: Transport | None = None


def gateway() -> Gateway:
    """The client for the current settings: one object per set of values, so that connections are reused."""
    return _shared(*_gateway_settings()) if _transport is None else gateway_over(_transport)


def gateway_over(transport: Transport) -> Gateway:
    """A client for the current settings that uses `transport`."""
    return _build(*_gateway_settings(), transport)


def transport() -> Transport:
    """The transport for the current settings, or the one of `use_transport`."""
    return _transport or HttpTransport(proxy=feexpay.proxy.reveal())


def _gateway_settings() -> tuple[Secret, str, str, Secret, tuple[str, ...], bool]:
    where = feexpay.base_url, feexpay.proxy, tuple(feexpay.insecure_hosts), feexpay.sandbox_allowed
    return feexpay.api_key, feexpay.shop_id, *where


def _build(
    api_key: Secret,
    shop_id: str,
    base_url: str,
    proxy: Secret,
    insecure_hosts: tuple[str, ...],
    sandbox_allowed: bool,
    transport: Transport | None = None,
) -> Gateway:
    return Gateway(
        api_key=api_key.reveal(),
        shop_id=shop_id,
        base_url=base_url,
        proxy=proxy.reveal(),
        insecure_hosts=insecure_hosts,
        sandbox_allowed=sandbox_allowed,
        transport=transport,
        observer=_notify_observers,
    )


_shared = lru_cache(maxsize=8)(_build)

_observers: list[Callable[[CallSeen], None]] = []


def observe(observer: Callable[[CallSeen], None]) -> None:
    """Call `observer` after every call to FeexPay, in the calling thread. It must not raise.

    Safe to repeat: yes.
    """
    if observer not in _observers:
        _observers.append(observer)


def _notify_observers(seen: CallSeen) -> None:
    for observer in _observers:
        try:
            observer(seen)
        except Exception as error:  # an observer's fault must not lose FeexPay's reply
            logger.error("an observer failed: %s", type(error).__name__)


@contextmanager
def use_transport(transport: Transport) -> Iterator[None]:
    """Replace the transport, for tests and simulations."""
    global _transport
    before, _transport = _transport, transport
    try:
        yield
    finally:
        _transport = before


# --- the clock ---------------------------------------------------------------------------------------

#: Another process's timestamp may be this far in our future. A later one was written by a wrong clock and is ignored.
CLOCK_SLACK = timedelta(minutes=1)

#: How long the monotonic clock continues a reading of the database's clock.
_CLOCK_TRUST_SECONDS = 30.0


class DatabaseClock:
    """PostgreSQL's time, so that workers on hosts with wrong clocks agree on due rows; on SQLite the host's time.

    Each process reads it at most every 30 s and adds the monotonic clock, so a jump of the host's clock has no effect.
    """

    def __init__(self) -> None:
        self._read: tuple[datetime, float] | None = None

    def __call__(self) -> datetime:
        if connection.vendor != "postgresql":
            return timezone.now()
        if self._read is None or time.monotonic() - self._read[1] > _CLOCK_TRUST_SECONDS:
            with connection.cursor() as cursor:
                cursor.execute("SELECT clock_timestamp()")
                self._read = cursor.fetchone()[0].astimezone(UTC), time.monotonic()
        at, monotonic = self._read
        return at + timedelta(seconds=time.monotonic() - monotonic)


_clock: Callable[[], datetime] = DatabaseClock()


def now() -> datetime:
    """The current time for everything in this app, timezone-aware."""
    return _clock()


@contextmanager
def use_clock(clock: Callable[[], datetime]) -> Iterator[None]:
    """Replace the clock, for simulations."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = before
