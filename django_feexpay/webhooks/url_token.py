"""Keep the token of `…/webhook/<token>/` out of logs and error reports.

Django logs the path of every response from status 400 on, servers log every path, and error reports quote the path and
the arguments. So the URL converter makes the token a `Secret`, and the view overwrites it with `***` wherever the
request holds its path. Django's log, error reports and servers that read the same environ or scope later (gunicorn,
uvicorn) show only `***`. Some log lines are written before or without the view (a middleware that answers first, a
missing slash, runserver): `TokenFilter` removes the token from them.
"""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest
from django.urls import NoReverseMatch, register_converter, reverse
from django.urls.converters import StringConverter

from django_feexpay.crypto import Secret

HIDDEN = "***"

#: Django's loggers that write the path of a request.
LOGGERS = ("django.request", "django.server")

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
    for name, written in (("PATH_INFO", request.path_info), ("RAW_URI", full), ("REQUEST_URI", full)):
        if name in request.META:
            request.META[name] = written
    scope = getattr(request, "scope", None)
    if scope is not None:
        scope.update(path=request.path, raw_path=quote(request.path).encode("ascii"))


class TokenFilter(logging.Filter):
    """Lets every record pass, and removes the token of our webhook from it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_without_token(value) if isinstance(value, str) else value for value in record.args)
        if isinstance(record.msg, str):
            record.msg = _without_token(record.msg)
        return True


def guard_logs() -> None:
    """Add the filter to Django's loggers. Safe to repeat: yes."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, TokenFilter) for known in logger.filters):
            logger.addFilter(TokenFilter())


def _without_token(text: str) -> str:
    """Mask the rest of every path after the address of our webhook, whatever prefix a proxy or the host added."""
    if "webhook/" not in text:
        return text
    try:
        ours = re.escape(reverse("feexpay:webhook"))
    except NoReverseMatch:
        return text
    return re.sub(rf"({ours}){_END_OF_PATH}", rf"\g<1>{HIDDEN}\g<2>", text)
