"""Every way a call can end badly, as a problem. Set on our views, never through the host's REST_FRAMEWORK."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.problems import CONTENT_TYPE, problem, request_id

logger = logging.getLogger("django_feexpay.api")

#: DRF's errors by the problem they are; the first that fits counts.
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
    (DatabaseError, "service_unavailable"),
)


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """The problem for an error; None lets an unexpected one go on to Django's 500 and its log."""
    request = context["request"]
    if isinstance(error, NotAllowedError):
        return _refusal(request, error)
    if isinstance(error, exceptions.ValidationError):
        return respond(request, "validation_error", errors=list(_flatten(error.get_full_details())))
    if isinstance(error, exceptions.APIException) and error.default_code in ("malformed_request", "payload_too_large"):
        return respond(request, error.default_code, detail=str(error.detail))
    code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
    if code is None:
        return None
    if code == "service_unavailable":
        logger.error("database away: %s", type(error).__name__, extra={"request_id": request_id(request)})
    return respond(request, code, headers=_headers(error))


def respond(request: Any, code: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> Response:
    """A problem as DRF's response."""
    status, body = problem(request, code, **members)
    response = Response(body, status=status, content_type=CONTENT_TYPE, headers=dict(headers or {}))
    response["X-Request-ID"] = body["request_id"]
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if status == 503 and "Retry-After" not in response:
        response["Retry-After"] = "5"
    return response


def _refusal(request: Any, error: NotAllowedError) -> Response:
    errors = [{"field": item.field, "code": item.code, "message": item.message} for item in error.errors]
    extra = {"payment_id": str(error.payment_id)} if error.payment_id else {}
    after = error.retry_after_seconds
    headers = {} if after is None else {"Retry-After": str(after)}
    return respond(request, error.code, headers=headers, detail=error.message, errors=errors, **extra)


def _headers(error: Exception) -> dict[str, str]:
    wait = getattr(error, "wait", None)
    return {} if wait is None else {"Retry-After": str(int(wait))}


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
