"""Everything a host can get wrong in its settings, found by `manage.py check`, one function an id.

Errors stop what would lose money or leak; warnings name what is right on a developer's machine and wrong elsewhere.
Ids are never used again for another meaning. What is about FeexPay is judged by FEEXPAY["ENVIRONMENT"], what is about
the server by DEBUG.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.utils.module_loading import import_string

from django_feexpay import conf
from django_feexpay.catalogue.web_addresses import secure_url
from django_feexpay.conf import DEFAULTS, feexpay
from django_feexpay.gateway.addresses import why_refused
from django_feexpay.gateway.signatures import MODES, keys_of
from django_feexpay.gateway.transport import HttpTransport
from django_feexpay.payments import rates

#: 45 s of sweeping, and the 120 s a synchronous provider's payer has.
_LONGEST_SWEEP_SECONDS = 180
#: Three and a half pools by `--concurrency` (8), sixteen who deliver, the one that compares, and the loop itself.
_WORKER_CONNECTIONS = 46
_STRONG_MODES = frozenset({"hmac", "standard_webhooks"})
_STRONG_BYTES, _WEAK_BYTES, _SHORT_BYTES = 24, 8, 24
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "ENVIRONMENT": ("", conf.DEVELOPMENT, conf.STAGING, conf.PRODUCTION),
    "DISPATCH": ("inline", "queue"),
    "FEE_PAYER": ("merchant", "payer"),
    "RATES_QUOTED_IN": ("", "EUR"),
    "SECRETS_BACKEND": ("env",),
}

Found = Iterator[CheckMessage]


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """All checks of the dict FEEXPAY; they need no database."""
    shape = list(_shape())
    return shape or [message for check in _CHECKS for message in check()]


def _error(number: int, text: str, hint: str) -> Error:
    return Error(text, hint=hint, id=f"feexpay.E{number:03}")


def _warning(number: int, text: str, hint: str) -> Warning:
    return Warning(text, hint=hint, id=f"feexpay.W{number:03}")


def _shape() -> Found:
    """What the other checks take for granted."""
    if not isinstance(conf.given(), Mapping):
        yield _error(1, "FEEXPAY is not a dict.", 'Write FEEXPAY = {"API_KEY": …, "SHOP_ID": …}.')
        return
    for name in (name for name, default in DEFAULTS.items() if isinstance(default, list)):
        if not isinstance(conf.given().get(name, []), str | list | tuple):
            yield _error(24, f'FEEXPAY["{name}"] is no list.', "A list, or its items in a string with commas.")


def _in_development() -> bool:
    return feexpay.environment == conf.DEVELOPMENT


def _unknown_keys() -> Found:
    for name in sorted(set(conf.given()) - set(DEFAULTS)):
        yield _error(2, f'FEEXPAY["{name}"] is not a setting.', f"Known are {', '.join(sorted(DEFAULTS))}.")


def _credentials() -> Found:
    for name in ("API_KEY", "SHOP_ID"):
        if not conf.given().get(name):
            text, hint = f'FEEXPAY["{name}"] is not set.', "It is in FeexPay's dashboard, menu Développeur."
            yield _warning(1, text, hint) if _in_development() else _error(3, text, hint)


def _key_and_mode() -> Found:
    key = feexpay.api_key.reveal()
    if _in_development() and key.startswith("fp_"):
        yield _warning(2, "A live API key in development: payments are real.", "Use the sandbox, or a test key.")
    if feexpay.environment == conf.PRODUCTION and key.startswith("test_"):
        yield _error(4, "A test API key in production: no payment would be real.", "Use the key that begins with fp_.")


def _base_url() -> Found:
    parts = _split(feexpay.base_url)
    host = parts.hostname or ""
    if not host or parts.scheme not in ("http", "https") or parts.username or parts.query or parts.fragment:
        # The address itself is not told: it may hold a password.
        yield _error(5, "BASE_URL is no plain web address.", "For example https://host/api.")
    elif reason := why_refused(
        feexpay.base_url, insecure_hosts=feexpay.insecure_hosts, sandbox_allowed=feexpay.sandbox_allowed
    ):
        hint = (
            'Use https. For a sandbox set FEEXPAY["ENVIRONMENT"] to "development" or "staging", and list a host that is'
            ' not this machine in FEEXPAY["INSECURE_HOSTS"].'
        )
        yield _error(6, f"BASE_URL is not used: {reason}.", hint)


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:  # a broken IPv6 host
        return urlsplit("")


def _insecure_hosts() -> Found:
    if feexpay.insecure_hosts and not feexpay.sandbox_allowed:
        yield _error(7, "INSECURE_HOSTS is set in production.", "Remove it.")


def _proxy() -> Found:
    try:
        HttpTransport(proxy=feexpay.proxy.reveal())
    except ValueError as error:
        yield _error(25, f"PROXY: {error}.", "For example http://user:password@10.0.0.1:3128.")


def _return_hosts() -> Found:
    for host in feexpay.return_hosts:
        if _split(f"//{host}").hostname != host:
            hint = "Only the host's name, in lower case: shop.example.com, without https:// and without a port."
            yield _warning(10, f"RETURN_HOSTS: {host!r} is no host's name and matches no address.", hint)


def _require_idempotency_key() -> Found:
    value = conf.given().get("REQUIRE_IDEMPOTENCY_KEY", False)
    if not isinstance(value, bool):
        yield _error(26, f"REQUIRE_IDEMPOTENCY_KEY is {value!r}.", "True or False; the string 'False' would be true.")


def _webhook_modes() -> Found:
    for mode in feexpay.webhook_modes:
        if mode not in MODES:
            yield _error(8, f"Unknown webhook mode {mode!r}.", f"Known are {', '.join(MODES)}.")
        elif mode != "status":
            yield from _secrets_of(mode)
    yield from _unprefixed_secrets()


def _unprefixed_secrets() -> Found:
    """The same text as a header that is sent in clear and as a key that signs would protect nothing."""
    needing = [mode for mode in feexpay.webhook_modes if mode != "status"]
    if len(set(needing)) > 1 and any(secret.mode is None for secret in feexpay.webhook_secrets):
        hint = f'Write each as "mode:secret", with a mode of {", ".join(needing)}.'
        yield _error(29, "A secret of WEBHOOK_SECRETS names no mode while several modes are on: it is not used.", hint)


def _secrets_of(mode: str) -> Found:
    """A listed mode without a usable secret would refuse every delivery; a short one could be guessed."""
    keys = keys_of(mode, feexpay.webhook_modes, feexpay.webhook_secrets)
    if not keys:
        hint = f'Put "{mode}:<secret>" into FEEXPAY["WEBHOOK_SECRETS"].'
        yield _error(9, f"Webhook mode {mode!r} is on but has no secret.", hint)
        return
    shortest, needed = min(map(len, keys)), _STRONG_BYTES if mode in _STRONG_MODES else _WEAK_BYTES
    if shortest < needed:
        yield _error(10, f"A secret of webhook mode {mode!r} has {shortest} bytes.", f"At least {needed} are needed.")
    elif shortest < _SHORT_BYTES:
        hint = "Take 24 or more, if what sends the webhook lets you."
        yield _warning(3, f"A secret of webhook mode {mode!r} has only {shortest} bytes.", hint)


def _field_keys() -> Found:
    hint = 'Make one with: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
    if not conf.given().get("FIELD_KEYS"):
        text = 'FEEXPAY["FIELD_KEYS"] is not set'
        if _in_development():
            yield _warning(4, f"{text}: a built-in key is used.", hint)
        else:
            yield _error(11, f"{text}.", hint)
        return
    for place, key in enumerate(feexpay.field_keys, 1):
        if not _is_fernet_key(key.reveal()):
            yield _error(12, f"Key {place} of FIELD_KEYS is not a Fernet key.", hint)


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


def _hash_key() -> Found:
    hint = 'Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"; never change it.'
    key = str(conf.given().get("HASH_KEY", ""))
    if not key:
        text = 'FEEXPAY["HASH_KEY"] is not set'
        if _in_development():
            yield _warning(5, f"{text}: a built-in key is used.", hint)
        else:
            yield _error(13, f"{text}.", hint)
    elif len(key) < 32:
        yield _error(14, "HASH_KEY is shorter than 32 characters: numbers could be found by trying.", hint)


def _choices() -> Found:
    for name, known in _CHOICES.items():
        value = conf.given().get(name, DEFAULTS[name])
        if value not in known:
            yield _error(15, f'FEEXPAY["{name}"] is {value!r}.', f"Known are {', '.join(known)}.")


def _poll_seconds() -> Found:
    try:
        good = bool(feexpay.poll_seconds) and all(seconds >= 1 for seconds in feexpay.poll_seconds)
    except (TypeError, ValueError):
        good = False
    if not good:
        yield _error(16, "POLL_SECONDS is no list of seconds.", "For example 5,10,15,30,60.")


def _expiry_seconds() -> Found:
    try:
        good = feexpay.expiry.total_seconds() >= 30
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        yield _error(17, "EXPIRY_SECONDS is no number of at least 30.", "A payer needs time to type a PIN: 900.")


def _rate_limit() -> Found:
    try:
        _ = feexpay.rate_limit
    except ValueError as error:
        yield _error(18, f"RATE_LIMIT: {error}.", "For example 100/min.")


def _compare_at() -> Found:
    try:
        _ = feexpay.compare_at
    except ValueError:
        hint = 'A time of day in UTC, for example "02:00"; "" for no comparison at night.'
        yield _error(28, "COMPARE_AT is no time of day.", hint)


def _bounds() -> Found:
    bounds = {
        "MAX_ATTEMPTS": 1,
        "PROMPTS_PER_PHONE": 0,
        "REVIEW_TWO_PERSON_ABOVE": 0,
        "GATEWAY_PER_SECOND": 0,
        "GATEWAY_AT_ONCE": 0,
    }
    for name, least in bounds.items():
        value = conf.given().get(name, DEFAULTS[name])
        if name == "REVIEW_TWO_PERSON_ABOVE" and value in (None, ""):
            continue  # one person is enough
        if isinstance(value, bool) or not str(value).isdecimal() or int(value) < least:
            yield _error(27, f'FEEXPAY["{name}"] is {value!r}.', f"A whole number, at least {least}.")


def _payable() -> Found:
    path = conf.given().get("PAYABLE")
    try:
        good = path is None or callable(import_string(path))
    except (ImportError, AttributeError):
        good = False
    if not good:
        yield _error(19, f"PAYABLE {path!r} is no function.", 'A dotted path, for example "shop.prices.payable".')


def _rates_source() -> Found:
    hint = "A dotted path to a subclass of django_feexpay.payments.rates.RatesSource."
    try:
        source = feexpay.rates_source
    except (ImportError, AttributeError):
        yield _error(41, "RATES_SOURCE leads to nothing.", hint)
        return
    if not (isinstance(source, type) and issubclass(source, rates.RatesSource)):
        yield _error(42, "RATES_SOURCE is no source of exchange rates.", hint)
    elif issubclass(source, rates.HttpRates):
        yield from _rates_url()


def _rates_url() -> Found:
    """The address itself is not told: it may hold a key."""
    if secure_url(feexpay.rates_url.reveal()) is None:
        yield _error(43, "RATES_URL is no https address.", "For example https://host/latest?base={currency}.")
    if not feexpay.rates_key_path:
        yield _error(44, "RATES_KEY_PATH is not set.", "Where the rate stands in the answer: rates.{into}.")


def _rates() -> Found:
    hint = 'Francs for one unit, by currency: {"USD": "605.25"}, or USD:605.25 in the environment.'
    try:
        told = feexpay.rates
    except (ValueError, ArithmeticError, TypeError, AttributeError):
        yield _error(45, "RATES is no list of exchange rates.", hint)
        return
    for currency, rate in told.items():
        if currency not in rates.PLAUSIBLE:
            yield _error(46, f"RATES: {currency!r} is no currency that has to be looked up.", hint)
        elif not rates.is_plausible(currency, rate):
            yield _error(47, f"RATES: {rate} cannot be the francs for one {currency}.", hint)


def _rates_stale() -> Found:
    try:
        good = feexpay.rates_stale >= rates.FRESH
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        yield _error(48, "RATES_STALE_SECONDS is no number of at least 3600.", "A day: 86400.")


def _webhook_hmac() -> Found:
    try:
        good = feexpay.webhook_hmac.encoding in ("hex", "base64")
    except (TypeError, AttributeError):
        good = False
    if not good:
        hint = "Keys are HEADER, PREFIX, ENCODING (hex or base64) and TIMESTAMP_HEADER."
        yield _error(20, "WEBHOOK_HMAC describes no signature.", hint)


def _database() -> Found:
    engine = settings.DATABASES["default"]["ENGINE"]
    if not any(vendor in engine for vendor in ("postgresql", "postgis", "sqlite3", "spatialite")):
        yield _error(21, f"The database {engine} is not supported.", "PostgreSQL in production, SQLite to start.")
    elif "sqlite" in engine and not settings.DEBUG:
        yield _warning(6, "SQLite in production: one writer at a time, no row locks.", "Use PostgreSQL.")


def _sqlite_transactions() -> Found:
    database = settings.DATABASES["default"]
    if "sqlite" in database["ENGINE"] and database.get("OPTIONS", {}).get("transaction_mode") != "IMMEDIATE":
        hint = 'Set DATABASES["default"]["OPTIONS"]["transaction_mode"] = "IMMEDIATE" and a timeout.'
        yield _warning(7, "SQLite without IMMEDIATE transactions loses writes to 'database is locked'.", hint)


def _autocommit() -> Found:
    if not settings.DATABASES["default"].get("AUTOCOMMIT", True):
        text = 'DATABASES["default"]["AUTOCOMMIT"] is False: no payment is started, as nothing would be committed.'
        yield _error(51, text, "Remove it; use transaction.atomic() where several changes belong together.")


def _connections() -> Found:
    database = settings.DATABASES["default"]
    pooled = database.get("CONN_MAX_AGE", 0) != 0 or database.get("OPTIONS", {}).get("pool")
    if "postgresql" in database["ENGINE"] and not pooled and not settings.DEBUG:
        hint = 'Set DATABASES["default"]["CONN_MAX_AGE"] = 60, or OPTIONS["pool"].'
        yield _warning(8, "Each request opens a new database connection: a fifth of the throughput.", hint)


def _pool_size() -> Found:
    """psycopg's pool has four connections unless it is told otherwise; a thread that finds none free fails."""
    pool = settings.DATABASES["default"].get("OPTIONS", {}).get("pool")
    if not pool:
        return
    options = pool if isinstance(pool, Mapping) else {}
    size = options.get("max_size") or options.get("min_size", 4)
    if size < _WORKER_CONNECTIONS:
        text = f"The connection pool holds {size}; a feexpay_worker uses up to {_WORKER_CONNECTIONS} at once."
        hint = (
            'OPTIONS["pool"] = {"max_size": …}: 4 × --concurrency + 20 for the worker, its threads for a web process.'
        )
        yield _warning(12, text, hint)


def _time_zones() -> Found:
    if not settings.USE_TZ:
        yield _error(22, "USE_TZ is off: instants would be ambiguous.", "Set USE_TZ = True.")


def _queue_timing() -> Found:
    """django-q2 runs a task again after `retry`, also while it still runs."""
    cluster = getattr(settings, "Q_CLUSTER", {})
    if not cluster:
        return
    timeout, retry = cluster.get("timeout"), cluster.get("retry", 60)
    hint = 'For example "timeout": 240, "retry": 480.'
    if timeout is None or retry <= timeout:
        yield _error(23, "Q_CLUSTER: timeout must be set and retry be longer.", hint)
    elif timeout < _LONGEST_SWEEP_SECONDS:
        # Killed, it loses no payment, but an answer that a payer is giving: that attempt is looked for in history.
        text = f"Q_CLUSTER: a sweep with a synchronous provider takes up to {_LONGEST_SWEEP_SECONDS} s."
        yield _warning(11, text, hint)


def _shared_cache() -> Found:
    backend = settings.CACHES["default"]["BACKEND"]
    if "locmem" in backend and not settings.DEBUG:
        text = "The cache is not shared between processes: each has its own RATE_LIMIT, breakers and list of providers."
        yield _warning(9, text, "Use Redis.")


_CHECKS: tuple[Callable[[], Found], ...] = (
    _unknown_keys,
    _credentials,
    _key_and_mode,
    _base_url,
    _insecure_hosts,
    _proxy,
    _return_hosts,
    _require_idempotency_key,
    _webhook_modes,
    _field_keys,
    _hash_key,
    _choices,
    _poll_seconds,
    _expiry_seconds,
    _rate_limit,
    _compare_at,
    _bounds,
    _payable,
    _rates_source,
    _rates,
    _rates_stale,
    _webhook_hmac,
    _database,
    _sqlite_transactions,
    _autocommit,
    _connections,
    _pool_size,
    _time_zones,
    _queue_timing,
    _shared_cache,
)
