"""Checks of keys, secrets, the gateway's address, the webhook's proof, and the versions of the dependencies."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from importlib import metadata
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.utils.version import get_version_tuple

from django_feexpay import conf
from django_feexpay.catalogue.web_addresses import why_refused
from django_feexpay.checks.messages import Messages, error, everywhere, is_readable, is_valid, on_deployment, warning
from django_feexpay.conf import feexpay
from django_feexpay.gateway.signatures import LEAST_SECRET_BYTES, MODES, current, keys_of
from django_feexpay.gateway.transport import HttpTransport
from django_feexpay.secrets.dated import UNREADABLE_END

#: The oldest versions without a published advisory in November 2026. SECURITY.md names the advisories.
SECURE_VERSIONS: Mapping[str, str] = {
    "Django": "5.2.8",
    "requests": "2.32.4",
    "urllib3": "2.7.0",
    "cryptography": "43.0.1",
}
_STRONG_BYTES = 24
_CREDENTIALS_HINT = "Copy it from FeexPay's dashboard, menu Développeur."
_FIELD_KEY_HINT = (
    'Make one with: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
)
_HASH_KEY_HINT = 'Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))". It holds no comma.'


def _in_development() -> bool:
    return feexpay.environment == conf.DEVELOPMENT


# --- keys ---------------------------------------------------------------------------------------------


def _missing_credentials() -> list[str]:
    return [name for name in ("API_KEY", "SHOP_ID") if not conf.is_set(name)]


@everywhere
def credentials_in_development() -> Messages:
    if _in_development():
        for name in _missing_credentials():
            yield warning(1, f'FEEXPAY["{name}"] is not set.', _CREDENTIALS_HINT)
        if feexpay.api_key.reveal().startswith("fp_"):
            yield warning(2, "A live API key in development: payments are real.", "Use the sandbox, or a test key.")


@on_deployment
def credentials_on_a_server() -> Messages:
    if not _in_development():
        for name in _missing_credentials():
            yield error(3, f'FEEXPAY["{name}"] is not set.', _CREDENTIALS_HINT)
    if feexpay.environment == conf.PRODUCTION and feexpay.api_key.reveal().startswith("test_"):
        yield error(4, "A test API key in production: no payment is real.", "Use the key that begins with fp_.")


@everywhere
def field_keys() -> Messages:
    if conf.is_set("FIELD_KEYS"):
        for place, key in enumerate(feexpay.field_keys, 1):
            if not is_readable(partial(Fernet, key.reveal())):
                yield error(12, f"Key {place} of FIELD_KEYS is not a Fernet key.", _FIELD_KEY_HINT)
    elif _in_development():
        yield warning(4, 'FEEXPAY["FIELD_KEYS"] is not set: a built-in key is used.', _FIELD_KEY_HINT)


@everywhere
def hash_key() -> Messages:
    if conf.is_set("HASH_KEY"):
        for place, key in enumerate(feexpay.hash_keys, 1):
            if len(key.reveal()) < 32:
                text = f"Key {place} of HASH_KEY is shorter than 32 characters: numbers could be found by trying."
                yield error(14, text, _HASH_KEY_HINT)
    elif _in_development():
        yield warning(5, 'FEEXPAY["HASH_KEY"] is not set: a built-in key is used.', _HASH_KEY_HINT)


@everywhere
def audit_keys() -> Messages:
    hint = 'Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"; put it before the others.'
    for place, key in enumerate(feexpay.given_audit_keys, 1):
        if len(key.reveal()) < 32:
            yield error(80, f"Key {place} of AUDIT_KEYS is shorter than 32 characters.", hint)


@on_deployment
def encryption_keys_on_a_server() -> Messages:
    if _in_development():
        return
    if not conf.is_set("FIELD_KEYS"):
        yield error(11, 'FEEXPAY["FIELD_KEYS"] is not set.', _FIELD_KEY_HINT)
    if not conf.is_set("HASH_KEY"):
        yield error(13, 'FEEXPAY["HASH_KEY"] is not set.', _HASH_KEY_HINT)


@everywhere
def ends_of_secrets() -> Messages:
    ends = {
        "API_KEY": [key.until for key in feexpay.api_keys],
        "WEBHOOK_SECRETS": [secret.until for secret in feexpay.webhook_secrets],
    }
    hint = "Write a day, or a time with its offset: until 2026-12-31, until 2026-12-31T18:00+01:00."
    for name, dates in ends.items():
        for place, end in enumerate(dates, 1):
            if end == UNREADABLE_END:
                yield error(84, f"The end of entry {place} of {name} is no date, so the entry is not used.", hint)


@on_deployment
def ended_keys() -> Messages:
    if feexpay.api_keys and not feexpay.api_key:
        yield error(85, "Every key of API_KEY has ended, so FeexPay is not called.", _CREDENTIALS_HINT)


# --- the gateway's address ------------------------------------------------------------------------------


@everywhere
def base_url() -> Messages:
    if not _is_plain(feexpay.base_url):
        # The message does not quote the address: it may hold a password.
        yield error(5, "BASE_URL is not a plain web address.", "For example https://host/api.")
    elif feexpay.sandbox_allowed:
        yield from _refused_address()


@on_deployment
def base_url_in_production() -> Messages:
    if not feexpay.sandbox_allowed and _is_plain(feexpay.base_url):
        yield from _refused_address()


def _is_plain(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:  # a broken IPv6 host
        return False
    is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    return is_web and not (parts.username or parts.query or parts.fragment)


def _refused_address() -> Messages:
    if reason := why_refused(
        feexpay.base_url, insecure_hosts=feexpay.insecure_hosts, sandbox_allowed=feexpay.sandbox_allowed
    ):
        hint = (
            'Use https. For a sandbox set FEEXPAY["ENVIRONMENT"] to "development" or "staging", and list a host that is'
            ' not this machine in FEEXPAY["INSECURE_HOSTS"].'
        )
        yield error(6, f"BASE_URL is refused: {reason}.", hint)


@on_deployment
def insecure_hosts() -> Messages:
    if feexpay.insecure_hosts and not feexpay.sandbox_allowed:
        yield error(7, "INSECURE_HOSTS is set in production.", "Remove it.")


@everywhere
def proxy() -> Messages:
    try:
        HttpTransport(proxy=feexpay.proxy.reveal())
    except ValueError as problem:
        yield error(25, f"PROXY: {problem}.", "For example http://user:password@10.0.0.1:3128.")


# --- the webhook's proof --------------------------------------------------------------------------------


@everywhere
def webhook_modes() -> Messages:
    modes = feexpay.webhook_modes
    for mode in modes:
        if mode not in MODES:
            yield error(8, f"Unknown webhook mode {mode!r}.", f"Choose from {', '.join(MODES)}.")
        elif mode != "status":
            yield from _secrets_of(mode)
    needing = [mode for mode in dict.fromkeys(modes) if mode != "status"]
    if len(needing) > 1 and any(secret.mode is None for secret in feexpay.webhook_secrets):
        # One secret must not serve two modes: a secret sent in clear in a header must not also sign requests.
        hint = f'Write each as "mode:secret"; the modes are {", ".join(needing)}.'
        yield error(29, "A secret of WEBHOOK_SECRETS names no mode while several modes are on, so it is unused.", hint)


def _secrets_of(mode: str) -> Messages:
    """Without a usable secret a mode refuses every delivery; a short secret can be guessed."""
    keys = keys_of(mode, feexpay.webhook_modes, current(feexpay.webhook_secrets, time.time()))
    if not keys:
        hint = f'Put "{mode}:<secret>" into FEEXPAY["WEBHOOK_SECRETS"].'
        yield error(9, f"Webhook mode {mode!r} is on but has no secret that has not ended.", hint)
        return
    shortest, needed = min(map(len, keys)), LEAST_SECRET_BYTES[mode]
    if shortest < needed:
        yield error(10, f"A secret of webhook mode {mode!r} has {shortest} bytes.", f"At least {needed} are needed.")
    elif shortest < _STRONG_BYTES:
        hint = f"Use {_STRONG_BYTES} or more, if the sender of the webhook allows it."
        yield warning(3, f"A secret of webhook mode {mode!r} has only {shortest} bytes.", hint)


@everywhere
def webhook_hmac() -> Messages:
    if not is_valid(lambda: feexpay.webhook_hmac.encoding in ("hex", "base64")):
        hint = "The keys are HEADER, PREFIX, ENCODING (hex or base64) and TIMESTAMP_HEADER."
        yield error(20, "WEBHOOK_HMAC does not describe a signature.", hint)


# --- dependencies ---------------------------------------------------------------------------------------


@on_deployment
def dependency_versions() -> Messages:
    old = []
    for package, secure in SECURE_VERSIONS.items():
        installed = metadata.version(package)
        if get_version_tuple(installed) < get_version_tuple(secure):
            old.append(f"{package} {installed} (fixed in {secure})")
    if old:
        hint = "Upgrade them, or read in SECURITY.md why an old version is safe for you and silence this warning."
        yield warning(17, f"Installed versions with published vulnerabilities: {', '.join(old)}.", hint)
