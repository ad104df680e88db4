"""Keep the token of `…/webhook/<token>/` out of logs and error reports, and the checkout's addresses out of logs.

Django logs the path of every response from status 400 on, servers log every path, and error reports quote the path and
the arguments. So the URL converter makes the token a `Secret`, and the view overwrites it with `***` wherever the
request holds its path. Django's log, error reports and servers that read the same environ or scope later (gunicorn,
uvicorn) show only `***`. Some log lines are written before or without the view (a middleware that answers first, a
missing slash, runserver): `TokenFilter` removes the token from them.
"""

from __future__ import annotations

import logging
import re
from copy import copy
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.http import HttpRequest
from django.urls import NoReverseMatch, register_converter, reverse
from django.urls.converters import StringConverter
from django.utils.translation import get_language

from django_feexpay.crypto import Secret
from django_feexpay.monitoring.webhook_route import webhook_path, without_script_prefix

HIDDEN = "***"

#: Django's loggers that write the path of a request.
LOGGERS = ("django.request", "django.server")

#: The keys under which the environ of a WSGI server holds the path.
_PATHS_IN_META = ("PATH_INFO", "RAW_URI", "REQUEST_URI")

#: The rest of a path, and its last slash.
_END_OF_PATH = r"[^\s?#\"']+?(/?)(?![^\s?#\"'])"


class TokenConverter(StringConverter):
    """A path segment that becomes a `Secret`."""

    def to_python(self, value: str) -> Any:
        return Secret(value)

    def to_url(self, value: Any) -> str:
        return value.reveal() if isinstance(value, Secret) else str(value)


register_converter(TokenConverter, "feexpay_token")


def hide(request: HttpRequest, token: Secret) -> None:
    """Overwrite the token wherever the request, its WSGI environ or its ASGI scope holds the path."""
    ending = len(token.reveal()) + 1  # with the slash
    request.path = f"{request.path[:-ending]}{HIDDEN}/"
    request.path_info = f"{request.path_info[:-ending]}{HIDDEN}/"
    full = request.get_full_path()
    for name in _PATHS_IN_META:
        if name in request.META:
            request.META[name] = request.path_info if name == "PATH_INFO" else full
    scope = getattr(request, "scope", None)
    if scope is not None:
        scope.update(path=request.path, raw_path=quote(request.path).encode("ascii"))


class TokenFilter(logging.Filter):
    """Lets every record pass, and removes the token of our webhook from it, and from the request that it carries: a
    JSON formatter writes that too."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_without_token(value) if isinstance(value, str) else value for value in record.args)
        if isinstance(record.msg, str):
            record.msg = _without_token(record.msg)
        request = getattr(record, "request", None)
        if isinstance(request, HttpRequest) and _without_token(request.path) != request.path:
            record.request = _masked(request)
        return True


def guard_logs() -> None:
    """Add the filter to Django's loggers. Safe to repeat: yes."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, TokenFilter) for known in logger.filters):
            logger.addFilter(TokenFilter())


def _masked(request: HttpRequest) -> HttpRequest:
    """A copy whose path shows no token, for a record: Django's middleware may still need the path of the request."""
    masked = copy(request)
    masked.path, masked.path_info = _without_token(request.path), _without_token(request.path_info)
    named = {name: request.META[name] for name in _PATHS_IN_META if name in request.META}
    masked.META = request.META | {name: _without_token(value) for name, value in named.items()}
    masked.environ = masked.META  # type: ignore[attr-defined]  # of a WSGIRequest
    return masked


def _without_token(text: str) -> str:
    """Mask the rest of every path after the address of our webhook, whatever prefix a proxy or the host added and in
    whatever language, and the signed part of the checkout's addresses, which is the key to a payment.
    """
    if ":" in text and (checkout := _in_any_language(_checkout_path())):
        text = re.sub(rf"({re.escape(checkout.removesuffix('-/'))})[^\s/?#\"']+:[^\s/?#\"']+", rf"\g<1>{HIDDEN}", text)
    if "webhook/" in text and (webhook := _in_any_language(webhook_path())):
        text = re.sub(rf"({re.escape(webhook)}){_END_OF_PATH}", rf"\g<1>{HIDDEN}\g<2>", text)
    return text


def _checkout_path() -> str:
    """The path of a checkout page with the address "-"; "" where the host does not include the checkout."""
    try:
        return without_script_prefix(reverse("feexpay_checkout:page", args=["-"]))
    except NoReverseMatch:
        return ""


def _in_any_language(path: str) -> str:
    """The part of the path that is the same in each language, where the host's urls use `i18n_patterns`."""
    if not path or not is_language_prefix_patterns_used(settings.ROOT_URLCONF)[0]:
        return path
    return "/" + path.removeprefix(f"/{get_language() or settings.LANGUAGE_CODE}/").removeprefix("/")
