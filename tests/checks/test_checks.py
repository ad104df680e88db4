from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
    *("USE_TZ", "CACHES", "Q_CLUSTER", "FEEXPAY", "DATABASE_ROUTERS", "ROOT_URLCONF"),
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


class PaymentsElsewhere:
    """A router that keeps the payments apart from the default database."""

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
        # Not by settings: Django does not expect another database while it runs.
        chosen = (SQLITE if debug else POSTGRES) if database is None else database
        monkeypatch.setitem(settings.DATABASES, "default", chosen)
        return checks.check_settings() + checks.check_deployment()

    return run


@pytest.fixture
def found(messages: Callable[..., list[CheckMessage]]) -> Found:
    """The ids of what is said, without `feexpay.`."""

    def run(**changes: Any) -> list[str]:
        return [str(message.id).removeprefix("feexpay.") for message in messages(**changes)]

    return run


@pytest.mark.parametrize("debug", [True, False], ids=["development", "production"])
def test_good_settings_bring_no_message(found: Found, debug: bool) -> None:
    assert found(debug=debug) == []


def test_a_test_server_may_have_a_sandbox_and_a_test_key(found: Found) -> None:
    assert found(**STAGING) == []


@pytest.mark.parametrize(
    ("debug", "is_test_run", "environment"),
    [(True, False, "development"), (False, False, "production"), (False, True, "development")],
)
def test_environment_follows_debug_where_nothing_is_said(
    settings: Any, monkeypatch: pytest.MonkeyPatch, debug: bool, is_test_run: bool, environment: str
) -> None:
    """A host's test run has DEBUG off, too: it is not judged as production."""
    settings.DEBUG, settings.FEEXPAY = debug, {}
    if not is_test_run:
        monkeypatch.delattr("django.core.mail.outbox")

    assert feexpay.environment == environment


@pytest.mark.parametrize("word", ["production", "prod", "Staging"])
def test_an_unknown_word_is_judged_as_production(settings: Any, word: str) -> None:
    settings.FEEXPAY = {"ENVIRONMENT": word}

    assert (feexpay.environment, feexpay.sandbox_allowed) == ("production", False)


def test_lists_may_be_written_with_commas(found: Found) -> None:
    assert found(FIELD_KEYS=f"{KEY}, {KEY}", POLL_SECONDS="5, 10", WEBHOOK_MODES="status", RETURN_HOSTS="") == []


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("E001", "no dict", {"FEEXPAY": ["API_KEY"]}),
    ("E002", "misspelt key", {"APIKEY": "x"}),
    ("E002", "prefix kept", {"FEEXPAY_SHOP_ID": "x"}),
    ("E003", "no key in production", {"debug": False, "API_KEY": ...}),
    ("E003", "empty shop in production", {"debug": False, "SHOP_ID": ""}),
    ("W001", "no key in development", {"API_KEY": ...}),
    ("W001", "no shop in development", {"SHOP_ID": ""}),
    ("W002", "live key in development", {"API_KEY": "fp_live"}),
    ("E004", "test key in production", {"debug": False, "API_KEY": "test_key"}),
    ("E005", "no address", {"BASE_URL": "api-v2.feexpay.me"}),
    ("E005", "another scheme", {"BASE_URL": "ftp://api-v2.feexpay.me"}),
    ("E005", "password inside", {"BASE_URL": "https://user:x@api-v2.feexpay.me/api"}),
    ("E005", "query inside", {"BASE_URL": "https://api-v2.feexpay.me/api?x=1"}),
    ("E005", "broken host", {"BASE_URL": "https://[::1"}),
    ("E006", "http to the world", {"BASE_URL": "http://api-v2.feexpay.me/api"}),
    ("E006", "http in production", {"debug": False, "BASE_URL": "http://127.0.0.1/api"}),
    ("E006", "this machine in production", {"debug": False, "BASE_URL": "https://127.0.0.1/api"}),
    ("E006", "a private network in production", {"debug": False, "BASE_URL": "https://10.0.0.5/api"}),
    ("E006", "http to the world on a test server", {**STAGING, "BASE_URL": "http://gateway/api"}),
    ("E007", "insecure hosts in production", {"debug": False, "INSECURE_HOSTS": "gateway"}),
    ("E008", "unknown mode", {"WEBHOOK_MODES": "status,magic"}),
    ("E009", "mode without a secret", {"WEBHOOK_MODES": "hmac"}),
    ("E009", "secret of another mode", {"WEBHOOK_MODES": "hmac", "WEBHOOK_SECRETS": f"header:{LONG}"}),
    ("E009", "secret that is no base64", {"WEBHOOK_MODES": "standard_webhooks", "WEBHOOK_SECRETS": "whsec_%%%"}),
    ("E010", "HMAC secret of 23 bytes", {"WEBHOOK_MODES": "hmac", "WEBHOOK_SECRETS": "hmac:" + "x" * 23}),
    ("E010", "header of 7 bytes", {"WEBHOOK_MODES": "header", "WEBHOOK_SECRETS": "header:1234567"}),
    ("E010", "new long, old short", {"WEBHOOK_MODES": "hmac", "WEBHOOK_SECRETS": f"hmac:{LONG},hmac:short"}),
    ("W003", "header of 8 bytes", {"WEBHOOK_MODES": "header", "WEBHOOK_SECRETS": "header:12345678"}),
    ("W004", "built-in field key", {"FIELD_KEYS": ...}),
    ("E011", "no field key in production", {"debug": False, "FIELD_KEYS": ...}),
    ("E003", "no key on a test server", {**STAGING, "API_KEY": ""}),
    ("E011", "no field key on a test server", {**STAGING, "FIELD_KEYS": ...}),
    ("E013", "no hash key on a test server", {**STAGING, "HASH_KEY": ...}),
    ("E012", "no Fernet key", {"FIELD_KEYS": [KEY, "secret"]}),
    ("W005", "built-in hash key", {"HASH_KEY": ""}),
    ("E013", "no hash key in production", {"debug": False, "HASH_KEY": ...}),
    ("E014", "short hash key", {"HASH_KEY": "x" * 31}),
    ("E015", "another word for production", {"ENVIRONMENT": "prod", "API_KEY": "fp_key"}),
    ("E015", "unknown dispatch", {"DISPATCH": "later"}),
    ("E015", "unknown fee payer", {"FEE_PAYER": "nobody"}),
    ("E015", "unknown secrets backend", {"SECRETS_BACKEND": "paper"}),
    (
        "E029",
        "secret of no mode",
        {"WEBHOOK_MODES": "header,hmac", "WEBHOOK_SECRETS": f"header:{LONG},hmac:{LONG},{LONG}"},
    ),
    ("E028", "no time of day", {"COMPARE_AT": "at night"}),
    ("E028", "no such hour", {"COMPARE_AT": "24:00"}),
    ("E016", "poll words", {"POLL_SECONDS": "soon,later"}),
    ("E016", "no polls", {"POLL_SECONDS": []}),
    ("E016", "poll at once", {"POLL_SECONDS": [0, 5]}),
    ("E016", "poll nothing", {"POLL_SECONDS": [None]}),
    ("E017", "expiry in words", {"EXPIRY_SECONDS": "a quarter"}),
    ("E017", "expiry too soon", {"EXPIRY_SECONDS": 29}),
    ("E017", "expiry beyond time", {"EXPIRY_SECONDS": 10**18}),
    ("E017", "no expiry", {"EXPIRY_SECONDS": None}),
    ("E018", "rate without a period", {"RATE_LIMIT": "100"}),
    ("E018", "rate a fortnight", {"RATE_LIMIT": "100/fortnight"}),
    ("E018", "rate of none", {"RATE_LIMIT": "0/min"}),
    ("E018", "rate as a number", {"RATE_LIMIT": 100}),
    ("E019", "price function that is not there", {"PAYABLE": "shop.orders.nothing"}),
    ("E019", "module that is not there", {"PAYABLE": "shoppe.orders.Orders"}),
    ("E019", "price that is no function", {"PAYABLE": "shop.orders.FRANCS"}),
    ("E019", "function and not its path", {"PAYABLE": print}),
    ("E019", "class that is no Payable", {"PAYABLE": "shop.models.Order"}),
    ("E019", "Payable without a price", {"PAYABLE": "django_feexpay.Payable"}),
    ("E061", "notifier that is not there", {"NOTIFICATIONS": "shop.sms.Sms"}),
    ("E061", "path without a module", {"NOTIFICATIONS": ["Sms"]}),
    ("E061", "class that is no notifier", {"NOTIFICATIONS": ["shop.models.Order"]}),
    ("E061", "function", {"NOTIFICATIONS": ["django_feexpay.notifications.opt_out"]}),
    ("E024", "notifiers no list", {"NOTIFICATIONS": {"mail": True}}),
    ("W061", "mail without a timeout", {"NOTIFICATIONS": [EMAIL], **mail_by("smtp")}),
    ("W014", "no price", {"PAYABLE": ...}),
    ("E020", "HMAC scheme with an unknown key", {"WEBHOOK_HMAC": {"ALGORITHM": "md5"}}),
    ("E020", "HMAC scheme that is no dict", {"WEBHOOK_HMAC": "X-Signature"}),
    ("E020", "HMAC encoding unknown", {"WEBHOOK_HMAC": {"ENCODING": "base32"}}),
    ("E021", "MySQL", {"database": {"ENGINE": "django.db.backends.mysql"}}),
    ("E051", "autocommit off", {"database": {**SQLITE, "AUTOCOMMIT": False}}),
    ("E052", "payments in another database", {"DATABASE_ROUTERS": [f"{__name__}.PaymentsElsewhere"]}),
    ("W015", "a transaction around each view", {"database": {**SQLITE, "ATOMIC_REQUESTS": True}}),
    ("W013", "urls of another app only", {"ROOT_URLCONF": "tests.testing.no_urls"}),
    ("W006", "SQLite in production", {"debug": False, "database": SQLITE}),
    ("W007", "deferred SQLite", {"database": {"ENGINE": "django.db.backends.sqlite3"}}),
    ("W008", "no connection kept", {"debug": False, "database": {"ENGINE": "django.db.backends.postgresql"}}),
    ("E022", "naive times", {"USE_TZ": False}),
    ("E023", "cluster without a timeout", {"Q_CLUSTER": {"retry": 180}}),
    ("E023", "retry before timeout", {"Q_CLUSTER": {"timeout": 90, "retry": 90}}),
    ("W011", "timeout below the longest sweep", {"Q_CLUSTER": {"timeout": 90, "retry": 180}}),
    ("W009", "cache of one process in production", {"debug": False, "CACHES": LOCAL_CACHE}),
    ("E024", "modes no list", {"WEBHOOK_MODES": 5}),
    ("E024", "hosts no list", {"RETURN_HOSTS": None}),
    ("E025", "proxy of another kind", {"PROXY": "socks5://10.0.0.1:1080"}),
    ("E025", "proxy without a port", {"PROXY": "http://10.0.0.1"}),
    ("W010", "address for a host", {"RETURN_HOSTS": ["https://shop.example"]}),
    ("W010", "port with a host", {"RETURN_HOSTS": ["shop.example:8000"]}),
    ("W010", "host in capitals", {"RETURN_HOSTS": ["Shop.example"]}),
    ("E026", "false as text", {"REQUIRE_IDEMPOTENCY_KEY": "False"}),
    ("E041", "rates source that is not there", {"RATES_SOURCE": "shop.rates.Bank"}),
    ("E042", "rates source of another kind", {"RATES_SOURCE": "shop.orders.Orders"}),
    ("E043", "rates by http", {**HTTP_RATES, "RATES_URL": "http://rates.example/"}),
    ("E043", "no rates address", {**HTTP_RATES, "RATES_URL": ...}),
    ("E044", "no way to the rate", {**HTTP_RATES, "RATES_KEY_PATH": ...}),
    ("E015", "rates in another currency", {"RATES_QUOTED_IN": "GBP"}),
    ("E045", "rates no numbers", {"RATES": {"USD": "much"}}),
    ("E045", "rates no pairs", {"RATES": "605.25"}),
    ("E045", "rates nothing", {"RATES": None}),
    ("E046", "rate of the euro", {"RATES": {"EUR": "655.957"}}),
    ("E047", "rate upside down", {"RATES": {"USD": "0.00165"}}),
    ("E047", "rate of nothing", {"RATES": "USD:NaN"}),
    ("E048", "rates stale at once", {"RATES_STALE_SECONDS": 3599}),
    ("E048", "rates stale in words", {"RATES_STALE_SECONDS": "a day"}),
    ("W012", "pool of the usual size", {"debug": False, "database": pooled(True)}),
    ("W012", "pool of a few", {"debug": False, "database": pooled({"min_size": 2, "max_size": 8})}),
    ("E027", "no attempt at all", {"MAX_ATTEMPTS": 0}),
    ("E027", "budget below nothing", {"GATEWAY_PER_SECOND": -1}),
    ("E027", "places in words", {"GATEWAY_AT_ONCE": "many"}),
    ("E027", "bound as a truth", {"MAX_ATTEMPTS": True}),
    ("E027", "two persons above a word", {"REVIEW_TWO_PERSON_ABOVE": "much"}),
    ("E027", "two persons above less than nothing", {"REVIEW_TWO_PERSON_ABOVE": -1}),
    ("E027", "two persons as a truth", {"REVIEW_TWO_PERSON_ABOVE": True}),
    ("E027", "prompts below nothing", {"PROMPTS_PER_PHONE": -1}),
    ("E027", "prompts as a rate", {"PROMPTS_PER_PHONE": "5/hour"}),
]


@pytest.mark.parametrize(("number", "changes"), [(row[0], row[2]) for row in CASES], ids=[row[1] for row in CASES])
def test_mistake_is_found_and_nothing_else_is_said(found: Found, number: str, changes: dict[str, Any]) -> None:
    assert found(**changes) == [number]


def test_pool_that_is_large_enough_is_good(found: Found) -> None:
    assert found(debug=False, database=pooled({"min_size": 2, "max_size": 46})) == []


@pytest.mark.parametrize("limit", [None, "", 0, "100000"])
def test_limit_of_two_persons_may_be_unset(found: Found, limit: object) -> None:
    assert found(REVIEW_TWO_PERSON_ABOVE=limit) == []


def test_atomic_requests_suit_a_queue(found: Found) -> None:
    assert found(DISPATCH="queue", database={**SQLITE, "ATOMIC_REQUESTS": True}) == []


def test_mail_with_a_timeout_or_without_smtp_is_fine(found: Found) -> None:
    assert found(NOTIFICATIONS=[EMAIL], **mail_by("smtp", timeout=5)) == []
    assert found(NOTIFICATIONS=[EMAIL], **mail_by("console")) == []


def test_notifier_delivers_nothing_that_was_bought(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payment_succeeded, "receivers", [])

    assert found(NOTIFICATIONS=[EMAIL]) == ["W016"]
    assert payment_succeeded.receivers


def test_unreceived_success_is_found(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payment_succeeded, "receivers", [])

    assert found() == ["W016"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("APIKEY", "API_KEY"), ("FEEXPAY_SHOP_ID", "SHOP_ID"), ("poll_second", "POLL_SECONDS")],
)
def test_misspelt_key_is_told_the_nearest_setting(
    messages: Callable[..., list[CheckMessage]], name: str, nearest: str
) -> None:
    assert [message.hint for message in messages(**{name: 1})] == [f'Did you mean "{nearest}"?']


#: Found by `check --deploy` only: any other command and a host's test run go on.
DEPLOYMENT_ONLY = {"E003", "E004", "E007", "E011", "E013", "W006", "W008", "W009"}


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
    for module in (checks.settings, checks.security, checks.host_project):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            for kind, number in re.findall(r"\b(error|warning)\(\s*(\d+),", inspect.getsource(function)):
                found.setdefault(f"{kind[0].upper()}{int(number):03}", set()).add(name)
    return found


def test_every_message_has_a_case() -> None:
    assert set(ids_by_function()) == {row[0] for row in CASES} | {"W016", "W017"}


def test_every_message_says_what_to_do(messages: Callable[..., list[CheckMessage]]) -> None:
    for _number, _name, changes in CASES:
        for message in messages(**changes):
            assert message.hint
            assert message.msg.endswith(".")


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
    said = messages(
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

    assert len(said) == 7
    assert "canary" not in " ".join(f"{message.msg} {message.hint}" for message in said)


def test_checks_run_with_django_s() -> None:
    assert checks.check_settings in registry.registry.get_checks()
    assert checks.check_deployment not in registry.registry.get_checks()
    assert checks.check_deployment in registry.registry.get_checks(include_deployment_checks=True)
