"""System checks of the host's settings, each id yielded by one function.

`manage.py check` and every command report what is wrong on any machine. `manage.py check --deploy` adds what only a
server needs: a developer's machine, a CI without keys and a host's test run never fail on it. An error stops what would
lose money or leak; a warning names a risk. An id is never reused for another meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.management.base import CommandError

from django_feexpay import conf
from django_feexpay.catalogue.web_addresses import secure_url, why_refused
from django_feexpay.conf import DEFAULTS, feexpay
from django_feexpay.gateway.signatures import MODES, keys_of
from django_feexpay.gateway.transport import HttpTransport
from django_feexpay.monitoring.webhook_route import webhook_path
from django_feexpay.payable import Payable
from django_feexpay.payments import rates
from django_feexpay.payments.durability import apps_outside_default
from django_feexpay.signals import payment_succeeded

#: 45 s of sweeping and the 120 s that the payer of a synchronous provider has.
_LONGEST_SWEEP_SECONDS = 180
#: 3.5 worker pools of `--concurrency` (8), 16 delivering threads, the comparison, and the loop itself.
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
    """What is wrong on any machine. Needs no database."""
    return list(_shape()) or _all_of(_CHECKS)


@register(Tags.compatibility, deploy=True)
def check_deployment(**kwargs: Any) -> list[CheckMessage]:
    """What only a server needs: keys, the real gateway, PostgreSQL, a shared cache. `manage.py check --deploy`."""
    return [] if list(_shape()) else _all_of(_DEPLOYMENT_CHECKS)


def refuse_unsafe_server() -> None:
    """Raise CommandError with the errors of `check_deployment`, so that no worker runs on a server that has them."""
    errors = [message for message in check_deployment() if message.is_serious()]
    if errors:
        raise CommandError("\n".join(f"{error.id} {error.msg} {error.hint}" for error in errors))


def _all_of(checks: Sequence[Callable[[], Found]]) -> list[CheckMessage]:
    return [message for check in checks for message in check()]


def _error(number: int, text: str, hint: str) -> Error:
    return Error(text, hint=hint, id=f"feexpay.E{number:03}")


def _warning(number: int, text: str, hint: str) -> Warning:
    return Warning(text, hint=hint, id=f"feexpay.W{number:03}")


def _shape() -> Found:
    """The types that every other check relies on."""
    if not isinstance(conf.given(), Mapping):
        yield _error(1, "FEEXPAY is not a dict.", 'Write FEEXPAY = {"API_KEY": …, "SHOP_ID": …}.')
        return
    for name in (name for name, default in DEFAULTS.items() if isinstance(default, list)):
        if not isinstance(conf.given().get(name, []), str | list | tuple):
            yield _error(
                24, f'FEEXPAY["{name}"] is not a list.', "Write a list, or its items in one string with commas."
            )


def _in_development() -> bool:
    return feexpay.environment == conf.DEVELOPMENT


def _unknown_keys() -> Found:
    for name in sorted(map(str, set(conf.given()) - set(DEFAULTS))):
        nearest = get_close_matches(name.upper().removeprefix("FEEXPAY_"), DEFAULTS, n=1)
        hint = f'Did you mean "{nearest[0]}"?' if nearest else f"The settings are {', '.join(sorted(DEFAULTS))}."
        yield _error(2, f'FEEXPAY["{name}"] is not a setting.', hint)


_CREDENTIALS_HINT = "Copy it from FeexPay's dashboard, menu Développeur."


def _missing_credentials() -> list[str]:
    return [name for name in ("API_KEY", "SHOP_ID") if not conf.given().get(name)]


def _credentials() -> Found:
    if _in_development():
        for name in _missing_credentials():
            yield _warning(1, f'FEEXPAY["{name}"] is not set.', _CREDENTIALS_HINT)


def _credentials_of_server() -> Found:
    if not _in_development():
        for name in _missing_credentials():
            yield _error(3, f'FEEXPAY["{name}"] is not set.', _CREDENTIALS_HINT)


def _live_key() -> Found:
    if _in_development() and feexpay.api_key.reveal().startswith("fp_"):
        yield _warning(2, "A live API key in development: payments are real.", "Use the sandbox, or a test key.")


def _test_key() -> Found:
    if feexpay.environment == conf.PRODUCTION and feexpay.api_key.reveal().startswith("test_"):
        yield _error(4, "A test API key in production: no payment is real.", "Use the key that begins with fp_.")


def _base_url() -> Found:
    if _is_unreadable(feexpay.base_url):
        # The message does not quote the address: it may hold a password.
        yield _error(5, "BASE_URL is not a plain web address.", "For example https://host/api.")
    elif feexpay.sandbox_allowed:
        yield from _refused_address()


def _base_url_in_production() -> Found:
    if not _is_unreadable(feexpay.base_url) and not feexpay.sandbox_allowed:
        yield from _refused_address()


def _is_unreadable(address: str) -> bool:
    parts = _split(address)
    is_readable = parts.hostname and parts.scheme in ("http", "https")
    return not is_readable or bool(parts.username or parts.query or parts.fragment)


def _refused_address() -> Found:
    if reason := why_refused(
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
            hint = "Write the host name only, in lower case, without https:// and without a port: shop.example.com."
            yield _warning(10, f"RETURN_HOSTS: {host!r} is not a host name, so it matches no address.", hint)


def _require_idempotency_key() -> Found:
    value = conf.given().get("REQUIRE_IDEMPOTENCY_KEY", False)
    if not isinstance(value, bool):
        yield _error(26, f"REQUIRE_IDEMPOTENCY_KEY is {value!r}.", "Write True or False; the string 'False' is true.")


def _webhook_modes() -> Found:
    for mode in feexpay.webhook_modes:
        if mode not in MODES:
            yield _error(8, f"Unknown webhook mode {mode!r}.", f"Choose from {', '.join(MODES)}.")
        elif mode != "status":
            yield from _secrets_of(mode)
    yield from _unprefixed_secrets()


def _unprefixed_secrets() -> Found:
    """Refuse one secret for several modes: a text that is sent in clear as a header must not also sign."""
    needing = [mode for mode in feexpay.webhook_modes if mode != "status"]
    if len(set(needing)) > 1 and any(secret.mode is None for secret in feexpay.webhook_secrets):
        hint = f'Write each as "mode:secret"; the modes are {", ".join(needing)}.'
        yield _error(29, "A secret of WEBHOOK_SECRETS names no mode while several modes are on, so it is unused.", hint)


def _secrets_of(mode: str) -> Found:
    """Without a usable secret a mode refuses every delivery; a short secret can be guessed."""
    keys = keys_of(mode, feexpay.webhook_modes, feexpay.webhook_secrets)
    if not keys:
        hint = f'Put "{mode}:<secret>" into FEEXPAY["WEBHOOK_SECRETS"].'
        yield _error(9, f"Webhook mode {mode!r} is on but has no secret.", hint)
        return
    shortest, needed = min(map(len, keys)), _STRONG_BYTES if mode in _STRONG_MODES else _WEAK_BYTES
    if shortest < needed:
        yield _error(10, f"A secret of webhook mode {mode!r} has {shortest} bytes.", f"At least {needed} are needed.")
    elif shortest < _SHORT_BYTES:
        hint = "Use 24 or more, if the sender of the webhook allows it."
        yield _warning(3, f"A secret of webhook mode {mode!r} has only {shortest} bytes.", hint)


_FIELD_KEY_HINT = (
    'Make one with: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
)
_HASH_KEY_HINT = 'Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"; never change it.'


def _field_keys() -> Found:
    if conf.given().get("FIELD_KEYS"):
        for place, key in enumerate(feexpay.field_keys, 1):
            if not _is_fernet_key(key.reveal()):
                yield _error(12, f"Key {place} of FIELD_KEYS is not a Fernet key.", _FIELD_KEY_HINT)
    elif _in_development():
        yield _warning(4, 'FEEXPAY["FIELD_KEYS"] is not set: a built-in key is used.', _FIELD_KEY_HINT)


def _field_keys_of_server() -> Found:
    if not conf.given().get("FIELD_KEYS") and not _in_development():
        yield _error(11, 'FEEXPAY["FIELD_KEYS"] is not set.', _FIELD_KEY_HINT)


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


def _hash_key() -> Found:
    key = str(conf.given().get("HASH_KEY", ""))
    if key and len(key) < 32:
        yield _error(14, "HASH_KEY is shorter than 32 characters: numbers could be found by trying.", _HASH_KEY_HINT)
    elif not key and _in_development():
        yield _warning(5, 'FEEXPAY["HASH_KEY"] is not set: a built-in key is used.', _HASH_KEY_HINT)


def _hash_key_of_server() -> Found:
    if not conf.given().get("HASH_KEY") and not _in_development():
        yield _error(13, 'FEEXPAY["HASH_KEY"] is not set.', _HASH_KEY_HINT)


def _choices() -> Found:
    for name, known in _CHOICES.items():
        value = conf.given().get(name, DEFAULTS[name])
        if value not in known:
            yield _error(15, f'FEEXPAY["{name}"] is {value!r}.', f"Choose one of {', '.join(filter(None, known))}.")


def _poll_seconds() -> Found:
    try:
        good = bool(feexpay.poll_seconds) and all(seconds >= 1 for seconds in feexpay.poll_seconds)
    except (TypeError, ValueError):
        good = False
    if not good:
        yield _error(16, "POLL_SECONDS is not a list of seconds.", "For example 5,10,15,30,60.")


def _expiry_seconds() -> Found:
    try:
        good = feexpay.expiry.total_seconds() >= 30
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        yield _error(17, "EXPIRY_SECONDS is not a number of at least 30.", "A payer needs time to type a PIN: 900.")


def _rate_limit() -> Found:
    try:
        _ = feexpay.rate_limit
    except ValueError as error:
        yield _error(18, f"RATE_LIMIT: {error}.", "For example 100/min.")


def _compare_at() -> Found:
    try:
        _ = feexpay.compare_at
    except ValueError:
        hint = 'Write a time of day in UTC, for example "02:00"; "" switches the nightly comparison off.'
        yield _error(28, "COMPARE_AT is not a time of day.", hint)


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
            continue  # one person closes a review alone
        if isinstance(value, bool) or not str(value).isdecimal() or int(value) < least:
            yield _error(27, f'FEEXPAY["{name}"] is {value!r}.', f"Write a whole number, at least {least}.")


def _payable() -> Found:
    path = conf.given().get("PAYABLE")
    if not path:
        text = "PAYABLE is not set: POST initiate/ answers 503 not_configured, as any client could name its own price."
        hint = (
            'Set FEEXPAY["PAYABLE"] to the dotted path of a subclass of django_feexpay.Payable, for example'
            ' "shop.orders.Orders", or to "any_amount" if payers choose the amount.'
        )
        yield _warning(14, text, hint)
        return
    why = ""
    try:
        good = path == conf.ANY_AMOUNT or _names_a_price(feexpay.payable_target)
    except (ImportError, AttributeError) as error:
        good, why = False, f": {error}"
    if not good:
        hint = (
            'The dotted path of a subclass of django_feexpay.Payable with a method "price", for example'
            ' "shop.orders.Orders"; or of a function that returns the price; or "any_amount".'
        )
        yield _error(19, f"PAYABLE {path!r} names no price{why}.", hint)


def _names_a_price(target: Any) -> bool:
    if not isinstance(target, type):
        return callable(target)
    return issubclass(target, Payable) and target.price is not Payable.price


def _rates_source() -> Found:
    hint = "Write the dotted path of a subclass of django_feexpay.payments.rates.RatesSource."
    try:
        source = feexpay.rates_source
    except (ImportError, AttributeError):
        yield _error(41, "RATES_SOURCE cannot be imported.", hint)
        return
    if not (isinstance(source, type) and issubclass(source, rates.RatesSource)):
        yield _error(42, "RATES_SOURCE is not a subclass of RatesSource.", hint)
    elif issubclass(source, rates.HttpRates):
        yield from _rates_url()


def _rates_url() -> Found:
    """No message quotes the address: it may hold a key."""
    if secure_url(feexpay.rates_url.reveal()) is None:
        yield _error(43, "RATES_URL is not an https address.", "For example https://host/latest?base={currency}.")
    if not feexpay.rates_key_path:
        yield _error(44, "RATES_KEY_PATH is not set.", "Write the path of the rate in the answer: rates.{into}.")


def _rates() -> Found:
    hint = 'Write francs for one unit, by currency: {"USD": "605.25"}, or USD:605.25 in the environment.'
    try:
        configured = feexpay.rates
    except (ValueError, ArithmeticError, TypeError, AttributeError):
        yield _error(45, "RATES is not a list of exchange rates.", hint)
        return
    for currency, rate in configured.items():
        if currency not in rates.PLAUSIBLE:
            yield _error(46, f"RATES: {currency!r} is not a currency that needs a rate.", hint)
        elif not rates.is_plausible(currency, rate):
            yield _error(47, f"RATES: one {currency} cannot be worth {rate} francs.", hint)


def _rates_stale() -> Found:
    try:
        good = feexpay.rates_stale >= rates.FRESH
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        yield _error(48, "RATES_STALE_SECONDS is not a number of at least 3600.", "For example 86400, one day.")


def _webhook_hmac() -> Found:
    try:
        good = feexpay.webhook_hmac.encoding in ("hex", "base64")
    except (TypeError, AttributeError):
        good = False
    if not good:
        hint = "The keys are HEADER, PREFIX, ENCODING (hex or base64) and TIMESTAMP_HEADER."
        yield _error(20, "WEBHOOK_HMAC does not describe a signature.", hint)


def _database() -> Found:
    engine = settings.DATABASES["default"]["ENGINE"]
    if not any(vendor in engine for vendor in ("postgresql", "postgis", "sqlite3", "spatialite")):
        yield _error(21, f"The database {engine} is not supported.", "PostgreSQL in production, SQLite to start.")


def _sqlite_in_production() -> Found:
    if "sqlite" in settings.DATABASES["default"]["ENGINE"] and not settings.DEBUG:
        yield _warning(6, "SQLite in production: one writer at a time, no row locks.", "Use PostgreSQL.")


def _other_database() -> Found:
    if elsewhere := apps_outside_default():
        text = (
            f"DATABASE_ROUTERS keeps the tables of {', '.join(elsewhere)} outside the default database: payments are"
            " refused, because their locks and transactions use the default connection."
        )
        hint = 'Let the router leave the app "feexpay" and AUTH_USER_MODEL on "default", or return None for them.'
        yield _error(52, text, hint)


def _atomic_requests() -> Found:
    if settings.DATABASES["default"].get("ATOMIC_REQUESTS") and feexpay.dispatch != "queue":
        text = (
            "ATOMIC_REQUESTS opens a transaction around each of your views, and start_payment refuses to call FeexPay"
            " inside one: a rollback would forget a payment that the payer was asked for."
        )
        hint = (
            "Put @transaction.non_atomic_requests on the views that start payments, or set"
            ' FEEXPAY["DISPATCH"] = "queue". The API and the webhook are exempt already.'
        )
        yield _warning(15, text, hint)


def _sqlite_transactions() -> Found:
    database = settings.DATABASES["default"]
    if "sqlite" in database["ENGINE"] and database.get("OPTIONS", {}).get("transaction_mode") != "IMMEDIATE":
        hint = 'Set DATABASES["default"]["OPTIONS"]["transaction_mode"] = "IMMEDIATE" and a timeout.'
        yield _warning(7, "SQLite without IMMEDIATE transactions loses writes to 'database is locked'.", hint)


def _autocommit() -> Found:
    if not settings.DATABASES["default"].get("AUTOCOMMIT", True):
        text = 'DATABASES["default"]["AUTOCOMMIT"] is False: payments are refused, because nothing commits them.'
        yield _error(51, text, "Remove it, and use transaction.atomic() where several changes belong together.")


def _connections() -> Found:
    database = settings.DATABASES["default"]
    pooled = database.get("CONN_MAX_AGE", 0) != 0 or database.get("OPTIONS", {}).get("pool")
    if "postgresql" in database["ENGINE"] and not pooled and not settings.DEBUG:
        hint = 'Set DATABASES["default"]["CONN_MAX_AGE"] = 60, or OPTIONS["pool"].'
        yield _warning(8, "Each request opens a new database connection, which leaves a fifth of the throughput.", hint)


def _pool_size() -> Found:
    """psycopg's pool has four connections by default, and a thread that gets none fails."""
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
        yield _error(22, "USE_TZ is off: an hour each year would be ambiguous.", "Set USE_TZ = True.")


QUEUE_TIMING_HINT = 'For example "timeout": 240, "retry": 480.'


def queue_timing() -> Found:
    """django-q2 starts a task again after `retry` seconds, even while it still runs."""
    cluster = getattr(settings, "Q_CLUSTER", {})
    if not cluster:
        return
    timeout, retry = cluster.get("timeout"), cluster.get("retry", 60)
    if timeout is None or retry <= timeout:
        yield _error(23, "Q_CLUSTER needs a timeout, and a retry that is longer.", QUEUE_TIMING_HINT)
    elif timeout < _LONGEST_SWEEP_SECONDS:
        # A killed sweep loses no payment, but it may lose an answer, and then searches FeexPay's history for it.
        text = f"Q_CLUSTER: timeout is below {_LONGEST_SWEEP_SECONDS} s, the longest sweep with a synchronous provider."
        yield _warning(11, text, QUEUE_TIMING_HINT)


def _shared_cache() -> Found:
    backend = settings.CACHES["default"]["BACKEND"]
    if "locmem" in backend and not settings.DEBUG:
        text = "Processes do not share the cache: each has its own rate limits, circuit breakers and provider list."
        yield _warning(9, text, "Use Redis.")


def _mounted_urls() -> Found:
    if getattr(settings, "ROOT_URLCONF", None) and not webhook_path():
        hint = 'Add path("payments/", include("django_feexpay.urls")) to your urls.'
        yield _warning(13, "django_feexpay.urls is not mounted: FeexPay's webhooks have no address here.", hint)


def receivers() -> Found:
    if not payment_succeeded.has_listeners():
        hint = (
            'Override `paid` in the class that FEEXPAY["PAYABLE"] names, or connect a receiver to'
            " django_feexpay.signals.payment_succeeded in AppConfig.ready()."
        )
        yield _warning(16, "Nothing receives payment_succeeded: a paid order would stay unpaid.", hint)


_CHECKS: tuple[Callable[[], Found], ...] = (
    _unknown_keys,
    _credentials,
    _live_key,
    _base_url,
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
    receivers,
    _rates_source,
    _rates,
    _rates_stale,
    _webhook_hmac,
    _database,
    _other_database,
    _sqlite_transactions,
    _autocommit,
    _atomic_requests,
    _pool_size,
    _time_zones,
    queue_timing,
    _mounted_urls,
)
_DEPLOYMENT_CHECKS: tuple[Callable[[], Found], ...] = (
    _credentials_of_server,
    _test_key,
    _base_url_in_production,
    _insecure_hosts,
    _field_keys_of_server,
    _hash_key_of_server,
    _sqlite_in_production,
    _connections,
    _shared_cache,
)
