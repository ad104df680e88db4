from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.fernet import Fernet
from django.core import mail
from django.core.checks import CheckMessage, registry
from django.core.management.base import CommandError

from django_feexpay import checks
from django_feexpay.conf import feexpay
from django_feexpay.signals import payment_succeeded

ROOT = Path(__file__).parents[2]
LONG = "x" * 32
KEY = Fernet.generate_key().decode()

DEVELOPMENT = {
    "ENVIRONMENT": "development",
    "API_KEY": "test_key",
    "SHOP_ID": "SHOP",
    "FIELD_KEYS": [KEY],
    "HASH_KEY": LONG,
    "PAYABLE": "any_amount",
}
PRODUCTION = {
    "ENVIRONMENT": "production",
    "API_KEY": "fp_key",
    "SHOP_ID": "SHOP",
    "FIELD_KEYS": [KEY, Fernet.generate_key().decode()],
    "HASH_KEY": LONG,
    "PROXY": "http://user:password@10.0.0.1:3128",
    "WEBHOOK_MODES": "status,header",
    "WEBHOOK_SECRETS": "header:Bearer " + LONG,
    "RETURN_HOSTS": ["shop.example"],
    "REQUIRE_IDEMPOTENCY_KEY": True,
    "PAYABLE": "shop.orders.Orders",
}
#: A test server: DEBUG off, a sandbox and a test key.
STAGING = {
    "debug": False,
    "ENVIRONMENT": "staging",
    "API_KEY": "test_key",
    "BASE_URL": "http://sandbox:8801/api",
    "INSECURE_HOSTS": "sandbox",
}
POSTGRES = {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 60, "OPTIONS": {}}


def pooled(pool: object) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 0, "OPTIONS": {"pool": pool}}


SQLITE = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"transaction_mode": "IMMEDIATE"}}
LOCAL_CACHE = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
REDIS_CACHE = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1/0"}}
CLUSTER = {"timeout": 240, "retry": 480}

HTTP_RATES = {
    "RATES_SOURCE": "django_feexpay.payments.rates.HttpRates",
    "RATES_URL": "https://rates.example/",
    "RATES_KEY_PATH": "rates.{into}",
}

DJANGO_SETTINGS = (
    *("USE_TZ", "SECURE_PROXY_SSL_HEADER", "CACHES", "Q_CLUSTER", "FEEXPAY", "DATABASE_ROUTERS", "ROOT_URLCONF"),
    *("EMAIL_BACKEND", "EMAIL_TIMEOUT", "MAILERS"),
)
EMAIL = "django_feexpay.notifications.EmailNotifier"


def mail_by(backend: str, timeout: int | None = None) -> dict[str, Any]:
    """Django's settings for one of its mail backends, as its version wants to be told."""
    path = f"django.core.mail.backends.{backend}.EmailBackend"
    if hasattr(mail, "mailers"):
        return {"MAILERS": {"default": {"BACKEND": path, "OPTIONS": {"timeout": timeout} if timeout else {}}}}
    return {"EMAIL_BACKEND": path, "EMAIL_TIMEOUT": timeout}


Found = Callable[..., list[str]]


class OtherDatabaseRouter:
    """A router that keeps the payments in another database than the default one."""

    def db_for_write(self, model: type[Any], **hints: Any) -> str | None:
        return "payments" if model._meta.label == "feexpay.Payment" else None


@pytest.fixture(autouse=True)
def connected_receiver() -> Iterator[None]:
    """The host listens to `payment_succeeded`, as a project with good settings does."""

    def receiver(**kwargs: object) -> None: ...

    payment_succeeded.connect(receiver, weak=False)
    yield
    payment_succeeded.disconnect(receiver)


@pytest.fixture(autouse=True)
def newest_dependencies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite also runs on the oldest versions of the dependencies, which W017 would name."""
    monkeypatch.setattr("importlib.metadata.version", lambda package: "9999.0")


@pytest.fixture(autouse=True)
def other_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines of other packages: what Django knows of one is its vendor."""
    for engine, vendor in (("backends.mysql", "mysql"), ("backends.zero_downtime", "postgresql")):
        backend = SimpleNamespace(DatabaseWrapper=SimpleNamespace(vendor=vendor))
        monkeypatch.setitem(sys.modules, f"{engine}.base", cast(ModuleType, backend))


@pytest.fixture
def messages(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[CheckMessage]]:
    """The messages of `check --deploy` for a good configuration with `changes`; a change to `...` removes a key.

    `debug` chooses the good configuration of a developer's machine or of production. The names in `own` are Django's
    settings, `database` replaces DATABASES["default"], all others are keys of FEEXPAY.
    """

    def run(*, debug: bool = True, database: dict[str, Any] | None = None, **changes: Any) -> list[CheckMessage]:
        base = DEVELOPMENT if debug else PRODUCTION
        own = {name: changes.pop(name) for name in DJANGO_SETTINGS if name in changes}
        good = {name: value for name, value in (base | changes).items() if value is not ...}
        defaults = {"FEEXPAY": good, "CACHES": LOCAL_CACHE if debug else REDIS_CACHE, "Q_CLUSTER": CLUSTER}
        for name, value in ({"DEBUG": debug} | defaults | own).items():
            setattr(settings, name, value)
        # Not through the `settings` fixture: Django warns when a test overrides DATABASES.
        chosen = (SQLITE if debug else POSTGRES) if database is None else database
        monkeypatch.setitem(settings.DATABASES, "default", chosen)
        return checks.check_settings() + checks.check_deployment()

    return run


@pytest.fixture
def found(messages: Callable[..., list[CheckMessage]]) -> Found:
    """The ids of the messages, without `feexpay.`."""

    def run(**changes: Any) -> list[str]:
        return [str(message.id).removeprefix("feexpay.") for message in messages(**changes)]

    return run


@pytest.mark.parametrize("debug", [True, False], ids=["development", "production"])
def test_good_settings_cause_no_message(found: Found, debug: bool) -> None:
    assert found(debug=debug) == []


def test_staging_may_have_a_sandbox_and_a_test_key(found: Found) -> None:
    assert found(**STAGING) == []


@pytest.mark.parametrize(
    ("debug", "is_test_run", "environment"),
    [(True, False, "development"), (False, False, "production"), (False, True, "development")],
)
def test_unset_environment_follows_debug(
    settings: Any, monkeypatch: pytest.MonkeyPatch, debug: bool, is_test_run: bool, environment: str
) -> None:
    """A host's test run has DEBUG off, too, but counts as development."""
    settings.DEBUG, settings.FEEXPAY = debug, {}
    if not is_test_run:
        monkeypatch.delattr("django.core.mail.outbox")

    assert feexpay.environment == environment


@pytest.mark.parametrize("word", ["production", "prod", "Staging"])
def test_unknown_environment_counts_as_production(settings: Any, word: str) -> None:
    settings.FEEXPAY = {"ENVIRONMENT": word}

    assert (feexpay.environment, feexpay.sandbox_allowed) == ("production", False)


def test_lists_may_be_written_with_commas(found: Found) -> None:
    assert found(FIELD_KEYS=f"{KEY}, {KEY}", POLL_SECONDS="5, 10", WEBHOOK_MODES="status", RETURN_HOSTS="") == []


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("E001", "FEEXPAY is a list", {"FEEXPAY": ["API_KEY"]}),
    ("E002", "misspelt key", {"APIKEY": "x"}),
    ("E002", "setting name with a prefix", {"FEEXPAY_SHOP_ID": "x"}),
    ("E003", "no key in production", {"debug": False, "API_KEY": ...}),
    ("E003", "empty shop in production", {"debug": False, "SHOP_ID": ""}),
    ("W001", "no key in development", {"API_KEY": ...}),
    ("W001", "no shop in development", {"SHOP_ID": ""}),
    ("W002", "live key in development", {"API_KEY": "fp_live"}),
    ("E004", "test key in production", {"debug": False, "API_KEY": "test_key"}),
    ("E005", "address without a scheme", {"BASE_URL": "api-v2.feexpay.me"}),
    ("E005", "unsupported scheme", {"BASE_URL": "ftp://api-v2.feexpay.me"}),
    ("E005", "password inside", {"BASE_URL": "https://user:x@api-v2.feexpay.me/api"}),
    ("E005", "query inside", {"BASE_URL": "https://api-v2.feexpay.me/api?x=1"}),
    ("E005", "broken host", {"BASE_URL": "https://[::1"}),
    ("E006", "plain http to a public host", {"BASE_URL": "http://api-v2.feexpay.me/api"}),
    ("E006", "plain http in production", {"debug": False, "BASE_URL": "http://127.0.0.1/api"}),
    ("E006", "loopback address in production", {"debug": False, "BASE_URL": "https://127.0.0.1/api"}),
    ("E006", "private address in production", {"debug": False, "BASE_URL": "https://10.0.0.5/api"}),
    ("E006", "plain http to an unlisted host in staging", {**STAGING, "BASE_URL": "http://gateway/api"}),
    ("E007", "insecure hosts in production", {"debug": False, "INSECURE_HOSTS": "gateway"}),
    ("E008", "unknown mode", {"WEBHOOK_MODES": "status,magic"}),
    ("E009", "mode without a secret", {"WEBHOOK_MODES": "hmac"}),
    ("E009", "secret of another mode", {"WEBHOOK_MODES": "hmac", "WEBHOOK_SECRETS": f"header:{LONG}"}),
    ("E009", "secret that is not base64", {"WEBHOOK_MODES": "standard_webhooks", "WEBHOOK_SECRETS": "whsec_%%%"}),
    ("E010", "HMAC secret of 23 bytes", {"WEBHOOK_MODES": "hmac", "WEBHOOK_SECRETS": "hmac:" + "x" * 23}),
    ("E010", "header of 7 bytes", {"WEBHOOK_MODES": "header", "WEBHOOK_SECRETS": "header:1234567"}),
    ("E010", "long new secret, short old one", {"WEBHOOK_MODES": "hmac", "WEBHOOK_SECRETS": f"hmac:{LONG},hmac:short"}),
    ("W003", "header of 8 bytes", {"WEBHOOK_MODES": "header", "WEBHOOK_SECRETS": "header:12345678"}),
    ("W004", "built-in field key", {"FIELD_KEYS": ...}),
    ("E011", "no field key in production", {"debug": False, "FIELD_KEYS": ...}),
    ("E003", "no key in staging", {**STAGING, "API_KEY": ""}),
    ("E011", "no field key in staging", {**STAGING, "FIELD_KEYS": ...}),
    ("E013", "no hash key in staging", {**STAGING, "HASH_KEY": ...}),
    ("E012", "no Fernet key", {"FIELD_KEYS": [KEY, "secret"]}),
    ("W005", "built-in hash key", {"HASH_KEY": ""}),
    ("E013", "no hash key in production", {"debug": False, "HASH_KEY": ...}),
    ("E014", "short hash key", {"HASH_KEY": "x" * 31}),
    ("E015", "unknown environment", {"ENVIRONMENT": "prod", "API_KEY": "fp_key"}),
    ("E015", "unknown dispatch", {"DISPATCH": "later"}),
    ("E015", "unknown fee payer", {"FEE_PAYER": "nobody"}),
    ("E084", "end of a key that is no date", {"API_KEY": "test_new, test_old until tomorrow"}),
    ("E085", "no key that has not ended", {"debug": False, "API_KEY": "fp_old until 2020-01-01"}),
    (
        "E029",
        "secret without a mode",
        {"WEBHOOK_MODES": "header,hmac", "WEBHOOK_SECRETS": f"header:{LONG},hmac:{LONG},{LONG}"},
    ),
    ("E028", "comparison time in words", {"COMPARE_AT": "at night"}),
    ("E028", "comparison at hour 24", {"COMPARE_AT": "24:00"}),
    ("E081", "purge time in words", {"PURGE_AT": "at night"}),
    ("E082", "retention as a number", {"RETENTION": 30}),
    ("E082", "retention without a unit", {"RETENTION": {"numbers": "24"}}),
    ("E082", "retention of an unknown kind", {"RETENTION": "payments:10y"}),
    ("E083", "idempotency keys shorter than 72 hours", {"RETENTION": {"idempotency": "71h"}}),
    ("E016", "poll intervals in words", {"POLL_SECONDS": "soon,later"}),
    ("E016", "no poll intervals", {"POLL_SECONDS": []}),
    ("E016", "poll interval of zero", {"POLL_SECONDS": [0, 5]}),
    ("E016", "poll interval None", {"POLL_SECONDS": [None]}),
    ("E017", "expiry in words", {"EXPIRY_SECONDS": "a quarter"}),
    ("E017", "expiry of zero", {"EXPIRY_SECONDS": 0}),
    ("E017", "expiry below 30 s on a server", {**STAGING, "EXPIRY_SECONDS": 29}),
    ("W097", "expiry below 30 s in development", {"EXPIRY_SECONDS": 29}),
    ("E017", "expiry too large for a date", {"EXPIRY_SECONDS": 10**18}),
    ("E017", "expiry None", {"EXPIRY_SECONDS": None}),
    ("W097", "expiry while the prompt lives", {"EXPIRY_SECONDS": 299}),
    ("E096", "push expiry as a number", {"PUSH_EXPIRY_SECONDS": 300}),
    ("E096", "push expiry of no provider", {"PUSH_EXPIRY_SECONDS": "mtn_xx:300"}),
    ("E096", "push expiry below the prompt's life", {"PUSH_EXPIRY_SECONDS": {"mtn_ci": 299}}),
    ("E018", "rate limit without a period", {"RATE_LIMIT": "100"}),
    ("E018", "rate limit with an unknown period", {"RATE_LIMIT": "100/fortnight"}),
    ("E018", "rate limit of zero", {"RATE_LIMIT": "0/min"}),
    ("E018", "rate limit as a number", {"RATE_LIMIT": 100}),
    ("E066", "rate limits without a rate", {"RATE_LIMITS": "initiate"}),
    ("E066", "rate limit of an unknown scope", {"RATE_LIMITS": {"initiates": "10/min"}}),
    ("E066", "rate limits as a number", {"RATE_LIMITS": 10}),
    ("E067", "address header with a colon", {"CLIENT_ADDRESS_HEADER": "X-Real-IP:"}),
    ("E067", "address header that is a list", {"CLIENT_ADDRESS_HEADER": "X-Forwarded-For"}),
    ("W066", "proxy whose addresses are not read", {"debug": False, "SECURE_PROXY_SSL_HEADER": ("HTTP_X", "https")}),
    ("E027", "proxies in words", {"NUM_PROXIES": "one"}),
    ("E027", "no unknown webhooks", {"UNKNOWN_WEBHOOKS_KEPT": 0}),
    ("E019", "PAYABLE names a missing function", {"PAYABLE": "shop.orders.nothing"}),
    ("E019", "PAYABLE names a missing module", {"PAYABLE": "shoppe.orders.Orders"}),
    ("E019", "PAYABLE names a number", {"PAYABLE": "shop.orders.FRANCS"}),
    ("E019", "PAYABLE is a function", {"PAYABLE": print}),
    ("E019", "PAYABLE names another class", {"PAYABLE": "shop.models.Order"}),
    ("E019", "Payable without a price", {"PAYABLE": "django_feexpay.Payable"}),
    ("W014", "PAYABLE not set", {"PAYABLE": ...}),
    ("E061", "NOTIFICATIONS names a missing class", {"NOTIFICATIONS": "shop.sms.Sms"}),
    ("E061", "NOTIFICATIONS has a path without a module", {"NOTIFICATIONS": ["Sms"]}),
    ("E061", "NOTIFICATIONS names another class", {"NOTIFICATIONS": ["shop.models.Order"]}),
    ("E061", "NOTIFICATIONS names a function", {"NOTIFICATIONS": ["django_feexpay.notifications.opt_out"]}),
    ("E024", "NOTIFICATIONS is a dict", {"NOTIFICATIONS": {"mail": True}}),
    ("W061", "e-mail without a timeout", {"NOTIFICATIONS": [EMAIL], **mail_by("smtp")}),
    ("E020", "HMAC scheme with an unknown key", {"WEBHOOK_HMAC": {"ALGORITHM": "md5"}}),
    ("E020", "HMAC scheme as text", {"WEBHOOK_HMAC": "X-Signature"}),
    ("E020", "HMAC encoding unknown", {"WEBHOOK_HMAC": {"ENCODING": "base32"}}),
    ("E021", "MySQL", {"database": {"ENGINE": "backends.mysql"}}),
    ("E051", "autocommit off", {"database": {**SQLITE, "AUTOCOMMIT": False}}),
    ("E052", "payments in another database", {"DATABASE_ROUTERS": [f"{__name__}.OtherDatabaseRouter"]}),
    ("W015", "ATOMIC_REQUESTS", {"database": {**SQLITE, "ATOMIC_REQUESTS": True}}),
    ("W013", "urls of another app only", {"ROOT_URLCONF": "tests.testing.no_urls"}),
    ("W006", "SQLite in production", {"debug": False, "database": SQLITE}),
    ("W007", "SQLite without IMMEDIATE", {"database": {"ENGINE": "django.db.backends.sqlite3"}}),
    (
        "W008",
        "new connection for each request",
        {"debug": False, "database": {"ENGINE": "django.db.backends.postgresql"}},
    ),
    ("E022", "USE_TZ off", {"USE_TZ": False}),
    ("E023", "cluster without a timeout", {"Q_CLUSTER": {"retry": 180}}),
    ("E023", "retry before timeout", {"Q_CLUSTER": {"timeout": 90, "retry": 90}}),
    ("W011", "timeout below the longest sweep", {"Q_CLUSTER": {"timeout": 90, "retry": 180}}),
    ("W009", "local memory cache in production", {"debug": False, "CACHES": LOCAL_CACHE}),
    ("E024", "webhook modes as a number", {"WEBHOOK_MODES": 5}),
    ("E024", "return hosts None", {"RETURN_HOSTS": None}),
    ("E025", "proxy with an unsupported scheme", {"PROXY": "socks5://10.0.0.1:1080"}),
    ("E025", "proxy without a port", {"PROXY": "http://10.0.0.1"}),
    ("W010", "return host written as an address", {"RETURN_HOSTS": ["https://shop.example"]}),
    ("W010", "return host with a port", {"RETURN_HOSTS": ["shop.example:8000"]}),
    ("W010", "return host in capitals", {"RETURN_HOSTS": ["Shop.example"]}),
    ("E065", "payouts as text", {"PAYOUTS": "True"}),
    ("E080", "short audit key after a good one", {"AUDIT_KEYS": [LONG, "x" * 31]}),
    ("W065", "payouts on", {"PAYOUTS": True}),
    ("E090", "short monitor token after a good one", {"MONITOR_TOKEN": ["x" * 24, "x" * 23]}),
    ("E091", "host name as a network", {"MONITOR_NETWORKS": "prometheus.example"}),
    ("E092", "word as a threshold", {"MONITOR_THRESHOLDS": "worker_silent:long"}),
    ("E092", "misspelt fact", {"MONITOR_THRESHOLDS": {"worker_silence": 300}}),
    ("E093", "window of two days", {"MONITOR_WINDOW_MINUTES": 2880}),
    ("E094", "quiet hours without an end", {"ALERT_QUIET_HOURS": "22:00"}),
    ("E026", "boolean as text", {"REQUIRE_IDEMPOTENCY_KEY": "False"}),
    ("E026", "live status as text", {"LIVE_STATUS": "off"}),
    ("E041", "missing rates source", {"RATES_SOURCE": "shop.rates.Bank"}),
    ("E042", "rates source of another class", {"RATES_SOURCE": "shop.orders.Orders"}),
    ("E043", "rates address without TLS", {**HTTP_RATES, "RATES_URL": "http://rates.example/"}),
    ("E043", "no rates address", {**HTTP_RATES, "RATES_URL": ...}),
    ("E044", "no path to the rate", {**HTTP_RATES, "RATES_KEY_PATH": ...}),
    ("E015", "unknown quote currency", {"RATES_QUOTED_IN": "GBP"}),
    ("E045", "rate in words", {"RATES": {"USD": "much"}}),
    ("E045", "rates without currencies", {"RATES": "605.25"}),
    ("E045", "rates None", {"RATES": None}),
    ("E046", "rate of a fixed currency", {"RATES": {"EUR": "655.957"}}),
    ("E047", "rate inverted", {"RATES": {"USD": "0.00165"}}),
    ("E047", "rate NaN", {"RATES": "USD:NaN"}),
    ("E048", "rates stale too soon", {"RATES_STALE_SECONDS": 3599}),
    ("E048", "rates stale in words", {"RATES_STALE_SECONDS": "a day"}),
    ("W012", "pool of the default size", {"debug": False, "database": pooled(True)}),
    ("W012", "pool of eight", {"debug": False, "database": pooled({"min_size": 2, "max_size": 8})}),
    ("E027", "zero attempts", {"MAX_ATTEMPTS": 0}),
    ("E027", "negative gateway rate", {"GATEWAY_PER_SECOND": -1}),
    ("E027", "concurrent calls in words", {"GATEWAY_AT_ONCE": "many"}),
    ("E027", "attempts as a boolean", {"MAX_ATTEMPTS": True}),
    ("E027", "review limit in words", {"REVIEW_TWO_PERSON_ABOVE": "much"}),
    ("E027", "negative review limit", {"REVIEW_TWO_PERSON_ABOVE": -1}),
    ("E027", "review limit as a boolean", {"REVIEW_TWO_PERSON_ABOVE": True}),
    ("E027", "negative prompt limit", {"PROMPTS_PER_PHONE": -1}),
    ("E027", "prompt limit as a rate", {"PROMPTS_PER_PHONE": "5/hour"}),
    ("E027", "files are kept for no day", {"EXPORT_DAYS": 0}),
    ("E027", "a checkout that ends at once", {"CHECKOUT_SECONDS": 59}),
    ("E062", "storage that does not exist", {"EXPORT_STORAGE": "nowhere"}),
    ("E063", "storage for everybody", {"EXPORT_STORAGE": "default"}),
]


@pytest.mark.parametrize(("number", "changes"), [(row[0], row[2]) for row in CASES], ids=[row[1] for row in CASES])
def test_mistake_causes_only_its_own_message(found: Found, number: str, changes: dict[str, Any]) -> None:
    assert found(**changes) == [number]


def test_engine_of_another_package_counts_as_the_database_that_it_extends(found: Found) -> None:
    extended = {**POSTGRES, "ENGINE": "backends.zero_downtime"}

    assert found(debug=False, database=extended) == []
    assert found(debug=False, database={**extended, "CONN_MAX_AGE": 0}) == ["W008"]


def test_large_pool_causes_no_message(found: Found) -> None:
    assert found(debug=False, database=pooled({"min_size": 2, "max_size": 47})) == []


@pytest.mark.parametrize("limit", [None, "", 0, "100000"])
def test_review_limit_may_be_unset(found: Found, limit: object) -> None:
    assert found(REVIEW_TWO_PERSON_ABOVE=limit) == []


def test_atomic_requests_are_fine_with_a_queue(found: Found) -> None:
    assert found(DISPATCH="queue", database={**SQLITE, "ATOMIC_REQUESTS": True}) == []


def test_mail_with_a_timeout_or_without_smtp_is_fine(found: Found) -> None:
    assert found(NOTIFICATIONS=[EMAIL], **mail_by("smtp", timeout=5)) == []
    assert found(NOTIFICATIONS=[EMAIL], **mail_by("console")) == []


def test_notifier_is_no_receiver_of_payment_succeeded(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payment_succeeded, "receivers", [])

    assert found(NOTIFICATIONS=[EMAIL]) == ["W016"]
    assert payment_succeeded.receivers


def test_alerts_without_apprise_are_found(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_feexpay.checks.monitoring.util.find_spec", lambda name: None)

    assert found(ALERT_URLS="json://127.0.0.1") == ["E095"]


def test_missing_receiver_is_found(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payment_succeeded, "receivers", [])

    assert found() == ["W016"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("APIKEY", "API_KEY"), ("FEEXPAY_SHOP_ID", "SHOP_ID"), ("poll_second", "POLL_SECONDS")],
)
def test_hint_for_a_misspelt_key_names_the_nearest_setting(
    messages: Callable[..., list[CheckMessage]], name: str, nearest: str
) -> None:
    assert [message.hint for message in messages(**{name: 1})] == [f'Did you mean "{nearest}"?']


#: Only `check --deploy` reports these. Other commands and a host's test run still work.
DEPLOYMENT_ONLY = {"E003", "E004", "E007", "E011", "E013", "E085", "W006", "W008", "W009", "W066"}


@pytest.mark.parametrize(("number", "changes"), [(row[0], row[2]) for row in CASES], ids=[row[1] for row in CASES])
def test_missing_production_settings_stop_a_deployment_only(found: Found, number: str, changes: dict[str, Any]) -> None:
    found(**changes)

    in_production = number == "E006" and feexpay.environment == "production"
    is_found_everywhere = f"feexpay.{number}" in {message.id for message in checks.check_settings()}
    assert is_found_everywhere is (number not in DEPLOYMENT_ONLY and not in_production)


def test_worker_refuses_a_server_with_errors(found: Found) -> None:
    found(debug=False, BASE_URL="http://127.0.0.1:8801/api")

    with pytest.raises(CommandError, match=r"feexpay\.E006 .*production"):
        checks.refuse_unsafe_server()


def test_worker_runs_on_a_server_with_warnings_only(found: Found) -> None:
    found(debug=False, CACHES=LOCAL_CACHE)

    checks.refuse_unsafe_server()


def ids_by_function() -> dict[str, set[str]]:
    """The functions that give each id, read from the source."""
    found: dict[str, set[str]] = {}
    for module in (checks.settings, checks.security, checks.host_project, checks.monitoring, checks.database):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            for kind, number in re.findall(r"\b(error|warning)\(\s*(\d+),", inspect.getsource(function)):
                found.setdefault(f"{kind[0].upper()}{int(number):03}", set()).add(name)
    return found


def test_every_message_has_a_case() -> None:
    assert set(ids_by_function()) == {row[0] for row in CASES} | {"W016", "W017", "W081", "E095"}


# One case per test: each override of settings nests deeper, and the settings of all cases reach Python's limit.
@pytest.mark.parametrize("changes", [row[2] for row in CASES], ids=[row[1] for row in CASES])
def test_every_message_has_a_hint(messages: Callable[..., list[CheckMessage]], changes: dict[str, Any]) -> None:
    found = messages(**changes)

    assert found
    assert all(message.hint and message.msg.endswith(".") for message in found)


def test_id_has_one_meaning() -> None:
    """An id that two functions give would be silenced for both."""
    assert {number: names for number, names in ids_by_function().items() if len(names) > 1} == {}


def test_reference_page_lists_every_id() -> None:
    page = (ROOT / "docs/reference/checks.md").read_text()

    assert re.findall(r"^\| `feexpay\.([EW]\d{3})`", page, re.MULTILINE) == sorted(ids_by_function())


def test_old_dependency_is_named_with_the_version_that_fixes_it(
    messages: Callable[..., list[CheckMessage]], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {"Django": "5.2.10", "requests": "2.32.3", "urllib3": "2.6.3", "cryptography": "43.0.1"}
    monkeypatch.setattr("importlib.metadata.version", installed.__getitem__)

    (message,) = messages()

    assert message.id == "feexpay.W017"
    assert message.msg == (
        "Installed versions with published vulnerabilities: requests 2.32.3 (fixed in 2.32.4),"
        " urllib3 2.6.3 (fixed in 2.7.0)."
    )


def test_secure_versions_are_those_that_fix_every_advisory_of_the_security_page() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    newest: dict[str, tuple[int, ...]] = {}
    for package, fixed_in in re.findall(r"^\| (\w+) \| ([\d., ]+) \|", page, re.MULTILINE):
        versions = [tuple(map(int, version.split("."))) for version in fixed_in.split(", ")]
        newest[package] = max(versions + [newest.get(package, ())])
    del newest["gunicorn"]  # no dependency of the package

    secure = checks.security.SECURE_VERSIONS
    assert newest == {package: tuple(map(int, version.split("."))) for package, version in secure.items()}


@pytest.mark.parametrize("address", ["http://127.0.0.1:8801/api", "http://[::1]/api", "http://localhost/api"])
def test_sandbox_on_this_machine_may_be_http(found: Found, address: str) -> None:
    assert found(BASE_URL=address) == []


def test_listed_host_may_be_http_on_a_developers_machine(found: Found) -> None:
    assert found(BASE_URL="http://gateway:8801/api", INSECURE_HOSTS="gateway") == []


def test_no_message_shows_a_secret(messages: Callable[..., list[CheckMessage]]) -> None:
    found = messages(
        API_KEY="fp_canary",
        BASE_URL="https://user:canary@host/api",
        PROXY="socks5://user:canary@host",
        FIELD_KEYS=["canary"],
        HASH_KEY="canary",
        WEBHOOK_MODES="hmac",
        WEBHOOK_SECRETS="hmac:canary",
        RATES_SOURCE=HTTP_RATES["RATES_SOURCE"],
        RATES_URL="http://rates.example/?key=canary",
        RATES_KEY_PATH="rate",
    )

    assert len(found) == 7
    assert "canary" not in " ".join(f"{message.msg} {message.hint}" for message in found)


def test_checks_run_with_those_of_django() -> None:
    assert checks.check_settings in registry.registry.get_checks()
    assert checks.check_deployment not in registry.registry.get_checks()
    assert checks.check_deployment in registry.registry.get_checks(include_deployment_checks=True)
