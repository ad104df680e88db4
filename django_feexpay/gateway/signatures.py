"""Authentication of webhook requests, in five modes that can be combined.

No source shows a signature of FeexPay: its dashboard can only attach a fixed `Authorization` value. The modes are
`status` (always on: FeexPay is asked about the payment, so nothing is checked here), `header` (that fixed value),
`url_token` (a secret in our own URL), and for relays and the sandbox `hmac` and `standard_webhooks` (1.0.0).

A listed mode without a usable secret rejects every request, so that a forgotten secret cannot disable the check.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from django_feexpay.gateway.errors import WebhookRejectedError
from django_feexpay.private import PrivateBytes, PrivateText
from django_feexpay.secrets import dated

MODES = ("status", "header", "url_token", "hmac", "standard_webhooks")
# A shorter secret verifies nothing: it can be guessed, that of a signature even offline from one captured request.
LEAST_SECRET_BYTES: Mapping[str, int] = {"header": 8, "url_token": 8, "hmac": 24, "standard_webhooks": 24}
TOLERANCE_SECONDS = 300

_DIGITS = re.compile(r"[0-9]{1,12}")
_HEX_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_WEBHOOK_ID = re.compile(r"[!-\-/-~]{1,256}")  # printable ASCII; a dot would make the signed text ambiguous
_AUTHORIZATION = "Authorization"
_STANDARD_HEADERS = _STANDARD_ID, _STANDARD_TIMESTAMP, _STANDARD_SIGNATURE = (
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
)
_STANDARD_PREFIX = "whsec_"
_MAX_SIGNATURES = 16


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """One shared secret. mode None: usable only if a single mode needs a secret. until: see `dated`; None: no end."""

    value: str = field(repr=False)
    mode: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class HmacScheme:
    """Header and format of the signature in `hmac` mode; always SHA-256 over the raw body.

    prefix: text before the signature (`sha256=`). timestamp_header: if set, the signature covers `timestamp.body`, and
    the timestamp (Unix seconds) may differ from now by up to 300 s.
    """

    header: str = "X-FeexPay-Signature"
    prefix: str = ""
    encoding: Literal["hex", "base64"] = "hex"
    timestamp_header: str = ""


def headers_read(scheme: HmacScheme) -> tuple[str, ...]:
    """The names of the headers that `verify` may read."""
    return (_AUTHORIZATION, *_STANDARD_HEADERS, scheme.header, scheme.timestamp_header)


@dataclass(frozen=True, slots=True)
class _Request:
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    url_token: str = field(repr=False)
    now: float
    scheme: HmacScheme

    def header(self, name: str, mode: str) -> str:
        """The value of that header. Raises: WebhookRejectedError if it is missing, given twice or not ASCII."""
        wanted = name.lower()
        values = [PrivateText(value) for key, value in self.headers.items() if key.lower() == wanted]
        if not values or not values[0]:
            raise WebhookRejectedError(f"{mode}_missing")
        if len(values) > 1 or not values[0].isascii():
            raise WebhookRejectedError(f"{mode}_malformed")
        return values[0]

    def timestamp(self, name: str, mode: str) -> str:
        """The text of a timestamp header, as it was signed. Raises: WebhookRejectedError unless it is close to now."""
        text = self.header(name, mode)
        if not _DIGITS.fullmatch(text):
            raise WebhookRejectedError(f"{mode}_malformed")
        if abs(self.now - int(text)) > TOLERANCE_SECONDS:
            raise WebhookRejectedError(f"{mode}_stale")
        return text


def parse_secrets(entries: Iterable[str]) -> tuple[WebhookSecret, ...]:
    """Parse entries `secret` or `mode:secret`, where `mode` is one of MODES; `Bearer a:b` is therefore a secret.

    Each may have an end, see `dated.parse`. Blank entries are left out: an empty secret protects nothing.
    """
    secrets = []
    for entry in (dated.parse(PrivateText(entry)) for entry in entries):
        mode = next((mode for mode in MODES if entry.value.startswith(f"{mode}:")), None)
        value = entry.value if mode is None else PrivateText(entry.value.removeprefix(f"{mode}:").strip())
        secrets.append(WebhookSecret(value, mode, entry.until))
    return tuple(secret for secret in secrets if secret.value)


def current(secrets: Iterable[WebhookSecret], now: float) -> tuple[WebhookSecret, ...]:
    """The secrets that have not ended. now: Unix seconds."""
    return tuple(secret for secret in secrets if secret.until is None or now < secret.until.timestamp())


def key_bytes(secret: WebhookSecret, mode: str) -> bytes | None:
    """The secret as a key of that mode; None if it is for another mode, empty or invalid base64."""
    if secret.mode not in (None, mode) or not secret.value:
        return None
    if mode == "standard_webhooks":
        return _from_base64(secret.value.removeprefix(_STANDARD_PREFIX)) or None
    return _utf8(secret.value)


def keys_of(mode: str, modes: Iterable[str], secrets: Iterable[WebhookSecret]) -> list[bytes]:
    """The keys of one mode, given all modes that are on.

    A secret without a mode counts only if a single mode needs one: a value that FeexPay sends unencrypted in a header
    must not also be a signing key.
    """
    alone = len(set(modes) - {"status"}) <= 1
    return [key for secret in secrets if (alone or secret.mode) and (key := key_bytes(secret, mode))]


def verify(
    *,
    modes: Iterable[str],
    secrets: Iterable[WebhookSecret],
    body: bytes,
    headers: Mapping[str, str],
    url_token: str,
    now: float,
    scheme: HmacScheme = HmacScheme(),  # noqa: B008  frozen, so one shared default is safe
) -> None:
    """Check every listed mode but `status`.

    body: the raw bytes as received. headers: names in any letter case. now: Unix seconds.

    Raises: WebhookRejectedError, whose `cause_code` is `<mode>_` + `no_secret`, `missing`, `malformed`, `stale` or
    `mismatch`, or `unknown_mode`.
    """
    request = _Request(body, headers, url_token, now, scheme)
    listed, known = tuple(modes), current(secrets, now)
    for mode in listed:
        if mode == "status":
            continue
        if mode not in _CHECKS:
            raise WebhookRejectedError("unknown_mode")
        keys = [key for key in keys_of(mode, listed, known) if len(key) >= LEAST_SECRET_BYTES[mode]]
        if not keys:
            raise WebhookRejectedError(f"{mode}_no_secret")
        if not _CHECKS[mode](keys, request):
            raise WebhookRejectedError(f"{mode}_mismatch")


def _check_header(keys: list[bytes], request: _Request) -> bool:
    given = PrivateBytes(request.header(_AUTHORIZATION, "header").encode("ascii"))
    return _any_equal(given, keys)


def _check_url_token(keys: list[bytes], request: _Request) -> bool:
    given = _utf8(request.url_token)
    if not given:
        raise WebhookRejectedError("url_token_missing")
    return _any_equal(given, keys)


def _check_hmac(keys: list[bytes], request: _Request) -> bool:
    scheme = request.scheme
    text = request.header(scheme.header, "hmac")
    if not text.startswith(scheme.prefix):
        raise WebhookRejectedError("hmac_malformed")
    text = text.removeprefix(scheme.prefix)
    if scheme.encoding == "base64":
        given = _from_base64(text)
    else:
        given = bytes.fromhex(text) if _HEX_SHA256.fullmatch(text) else None
    if given is None:
        raise WebhookRejectedError("hmac_malformed")
    signed = request.body
    if scheme.timestamp_header:
        signed = request.timestamp(scheme.timestamp_header, "hmac").encode("ascii") + b"." + signed
    return _any_equal(given, [_mac(key, signed) for key in keys])


def _check_standard(keys: list[bytes], request: _Request) -> bool:
    mode = "standard_webhooks"
    identifier = request.header(_STANDARD_ID, mode)
    if not _WEBHOOK_ID.fullmatch(identifier):
        raise WebhookRejectedError(f"{mode}_malformed")
    stamp = request.timestamp(_STANDARD_TIMESTAMP, mode)
    given = _standard_signatures(request.header(_STANDARD_SIGNATURE, mode))
    signed = f"{identifier}.{stamp}.".encode("ascii") + request.body
    macs = [_mac(key, signed) for key in keys]
    matches = [_any_equal(signature, macs) for signature in given]
    return any(matches)


def _standard_signatures(header: str) -> list[bytes]:
    # Only `v1` is a symmetric signature; other versions are for other receivers.
    entries = header.split(" ")[:_MAX_SIGNATURES]
    values = [entry.removeprefix("v1,") for entry in entries if entry.startswith("v1,")]
    decoded = [signature for value in values if (signature := _from_base64(value))]
    if not decoded:
        raise WebhookRejectedError("standard_webhooks_malformed")
    return decoded


_CHECKS: Mapping[str, Callable[[list[bytes], _Request], bool]] = {
    "header": _check_header,
    "url_token": _check_url_token,
    "hmac": _check_hmac,
    "standard_webhooks": _check_standard,
}


def _any_equal(given: bytes, candidates: list[bytes]) -> bool:
    # A list, not a generator: all keys are compared, so that the response time does not show which one matched.
    matches = [hmac.compare_digest(given, candidate) for candidate in candidates]
    return any(matches)


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()


def _from_base64(text: str) -> bytes | None:
    try:
        return PrivateBytes(base64.b64decode(text, validate=True))
    except ValueError:  # binascii.Error, or a character outside ASCII
        return None


def _utf8(text: str) -> bytes | None:
    try:
        return PrivateBytes(text.encode("utf-8"))
    except UnicodeEncodeError:  # a lone surrogate
        return None
