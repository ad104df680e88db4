"""The settings in `settings.FEEXPAY`, the gateway client built from them, and the clock.

Only this module reads the dict, each time a value is used; secrets may come from another source. `checks` finds wrong
values. A list may be a Python list or, as environment variables are text, a comma-separated string.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Generic, TypeVar

from django.conf import settings as django_settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import import_string

from django_feexpay.crypto import Secret
from django_feexpay.database_clock import DatabaseClock
from django_feexpay.gateway.client import CallSeen, Gateway
from django_feexpay.gateway.signatures import HmacScheme, WebhookSecret, parse_secrets
from django_feexpay.gateway.transport import HttpTransport, Transport
from django_feexpay.private import PrivateText
from django_feexpay.secrets import backends, dated
from django_feexpay.secrets.api_keys import RefusedKeys
from django_feexpay.secrets.cache import SecretsCache
from django_feexpay.secrets.dated import DatedSecret
from django_feexpay.secrets.source import NAMES, PREFIX, SecretsError
from django_feexpay.setting_values import as_duration, as_list, as_pairs, as_rate, as_seconds, as_time_of_day

logger = logging.getLogger("django_feexpay.payments")

#: Every key of the dict FEEXPAY with its default. A key that is not here is a check error.
DEFAULTS: Mapping[str, Any] = {
    "ENVIRONMENT": "",
    "API_KEY": [],
    "SHOP_ID": "",
    "BASE_URL": "https://api-v2.feexpay.me/api",
    "INSECURE_HOSTS": [],
    "PROXY": "",
    "WEBHOOK_MODES": ["status"],
    "WEBHOOK_SECRETS": [],
    "WEBHOOK_HMAC": {},
    "FIELD_KEYS": [],
    "HASH_KEY": [],
    "AUDIT_KEYS": [],
    "AUDIT_ANCHORS": "",
    "SECRETS_BACKEND": "env",
    "SECRETS_NAME": "",
    "SECRETS_TTL_SECONDS": 300,
    "DISPATCH": "inline",
    "LIVE_STATUS": True,
    "LIVE_STATUS_DATABASE": "default",
    "POLL_SECONDS": [5, 10, 15, 30, 60],
    "EXPIRY_SECONDS": 900,
    "PUSH_EXPIRY_SECONDS": {},
    "RATE_LIMIT": "100/min",
    "RATE_LIMITS": {},
    "NUM_PROXIES": 0,
    "CLIENT_ADDRESS_HEADER": "",
    "UNKNOWN_WEBHOOKS_PER_MINUTE": 300,
    "UNKNOWN_WEBHOOKS_KEPT": 1000,
    "FEE_PAYER": "merchant",
    "RETURN_HOSTS": [],
    "RATES_SOURCE": "django_feexpay.payments.rates.SettingsRates",
    "RATES": {},
    "RATES_URL": "",
    "RATES_KEY_PATH": "",
    "RATES_QUOTED_IN": "",
    "RATES_STALE_SECONDS": 86_400,
    "COMPARE_AT": "02:00",
    "PURGE_AT": "03:00",
    "RETENTION": {},
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
    "SHOP_NAME": "",
    "CHECKOUT_SECONDS": 86_400,
    "MONITOR_TOKEN": [],
    "MONITOR_NETWORKS": [],
    "MONITOR_THRESHOLDS": {},
    "MONITOR_WINDOW_MINUTES": 60,
    "ALERT_URLS": [],
    "ALERT_QUIET_HOURS": "",
}

#: How long each kind of data is kept, unless RETENTION says otherwise. `privacy.retention` says what the kinds are.
RETENTION: Mapping[str, str] = {
    "numbers": "24h",
    "delivery_bodies": "7d",
    "deliveries": "30d",
    "idempotency": "72h",
    "outbox": "90d",
    "comparisons": "400d",
    "heartbeats": "30d",
    "prompt_lifts": "90d",
    "purges": "400d",
    "payers": "10y",
}

DEVELOPMENT, STAGING, PRODUCTION = "development", "staging", "production"
#: PAYABLE: the payer chooses the amount, as for a top-up.
ANY_AMOUNT = "any_amount"

#: The scopes of RATE_LIMITS. A scope that it does not name has the limit RATE_LIMIT, except `webhook`.
RATE_SCOPES = ("initiate", "otp", "status", "quote", "read", "anonymous", "webhook")
#: Per address. A single source of forged webhooks cannot use up UNKNOWN_WEBHOOKS_PER_MINUTE.
_WEBHOOK_RATE = "200/min"

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
    if name in NAMES:
        values = _secret_values()
        if PREFIX + name in values:
            return values[PREFIX + name]
    return given().get(name, DEFAULTS[name])


class _Setting(Generic[Value]):
    """A value of FEEXPAY, converted each time it is read."""

    def __init__(self, name: str, convert: Callable[[Any], Value]) -> None:
        self._name, self._convert = name, convert

    def __get__(self, settings: object, kind: type[object]) -> Value:
        return self._convert(_value(self._name))


class Settings:
    """The values of the dict FEEXPAY with their types. Only what a source of secrets returned is kept in memory."""

    __slots__ = ()

    shop_id = _Setting("SHOP_ID", str)
    base_url = _Setting("BASE_URL", str)
    insecure_hosts = _Setting("INSECURE_HOSTS", as_list)
    #: A Secret, because it may hold a user and a password.
    proxy = _Setting("PROXY", Secret)
    webhook_modes = _Setting("WEBHOOK_MODES", as_list)
    dispatch = _Setting("DISPATCH", str)
    #: Whether payments are sent as events, and their changes announced by NOTIFY.
    live_status = _Setting("LIVE_STATUS", lambda value: value is True)
    #: The alias whose connection listens: not a pooler in transaction mode.
    live_status_database = _Setting("LIVE_STATUS_DATABASE", str)
    expiry = _Setting("EXPIRY_SECONDS", as_seconds)
    fee_payer = _Setting("FEE_PAYER", str)
    return_hosts = _Setting("RETURN_HOSTS", as_list)
    #: A Secret, because it may hold a key.
    rates_url = _Setting("RATES_URL", Secret)
    rates_key_path = _Setting("RATES_KEY_PATH", str)
    #: The currency in which the source quotes: `EUR`, or "" for francs.
    rates_quoted_in = _Setting("RATES_QUOTED_IN", str)
    #: The greatest age of a rate that is used while its source does not answer.
    rates_stale = _Setting("RATES_STALE_SECONDS", as_seconds)
    #: The dotted paths of the notifiers, subclasses of notifications.Notifier.
    notifications = _Setting("NOTIFICATIONS", as_list)
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

    #: The host's own proxies, each of which appends to X-Forwarded-For; 0: the address of the connection counts.
    num_proxies = _Setting("NUM_PROXIES", int)
    #: A header that the nearest proxy always overwrites with the client's address, such as X-Real-IP.
    client_address_header = _Setting("CLIENT_ADDRESS_HEADER", str)
    #: Webhooks of unknown references that are stored in a minute, and that are kept.
    unknown_webhooks_per_minute = _Setting("UNKNOWN_WEBHOOKS_PER_MINUTE", int)
    unknown_webhooks_kept = _Setting("UNKNOWN_WEBHOOKS_KEPT", int)
    #: The directory of the audit anchors; "": none are written.
    audit_anchors = _Setting("AUDIT_ANCHORS", str)
    #: The alias in STORAGES where files made in the background are kept; "": a directory of this machine.
    export_storage = _Setting("EXPORT_STORAGE", str)
    #: The period of the health facts that are rates.
    monitor_window = _Setting("MONITOR_WINDOW_MINUTES", lambda minutes: timedelta(minutes=int(minutes)))
    #: After this many days a file made in the background is deleted.
    export_days = _Setting("EXPORT_DAYS", int)
    #: The name of the shop on the checkout's pages; "": none is shown.
    shop_name = _Setting("SHOP_NAME", str)
    #: How long a payment can be started at a checkout address, unless the call says otherwise.
    checkout_time = _Setting("CHECKOUT_SECONDS", as_seconds)

    @property
    def is_test_run(self) -> bool:
        """Whether a test runner set up Django's test environment, which gives `django.core.mail` an outbox."""
        return hasattr(mail, "outbox")

    @property
    def environment(self) -> str:
        """`development`, `staging` or `production`; an unknown word counts as production.

        Unset: development where DEBUG is on and in a test run, for which Django switches DEBUG off; else production.
        """
        configured = str(_value("ENVIRONMENT"))
        if not configured and (django_settings.DEBUG or self.is_test_run):
            return DEVELOPMENT
        return configured if configured in (DEVELOPMENT, STAGING) else PRODUCTION

    @property
    def sandbox_allowed(self) -> bool:
        return self.environment != PRODUCTION

    @property
    def api_keys(self) -> list[DatedSecret]:
        """All keys, newest first, also those that have ended."""
        return [dated.parse(entry) for entry in map(PrivateText, as_list(_value("API_KEY")))]

    @property
    def api_key(self) -> Secret:
        """The key that is used: the first one that neither has ended nor was refused by FeexPay lately."""
        now = datetime.now(UTC)  # the clock of this host: the database may be away
        return _refused_keys.choose([Secret(key.value) for key in self.api_keys if key.is_current(now)])

    @property
    def webhook_secrets(self) -> tuple[WebhookSecret, ...]:
        return _parsed_secrets(tuple(as_list(_value("WEBHOOK_SECRETS"))))

    @property
    def webhook_hmac(self) -> HmacScheme:
        return HmacScheme(**{key.lower(): value for key, value in _value("WEBHOOK_HMAC").items()})

    @property
    def field_keys(self) -> list[Secret]:
        """The first key encrypts, all decrypt. Raises: ImproperlyConfigured when none is set outside development."""
        # Since Python 3.12 the variable of a comprehension is one of the function's, and an error report shows those.
        return list(map(Secret, as_list(_value("FIELD_KEYS")) or [_built_in("FIELD_KEYS")]))

    @property
    def hash_keys(self) -> list[Secret]:
        """The first key hashes, all are searched. Raises: ImproperlyConfigured when none is set outside development."""
        return list(map(Secret, as_list(_value("HASH_KEY")) or [_built_in("HASH_KEY")]))

    @property
    def audit_keys(self) -> list[Secret]:
        """The first key makes the hashes of new history, all prove older history; the last ones are HASH_KEY.

        Raises: ImproperlyConfigured when no key is set outside development.
        """
        return [*self.given_audit_keys, *self.hash_keys]

    @property
    def given_audit_keys(self) -> list[Secret]:
        """AUDIT_KEYS alone, as the host wrote it."""
        return list(map(Secret, as_list(_value("AUDIT_KEYS"))))

    @property
    def poll_seconds(self) -> list[int]:
        return [int(seconds) for seconds in as_list(_value("POLL_SECONDS"))]

    @property
    def push_expiry(self) -> dict[str, timedelta]:
        """PUSH_EXPIRY_SECONDS by provider code. Written as a dict, or as text: `mtn_ci:300,moov_bj:420`.

        Raises: ValueError. `payments.attempts.expiry_of` applies it.
        """
        return {code: as_seconds(seconds) for code, seconds in as_pairs(_value("PUSH_EXPIRY_SECONDS")).items()}

    @property
    def rate_limit(self) -> tuple[int, int]:
        """`100/min` as (requests, seconds). Raises: ValueError."""
        return as_rate(_value("RATE_LIMIT"))

    @property
    def rate_limits(self) -> dict[str, tuple[int, int]]:
        """RATE_LIMITS as (requests, seconds) by scope. Written as a dict, or as text: `initiate:10/min`.

        Raises: ValueError, also for a scope that does not exist.
        """
        limits = {scope: as_rate(rate) for scope, rate in as_pairs(_value("RATE_LIMITS")).items()}
        if unknown := set(limits) - set(RATE_SCOPES):
            raise ValueError(f"RATE_LIMITS has no scope {sorted(unknown)[0]}")
        return limits

    def rate_of(self, scope: str) -> tuple[int, int]:
        """The limit of one of RATE_SCOPES, as (requests, seconds). Raises: ValueError."""
        return self.rate_limits.get(scope) or (as_rate(_WEBHOOK_RATE) if scope == "webhook" else self.rate_limit)

    @property
    def compare_at(self) -> clock_time | None:
        """The time of day (UTC) of the nightly comparison; None: it is switched off. Raises: ValueError."""
        return as_time_of_day(_value("COMPARE_AT"))

    @property
    def purge_at(self) -> clock_time | None:
        """The time of day (UTC) of the nightly purge; None: it is switched off. Raises: ValueError."""
        return as_time_of_day(_value("PURGE_AT"))

    @property
    def retention(self) -> dict[str, timedelta]:
        """How long each kind is kept. RETENTION is a dict, or text: `numbers:48h,outbox:60d`. Raises: ValueError."""
        return {kind: as_duration(written) for kind, written in {**RETENTION, **as_pairs(_value("RETENTION"))}.items()}

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
        return {currency: Decimal(rate) for currency, rate in as_pairs(_value("RATES")).items()}

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
    def monitor_tokens(self) -> list[Secret]:
        """The tokens that may read the health report and the metrics: all are valid, so that one can be replaced."""
        return [Secret(token) for token in as_list(_value("MONITOR_TOKEN"))]

    @property
    def monitor_networks(self) -> list[IPv4Network | IPv6Network]:
        """The networks that may read the metrics without a token. Raises: ValueError."""
        return [ip_network(network) for network in as_list(_value("MONITOR_NETWORKS"))]

    @property
    def monitor_thresholds(self) -> dict[str, float]:
        """Thresholds by the name of a health fact. A dict, or text: `worker_silent:300,success_rate_low:70`.

        Raises: ValueError.
        """
        return {name: float(written) for name, written in as_pairs(_value("MONITOR_THRESHOLDS")).items()}

    @property
    def alert_urls(self) -> list[Secret]:
        """Where alerts go, as URLs of apprise. Secrets, because they hold passwords and tokens."""
        return [Secret(url) for url in as_list(_value("ALERT_URLS"))]

    @property
    def alert_quiet_hours(self) -> tuple[clock_time, clock_time] | None:
        """`22:00-06:00` in the project's time zone; None: alerts are sent at any time. Raises: ValueError."""
        beginning, dash, end = str(_value("ALERT_QUIET_HOURS") or "").partition("-")
        since, until = as_time_of_day(beginning), as_time_of_day(end)
        if dash and since is not None and until is not None:
            return since, until
        if beginning.strip() or dash:
            raise ValueError("quiet hours are two times of day with a dash")
        return None

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


#: A forged webhook must be cheap: parsing costs more than its signature.
_parsed_secrets = lru_cache(maxsize=4)(parse_secrets)


# --- secrets -----------------------------------------------------------------------------------------

_refused_keys = RefusedKeys()
_secrets: tuple[tuple[str, str, int], SecretsCache] | None = None


def secrets() -> SecretsCache:
    """What the files and the backend of the settings hold. It is read anew when these settings change."""
    global _secrets
    wanted = (
        str(_value("SECRETS_BACKEND")),
        str(_value("SECRETS_NAME")),
        _ttl_seconds(),
    )
    if _secrets is None or _secrets[0] != wanted:
        _secrets = wanted, SecretsCache(backends.reader(*wanted[:2]), wanted[2])
    return _secrets[1]


def _ttl_seconds() -> int:
    """SECRETS_TTL_SECONDS, or its default if a check will report it."""
    value = str(_value("SECRETS_TTL_SECONDS"))
    return int(value) if value.isdecimal() else int(DEFAULTS["SECRETS_TTL_SECONDS"])


def is_set(name: str) -> bool:
    """Whether the host or its source of secrets gave this setting a value."""
    return bool(_value(name))


def load_secrets() -> None:
    """Read the secrets, so that a server without them does not start. Safe to repeat: yes.

    Raises: ImproperlyConfigured.
    """
    if isinstance(given(), Mapping):  # else a check reports it
        _secret_values()


def _secret_values() -> Mapping[str, str]:
    try:
        return secrets().values(may_read=_outside_transactions)
    except SecretsError as error:
        problem = str(error)
    # Outside the handler: the frames of the error hold the reply of the source.
    raise ImproperlyConfigured(f"The secrets of django_feexpay cannot be read. {problem}.")


def _outside_transactions() -> bool:
    """Whether no transaction is open: never wait for another server while a transaction holds its locks."""
    return not any(each.in_atomic_block for each in connections.all(initialized_only=True))


def _another_key(refused: str) -> str | None:
    """Another key after FeexPay refused one, from the source of secrets or from the list; None without one."""
    _refused_keys.add(Secret(refused))
    secrets().refresh()
    key = feexpay.api_key.reveal()
    return key if key and key != refused else None


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
        another_key=_another_key,
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
