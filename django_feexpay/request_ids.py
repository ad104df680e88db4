"""The id of the HTTP request that this code runs in, for the history of payments.

The signals of Django's request handlers set it, so a host needs no middleware. Under ASGI they run in a task of their
own, so only the views of the API have an id there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from django.core.signals import request_finished, request_started

_LOGGABLE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
#: A request has begun, and its id has not been read yet.
_UNNAMED = object()

_current: ContextVar[object] = ContextVar("feexpay_request_id", default="")


def current() -> str:
    """The id of the request that this code runs in; "" outside requests, as in the worker and in commands."""
    if _current.get() is _UNNAMED:
        _current.set(os.urandom(16).hex())
    return str(_current.get())


def enter(given: str) -> str:
    """The id of the request that begins: `given`, the client's `X-Request-ID`, if it is safe to log, else a new one."""
    if _LOGGABLE.fullmatch(given):
        _current.set(given)
    elif not _current.get():
        _current.set(_UNNAMED)
    return current()


def connect() -> None:
    request_started.connect(_begin, dispatch_uid="feexpay_request_id")
    request_finished.connect(_end, dispatch_uid="feexpay_request_id")


def _begin(sender: Any, environ: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
    given = str((environ or {}).get("HTTP_X_REQUEST_ID", ""))
    _current.set(given if _LOGGABLE.fullmatch(given) else _UNNAMED)


def _end(sender: Any, **kwargs: Any) -> None:
    _current.set("")
