"""Error reports to Sentry without personal data: `sentry.start(dsn)` at the end of the settings.

A report holds the error, its stack without variables, the release, the environment and the id of the user. Errors of
FeexPay calls are grouped by their kind, so that one outage is one issue.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from django_feexpay import __version__
from django_feexpay.gateway.errors import GatewayError

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

#: Digits of a phone number, also with spaces, dots or dashes between them.
_NUMBER = re.compile(r"\+?\d(?:[ .\-]?\d){7,14}")
_MASK = "•••"
#: Of a request, only these tell where an error happened; addresses lose their query.
_REQUEST_KEPT = ("method", "url")


def start(dsn: str, *, environment: str, release: str = "", **options: Any) -> None:
    """Report errors to Sentry. `options`: further ones of sentry_sdk.init. Without a dsn nothing happens.

    Raises: ImproperlyConfigured if sentry-sdk is not installed.
    """
    if not dsn:
        return
    try:
        import sentry_sdk
    except ModuleNotFoundError:
        raise ImproperlyConfigured("SENTRY_DSN needs sentry-sdk: pip install 'django-feexpay[sentry]'") from None
    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        release=release or f"django-feexpay@{__version__}",
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        before_send=scrubbed,
        **options,
    )


def scrubbed(event: Event, hint: Hint) -> Event:
    """The event without personal data, and with errors of FeexPay calls grouped by kind."""
    user = event.get("user") or {}
    event["user"] = {"id": user["id"]} if user.get("id") else {}
    request = event.get("request")
    if request is not None:
        kept = {name: value for name, value in request.items() if name in _REQUEST_KEPT}
        kept["url"] = _without_secrets(str(kept.get("url", "")))
        event["request"] = kept
    for name in ("extra", "breadcrumbs", "server_name", "modules"):
        event.pop(name, None)  # type: ignore[misc]  # a TypedDict deletes by a literal only
    if "transaction" in event:
        event["transaction"] = _without_secrets(str(event["transaction"]))
    if "message" in event:
        event["message"] = _masked(str(event["message"]))
    if "logentry" in event:
        event["logentry"] = _log_entry(event["logentry"])
    for error in (event.get("exception") or {}).get("values", ()):
        error["value"] = _masked(str(error.get("value", "")))
    raised = (hint.get("exc_info") or (None, None))[1]
    if isinstance(raised, GatewayError):
        event["fingerprint"] = ["feexpay", type(raised).__name__, raised.code]
        event.setdefault("tags", {})["feexpay_error"] = raised.code
    return event


def _log_entry(entry: Any) -> dict[str, Any]:
    """The formatted line; its parameters may be any object."""
    return {"message": _masked(str(entry.get("formatted") or entry.get("message", "")))}


def _without_secrets(address: str) -> str:
    """An address without its query, and without the token of the webhook's address."""
    path = address.partition("?")[0]
    return _masked(re.sub(r"(/webhook/)[^/]+", rf"\1{_MASK}", path))


def _masked(text: str) -> str:
    return _NUMBER.sub(_MASK, text)
