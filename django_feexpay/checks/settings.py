"""Checks of single values of FEEXPAY: types, numbers, choices, the price and the exchange rates."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from django_feexpay import conf
from django_feexpay.catalogue.provider_spec import LONGEST_KNOWN_PROMPT_SECONDS
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.catalogue.web_addresses import secure_url
from django_feexpay.checks.messages import Messages, error, everywhere, is_readable, is_valid, warning
from django_feexpay.conf import DEFAULTS, feexpay
from django_feexpay.notifications import EmailNotifier, connect
from django_feexpay.payable import Payable
from django_feexpay.payments import rates
from django_feexpay.privacy.retention import LEAST

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "ENVIRONMENT": ("", conf.DEVELOPMENT, conf.STAGING, conf.PRODUCTION),
    "DISPATCH": ("inline", "queue"),
    "FEE_PAYER": ("merchant", "payer"),
    "RATES_QUOTED_IN": ("", "EUR"),
}
_LEAST_EXPIRY_SECONDS = 30
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_LEAST: Mapping[str, int] = {
    "MAX_ATTEMPTS": 1,
    "PROMPTS_PER_PHONE": 0,
    "REVIEW_TWO_PERSON_ABOVE": 0,
    "GATEWAY_PER_SECOND": 0,
    "GATEWAY_AT_ONCE": 0,
    "EXPORT_DAYS": 1,
    "CHECKOUT_SECONDS": 60,
    "NUM_PROXIES": 0,
    "UNKNOWN_WEBHOOKS_PER_MINUTE": 1,
    "UNKNOWN_WEBHOOKS_KEPT": 1,
    "SECRETS_TTL_SECONDS": 1,
}


def shape() -> Messages:
    """The types that every other check relies on. They run only if this finds nothing."""
    if not isinstance(conf.given(), Mapping):
        yield error(1, "FEEXPAY is not a dict.", 'Write FEEXPAY = {"API_KEY": …, "SHOP_ID": …}.')
        return
    for name in (name for name, default in DEFAULTS.items() if isinstance(default, list)):
        if not isinstance(conf.given().get(name, []), str | list | tuple):
            yield error(
                24, f'FEEXPAY["{name}"] is not a list.', "Write a list, or its items in one string with commas."
            )


@everywhere
def unknown_keys() -> Messages:
    for name in sorted(map(str, set(conf.given()) - set(DEFAULTS))):
        nearest = get_close_matches(name.upper().removeprefix("FEEXPAY_"), DEFAULTS, n=1)
        hint = f'Did you mean "{nearest[0]}"?' if nearest else f"The settings are {', '.join(sorted(DEFAULTS))}."
        yield error(2, f'FEEXPAY["{name}"] is not a setting.', hint)


@everywhere
def choices() -> Messages:
    for name, known in _CHOICES.items():
        value = conf.given().get(name, DEFAULTS[name])
        if value not in known:
            yield error(15, f'FEEXPAY["{name}"] is {value!r}.', f"Choose one of {', '.join(filter(None, known))}.")


@everywhere
def whole_numbers() -> Messages:
    for name, least in _LEAST.items():
        value = conf.given().get(name, DEFAULTS[name])
        if name == "REVIEW_TWO_PERSON_ABOVE" and value in (None, ""):
            continue  # one person closes a review alone
        if isinstance(value, bool) or not str(value).isdecimal() or int(value) < least:
            yield error(27, f'FEEXPAY["{name}"] is {value!r}.', f"Write a whole number, at least {least}.")


@everywhere
def times() -> Messages:
    if not is_valid(lambda: min(feexpay.poll_seconds) >= 1):
        yield error(16, "POLL_SECONDS is not a list of seconds.", "For example 5,10,15,30,60.")
    yield from _expiry()
    yield from _push_expiry()
    if not is_readable(lambda: feexpay.rate_limit):
        yield error(18, "RATE_LIMIT is not a number, a slash, and s, min, hour or day.", "For example 100/min.")
    if not is_readable(lambda: feexpay.compare_at):
        hint = 'Write a time of day in UTC, for example "02:00"; "" switches the nightly comparison off.'
        yield error(28, "COMPARE_AT is not a time of day.", hint)


def _expiry() -> Messages:
    """In development a tester may let payments expire at once; anywhere else a payer needs time."""
    least = 1 if feexpay.environment == conf.DEVELOPMENT else _LEAST_EXPIRY_SECONDS
    if not is_valid(lambda: feexpay.expiry >= timedelta(seconds=least)):
        hint = "A payer needs time to type a PIN: 900."
        yield error(17, f"EXPIRY_SECONDS is not a number of at least {_LEAST_EXPIRY_SECONDS}.", hint)
    elif feexpay.expiry < timedelta(seconds=LONGEST_KNOWN_PROMPT_SECONDS):
        hint = (
            "After the expiry a payer may pay again while the first prompt can still be approved: "
            f"write at least {LONGEST_KNOWN_PROMPT_SECONDS}."
        )
        yield warning(97, "EXPIRY_SECONDS is shorter than an operator's prompt stays open.", hint)


def _push_expiry() -> Messages:
    if not is_readable(lambda: feexpay.push_expiry):
        yield error(96, "PUSH_EXPIRY_SECONDS is not a number of seconds by provider.", "For example mtn_ci:300.")
        return
    for code, given in feexpay.push_expiry.items():
        if code not in CATALOGUE:
            yield error(96, f"PUSH_EXPIRY_SECONDS: {code!r} is not a provider.", "For example mtn_ci:300.")
        elif given.total_seconds() < (least := CATALOGUE[code].prompt_seconds):
            hint = f"A payer can approve its prompt for {least} seconds: write at least {least}."
            yield error(96, f"PUSH_EXPIRY_SECONDS: {code} is too short.", hint)


@everywhere
def rate_limits() -> Messages:
    if not is_readable(lambda: feexpay.rate_limits):
        text = "RATE_LIMITS is not a rate by scope."
        yield error(66, text, f"For example initiate:10/min,otp:20/min. The scopes are {', '.join(conf.RATE_SCOPES)}.")


@everywhere
def client_address_header() -> Messages:
    name = conf.given().get("CLIENT_ADDRESS_HEADER", "")
    if name and not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
        yield error(67, "CLIENT_ADDRESS_HEADER is not the name of a header.", "For example X-Real-IP.")
    elif str(name).lower() in ("x-forwarded-for", "forwarded"):
        hint = "Set NUM_PROXIES to the number of your proxies instead."
        yield error(67, f"CLIENT_ADDRESS_HEADER is {name}, a list that clients can begin with any address.", hint)


@everywhere
def retention_periods() -> Messages:
    if not is_readable(lambda: feexpay.purge_at):
        hint = 'Write a time of day in UTC, for example "03:00"; "" switches the nightly purge off.'
        yield error(81, "PURGE_AT is not a time of day.", hint)
    hint = 'Write hours, days or years by kind: {"numbers": "24h", "deliveries": "30d", "payers": "10y"}.'
    if not is_readable(lambda: feexpay.retention):
        yield error(82, "RETENTION is not a list of periods.", hint)
        return
    for kind, period in feexpay.retention.items():
        if kind not in conf.RETENTION:
            kinds = ", ".join(conf.RETENTION)
            yield error(82, f"RETENTION: {kind!r} is not a kind of data.", f"The kinds are {kinds}.")
        elif period < LEAST[kind]:
            hours = round(LEAST[kind].total_seconds() / 3600)
            yield error(83, f"RETENTION: {kind} is too short.", f"Keep them for at least {hours} hours.")


@everywhere
def switches() -> Messages:
    for name in ("REQUIRE_IDEMPOTENCY_KEY", "LIVE_STATUS"):
        value = conf.given().get(name, DEFAULTS[name])
        if not isinstance(value, bool):
            yield error(26, f"{name} is {value!r}.", "Write True or False; the string 'False' is true.")


@everywhere
def payouts() -> Messages:
    value = conf.given().get("PAYOUTS", False)
    if not isinstance(value, bool):
        yield error(65, f"PAYOUTS is {value!r}.", "Write True or False; the string 'False' is true.")
    elif value:
        text = (
            "PAYOUTS is on: staff can send live money out of your balance. FeexPay's payouts were never tried with this"
            " package: it follows FeexPay's documentation and the code of integrators."
        )
        hint = (
            "Ask FeexPay to enable payouts for your shop, register the server's IP address in its dashboard (IP List),"
            " pay a small refund first and look for it in the dashboard. Then add feexpay.W065 to"
            " SILENCED_SYSTEM_CHECKS."
        )
        yield warning(65, text, hint)


@everywhere
def return_hosts() -> Messages:
    for host in feexpay.return_hosts:
        if not is_valid(partial(_is_host_name, host)):
            hint = "Write the host name only, in lower case, without https:// and without a port: shop.example.com."
            yield warning(10, f"RETURN_HOSTS: {host!r} is not a host name, so it matches no address.", hint)


def _is_host_name(host: str) -> bool:
    return urlsplit(f"//{host}").hostname == host


@everywhere
def payable() -> Messages:
    path = conf.given().get("PAYABLE")
    if not path:
        text = "PAYABLE is not set: POST initiate/ answers 503 not_configured, as any client could name its own price."
        hint = (
            'Set FEEXPAY["PAYABLE"] to the dotted path of a subclass of django_feexpay.Payable, for example'
            ' "shop.orders.Orders", or to "any_amount" if payers choose the amount.'
        )
        yield warning(14, text, hint)
        return
    why = ""
    try:
        good = path == conf.ANY_AMOUNT or _names_a_price(feexpay.payable_target)
    except (ImportError, AttributeError) as problem:
        good, why = False, f": {problem}"
    if not good:
        hint = (
            'The dotted path of a subclass of django_feexpay.Payable with a method "price", for example'
            ' "shop.orders.Orders"; or of a function that returns the price; or "any_amount".'
        )
        yield error(19, f"PAYABLE {path!r} names no price{why}.", hint)


@everywhere
def notifiers() -> Messages:
    for path in feexpay.notifications:
        try:
            notifier = connect.notifier_class(path)
        except (ImportError, AttributeError, TypeError, ValueError) as problem:
            hint = (
                "The dotted path of a subclass of django_feexpay.notifications.Notifier, for example"
                ' "django_feexpay.notifications.EmailNotifier".'
            )
            yield error(61, f"NOTIFICATIONS {path!r} is no notifier: {problem}.", hint)
            continue
        if issubclass(notifier, EmailNotifier) and _waits_for_ever():
            text = (
                "E-mail notifications have no timeout: a mail server that does not answer blocks the worker's threads."
            )
            yield warning(61, text, 'Set EMAIL_TIMEOUT = 5, or the option "timeout" of your mailer in MAILERS.')


@everywhere
def export_storage() -> Messages:
    alias = feexpay.export_storage
    if not alias:
        return
    hint = 'Add a private storage to STORAGES, for example "exports", and name it: {"EXPORT_STORAGE": "exports"}.'
    if alias not in settings.STORAGES:
        yield error(62, f"EXPORT_STORAGE: STORAGES has no {alias!r}.", hint)
    elif alias in ("default", "staticfiles"):
        yield error(63, f"EXPORT_STORAGE is {alias!r}, which your web server shows to everybody.", hint)


def _waits_for_ever() -> bool:
    """Whether Django's SMTP backend would wait for a mail server without limit."""
    mailers = getattr(settings, "MAILERS", None)
    if mailers is not None:  # from Django 6.1
        mailer = mailers.get("default", {})
        return "smtp" in mailer.get("BACKEND", "") and not mailer.get("OPTIONS", {}).get("timeout")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Django 6.1 and later warn about these settings
        return "smtp" in settings.EMAIL_BACKEND and not settings.EMAIL_TIMEOUT


def _names_a_price(target: Any) -> bool:
    if not isinstance(target, type):
        return callable(target)
    return issubclass(target, Payable) and target.price is not Payable.price


@everywhere
def rates_source() -> Messages:
    """No message quotes the address: it may hold a key."""
    hint = "Write the dotted path of a subclass of django_feexpay.payments.rates.RatesSource."
    try:
        source = feexpay.rates_source
    except (ImportError, AttributeError):
        yield error(41, "RATES_SOURCE cannot be imported.", hint)
        return
    if not (isinstance(source, type) and issubclass(source, rates.RatesSource)):
        yield error(42, "RATES_SOURCE is not a subclass of RatesSource.", hint)
    elif issubclass(source, rates.HttpRates):
        if secure_url(feexpay.rates_url.reveal()) is None:
            yield error(43, "RATES_URL is not an https address.", "For example https://host/latest?base={currency}.")
        if not feexpay.rates_key_path:
            yield error(44, "RATES_KEY_PATH is not set.", "Write the path of the rate in the answer: rates.{into}.")


@everywhere
def written_rates() -> Messages:
    if not is_valid(lambda: feexpay.rates_stale >= rates.FRESH):
        yield error(48, "RATES_STALE_SECONDS is not a number of at least 3600.", "For example 86400, one day.")
    hint = 'Write francs for one unit, by currency: {"USD": "605.25"}, or USD:605.25 in the environment.'
    if not is_readable(lambda: feexpay.rates):
        yield error(45, "RATES is not a list of exchange rates.", hint)
        return
    for currency, rate in feexpay.rates.items():
        if currency not in rates.PLAUSIBLE:
            yield error(46, f"RATES: {currency!r} is not a currency that needs a rate.", hint)
        elif not rates.is_plausible(currency, rate):
            yield error(47, f"RATES: one {currency} cannot be worth {rate} francs.", hint)
