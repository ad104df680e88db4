"""Problem bodies by RFC 9457, for every entry point. Each code has one HTTP status and one title."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_feexpay import request_ids

CONTENT_TYPE = "application/problem+json"

#: Status and title of every problem code.
PROBLEMS: Mapping[str, tuple[int, Any]] = {
    "validation_error": (400, gettext_lazy("Some values are not valid")),
    "malformed_request": (400, gettext_lazy("The request could not be read")),
    "not_authenticated": (401, gettext_lazy("Credentials are missing or wrong")),
    "permission_denied": (403, gettext_lazy("You may not do this")),
    "not_found": (404, gettext_lazy("Not found")),
    "method_not_allowed": (405, gettext_lazy("Wrong method")),
    "not_acceptable": (406, gettext_lazy("No such format")),
    "payment_open": (409, gettext_lazy("An earlier attempt may still succeed")),
    "not_retryable": (409, gettext_lazy("This payment cannot be retried")),
    "duplicate_payment": (409, gettext_lazy("This is being paid already")),
    "idempotency_conflict": (409, gettext_lazy("The first request is still running")),
    "otp_not_expected": (409, gettext_lazy("No code is expected")),
    "payload_too_large": (413, gettext_lazy("The body is too large")),
    "unsupported_media_type": (415, gettext_lazy("Send JSON")),
    "idempotency_mismatch": (422, gettext_lazy("This key was used for another request")),
    "otp_rejected": (422, gettext_lazy("The code was not accepted")),
    "provider_unavailable": (422, gettext_lazy("This way to pay is not available")),
    "throttled": (429, gettext_lazy("Too many requests")),
    "too_many_prompts": (429, gettext_lazy("This number was asked to pay too often")),
    "server_error": (500, gettext_lazy("Something went wrong on our side")),
    "gateway_unavailable": (503, gettext_lazy("Payments are not possible right now")),
    "not_configured": (503, gettext_lazy("Payments are not set up here")),
    "rate_unavailable": (503, gettext_lazy("Not possible at the moment")),
}

#: `Retry-After` of a 503, except for WITHOUT_RETRY_AFTER.
RETRY_AFTER_SECONDS = 5
#: A 503 that lasts until the host changes its settings.
WITHOUT_RETRY_AFTER = frozenset({"not_configured"})


def request_id(request: Any) -> str:
    """The id of a request: the client's `X-Request-ID` if it is safe to log, else a new one. The same in every call."""
    http: HttpRequest = getattr(request, "_request", request)
    value = getattr(http, "feexpay_request_id", "")
    if not value:
        value = request_ids.enter(http.META.get("HTTP_X_REQUEST_ID", ""))
        http.feexpay_request_id = value  # type: ignore[attr-defined]  # ours, carried on the request
    return str(value)


def problem(
    request: Any, code: str, *, detail: str = "", errors: Sequence[Mapping[str, str]] = (), **extra: Any
) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of a problem. `extra` are further members, such as `payment_id`."""
    status, lazy_title = PROBLEMS[code]
    title = str(lazy_title)
    body = {
        "type": f"urn:feexpay:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail or title,
        "code": code,
        "errors": [dict(error) for error in errors],
        "request_id": request_id(request),
        **extra,
    }
    return status, body


def headers_of(body: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a problem, except the `WWW-Authenticate` of a 401, which depends on the entry point."""
    headers = {"X-Request-ID": str(body["request_id"]), "Cache-Control": "no-store"}
    if body["status"] == 503 and body["code"] not in WITHOUT_RETRY_AFTER:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return headers


def problem_response(
    request: Any, code: str, *, detail: str = "", headers: Mapping[str, str] | None = None
) -> JsonResponse:
    """A problem as a plain Django response, for views outside DRF and for a host's error pages."""
    status, body = problem(request, code, detail=detail)
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE, headers=headers_of(body) | dict(headers or {}))


def server_error(request: HttpRequest, *args: Any) -> JsonResponse:
    """The answer for a host's `handler500`: it names the request id and nothing about the error."""
    return problem_response(request, "server_error", detail=_("Please try again, or give us this request id."))
