"""Which API keys and webhook secrets are in use, and until when, without showing one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django_feexpay import conf
from django_feexpay.conf import feexpay
from django_feexpay.secrets.dated import DatedSecret

#: A key without a successor is reported this long before its end.
ENDS_SOON = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of API_KEY or WEBHOOK_SECRETS. `kind`: `key`, or `webhook` and its mode. `masked`: identifies it."""

    kind: str
    masked: str
    until: datetime | None
    is_current: bool


def listed(now: datetime) -> Iterator[Listed]:
    """All entries, in the order of the settings."""
    for key in feexpay.api_keys:
        beginning = key.value[:3] if key.value.startswith("fp_") else ""
        yield Listed("key", f"{beginning}{key.masked}", key.until, key.is_current(now))
    for secret in feexpay.webhook_secrets:
        dated = DatedSecret(secret.value, secret.until)
        kind = f"webhook {secret.mode}" if secret.mode else "webhook"
        yield Listed(kind, dated.masked, dated.until, dated.is_current(now))


def problem(now: datetime) -> str:
    """`not_read`: the source does not answer; `ended`: no key is left; `ends_soon`: the last one ends; else `ok`.

    The same words for the webhook secrets of a mode.
    """
    state = conf.secrets().state()
    if state is not None and state.problem:
        return "not_read"
    last = _last_ends(now)
    if any(end is not None and end <= now for end in last):
        return "ended"
    return "ends_soon" if any(end is not None and end <= now + ENDS_SOON for end in last) else "ok"


def _last_ends(now: datetime) -> list[datetime | None]:
    """When the last key ends, and the last secret of each webhook mode; None: never."""
    ends: dict[str, list[datetime | None]] = {}
    for entry in listed(now):
        ends.setdefault(entry.kind, []).append(entry.until)
    return [None if None in each else max(end for end in each if end) for each in ends.values()]
