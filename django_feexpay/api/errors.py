"""Every way a call can end badly, as a problem. Set on our views, never through the host's REST_FRAMEWORK."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.problems import CONTENT_TYPE, headers_of, problem, request_id

logger = logging.getLogger("django_feexpay.api")

#: Errors by the problem they are; the first that fits counts.
_CODES: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.NotAuthenticated, "not_authenticated"),
    (exceptions.AuthenticationFailed, "not_authenticated"),
    (exceptions.PermissionDenied, "permission_denied"),
    (PermissionDenied, "permission_denied"),
    (exceptions.NotFound, "not_found"),
    (Http404, "not_found"),
    (exceptions.MethodNotAllowed, "method_not_allowed"),
    (exceptions.NotAcceptable, "not_acceptable"),
    (exceptions.UnsupportedMediaType, "unsupported_media_type"),
    (exceptions.Throttled, "throttled"),
    (exceptions.ParseError, "malformed_request"),
    (BadRequest, "malformed_request"),
    (SuspiciousOperation, "malformed_request"),
    # The database is away. Its other errors are mistakes of ours.
    (OperationalError, "gateway_unavailable"),
    (InterfaceError, "gateway_unavailable"),
)

#: Errors of ours that carry their problem code and a detail for the client.
_OUR_CODES = ("malformed_request", "payload_too_large", "gateway_unavailable")


class Unavailable(exceptions.APIException):
    """503: what it takes to answer is not there at the moment; nothing was started."""

    status_code = 503
    default_code = "gateway_unavailable"


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """The problem for an error. An unexpected one is logged and told to whoever listens, as Django would."""
    request = context["request"]
    if isinstance(error, NotAllowedError):
        return _refusal(request, error)
    if isinstance(error, exceptions.ValidationError):
        return respond(request, "validation_error", errors=list(_flatten(error.get_full_details())))
    if isinstance(error, exceptions.APIException) and error.default_code in _OUR_CODES:
        return respond(request, error.default_code, detail=str(error.detail))
    code = next((code for kind, code in _CODES if isinstance(error, kind)), "server_error")
    if code == "server_error":
        _tell_operators(request, error)
    if code == "gateway_unavailable":
        logger.error("database away: %s", type(error).__name__, extra={"request_id": request_id(request)})
    return respond(request, code, headers=_headers(error), detail=_when_to_come_back(error))


def _tell_operators(request: Any, error: Exception) -> None:
    """Answering ourselves must not hide the error from the log, from Sentry or from a test client."""
    logger.error("unexpected error", exc_info=error, extra={"request_id": request_id(request)})
    got_request_exception.send(sender=None, request=getattr(request, "_request", request))


def respond(request: Any, code: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> Response:
    """A problem as DRF's response."""
    status, body = problem(request, code, **members)
    return Response(body, status=status, content_type=CONTENT_TYPE, headers=headers_of(body) | dict(headers or {}))


def _refusal(request: Any, error: NotAllowedError) -> Response:
    errors = [{"field": item.field, "code": item.code, "message": item.message} for item in error.errors]
    extra = {"payment_id": str(error.payment_id)} if error.payment_id else {}
    after = error.retry_after_seconds
    headers = {} if after is None else {"Retry-After": str(after)}
    return respond(request, error.code, headers=headers, detail=error.message, errors=errors, **extra)


def _headers(error: Exception) -> dict[str, str]:
    wait = getattr(error, "wait", None)
    return {} if wait is None else {"Retry-After": str(math.ceil(wait))}


def _when_to_come_back(error: Exception) -> str:
    """For people, what Retry-After is for programs."""
    wait = getattr(error, "wait", None)
    if wait is None:
        return ""
    return _("Too many requests. Please try again in %(seconds)d s.") % {"seconds": math.ceil(wait)}


def _flatten(details: Any, field: str = "") -> Iterator[dict[str, str]]:
    """DRF's nested details as rows; a list's errors are told by their field, a dict's by its path."""
    if isinstance(details, list):
        for item in details:
            yield from _flatten(item, field)
    elif isinstance(details, dict) and set(details) == {"message", "code"}:
        yield {"field": field, "code": str(details["code"]), "message": str(details["message"])}
    elif isinstance(details, dict):
        for name, item in details.items():
            yield from _flatten(item, f"{field}.{name}" if field else str(name))


def unknown_field(name: str) -> dict[str, list[exceptions.ErrorDetail]]:
    """A field we do not know: refused, so that a misspelt one is not silently ignored."""
    return {name: [exceptions.ErrorDetail(_("There is no such field."), code="unknown")]}
