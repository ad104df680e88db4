"""Errors of API calls as problems. Set on our views, never through the host's REST_FRAMEWORK."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.http.request import HttpHeaders
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.settings import api_settings

from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.problems import CONTENT_TYPE, headers_of, problem

logger = logging.getLogger("django_feexpay.api")

#: The problem code of each error; the first match counts.
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
    # The database is unavailable. Its other errors are bugs.
    (OperationalError, "gateway_unavailable"),
    (InterfaceError, "gateway_unavailable"),
)

#: Problem codes of our own exceptions, whose texts are for the client.
_OUR_CODES = ("malformed_request", "payload_too_large", "gateway_unavailable", "rate_unavailable")


class Unavailable(exceptions.APIException):
    """503: something this call needs is unavailable; nothing was started."""

    status_code = 503
    default_code = "gateway_unavailable"


class RateUnavailable(Unavailable):
    """503: the requests of this caller cannot be counted; nothing was started."""

    default_code = "rate_unavailable"


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """Turn an error into a problem. Log an unexpected error and send `got_request_exception`, as Django would."""
    request = context["request"]
    if isinstance(error, NotAllowedError):
        return _not_allowed(request, error)
    if isinstance(error, exceptions.ValidationError):
        return respond(request, "validation_error", errors=list(_flatten(error.get_full_details())))
    if isinstance(error, exceptions.APIException) and error.default_code in _OUR_CODES:
        return respond(request, error.default_code, detail=str(error.detail))
    code = next((code for kind, code in _CODES if isinstance(error, kind)), "server_error")
    if code == "not_authenticated":
        text = _("You are not signed in, or your session has ended. Sign in, then send the request again.")
        return respond(request, code, detail=text, headers={"WWW-Authenticate": challenges(context["view"], request)})
    if code == "throttled":
        seconds = math.ceil(getattr(error, "wait", None) or 1)
        text = _("Too many requests. Please try again in %(seconds)d s.") % {"seconds": seconds}
        return respond(request, code, detail=text, headers={"Retry-After": str(seconds)})
    if code == "server_error":  # our answer must not hide the error from the log, from Sentry or from a test client
        logger.error("unexpected error", exc_info=error)
        got_request_exception.send(sender=None, request=getattr(request, "_request", request))
    if code == "gateway_unavailable":
        logger.error("database unavailable: %s", type(error).__name__)
    return respond(request, code, detail=_csrf_text(error))


def challenges(view: Any, request: Any) -> str:
    """`WWW-Authenticate` by the authentication classes of a view, or the host's where the view has none.

    Basic is left out if the first class has no challenge, as in DRF: otherwise a browser would open its password
    dialog over the host's page. If no class has a challenge, the value is `Session`, because HTTP requires one in
    every 401.
    """
    classes: Any = view.authentication_classes or api_settings.DEFAULT_AUTHENTICATION_CLASSES
    headers = [authentication().authenticate_header(request) for authentication in classes]
    without_basic = bool(headers) and not headers[0]
    offered = [header for header in headers if header and not (without_basic and header.startswith("Basic"))]
    return ", ".join(dict.fromkeys(offered)) or "Session"


def _csrf_text(error: Exception) -> str:
    """The remedy for a failed CSRF check; "" for any other error."""
    text = str(getattr(error, "detail", ""))
    if not (isinstance(error, exceptions.PermissionDenied) and text.startswith("CSRF Failed: ")):
        return ""
    header = HttpHeaders.parse_header_name(settings.CSRF_HEADER_NAME) or settings.CSRF_HEADER_NAME
    message = _("The CSRF check failed: %(reason)s Send the CSRF token of your page in the header %(header)s.")
    return message % {"reason": text.removeprefix("CSRF Failed: "), "header": header}


def respond(request: Any, code: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> Response:
    """A problem as DRF's response."""
    status, body = problem(request, code, **members)
    logger.debug("answered with the problem %s", code, extra={"problem": code})
    return Response(body, status=status, content_type=CONTENT_TYPE, headers=headers_of(body) | dict(headers or {}))


def _not_allowed(request: Any, error: NotAllowedError) -> Response:
    errors = [{"field": item.field, "code": item.code, "message": item.message} for item in error.errors]
    extra = {"payment_id": str(error.payment_id)} if error.payment_id else {}
    headers = {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}
    return respond(request, error.code, headers=headers, detail=error.message, errors=errors, **extra)


def _flatten(details: Any, field: str = "") -> Iterator[dict[str, str]]:
    """DRF's nested details as a flat list. An error inside a dict gets the path of its field."""
    if isinstance(details, list):
        for item in details:
            yield from _flatten(item, field)
    elif isinstance(details, dict) and set(details) == {"message", "code"}:
        yield {"field": field, "code": str(details["code"]), "message": str(details["message"])}
    elif isinstance(details, dict):
        for name, item in details.items():
            yield from _flatten(item, f"{field}.{name}" if field else str(name))


def unknown_field(name: str) -> dict[str, list[exceptions.ErrorDetail]]:
    """The error for a field we do not know. A misspelt field must not be ignored silently."""
    return {name: [exceptions.ErrorDetail(_("There is no such field."), code="unknown")]}
