"""Error answers outside the views: problem+json below /api/, an HTML page elsewhere."""

from __future__ import annotations

import base64
import hashlib
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from django_feexpay.rest import problem_response, server_error

#: The page needs no stylesheet, because the error may be in the files. The policy allows exactly this text, which holds
#: no character that HTML escapes.
_STYLE = """
body { font: 1.1rem/1.5 system-ui, sans-serif; color: #1d1733; background: #faf7f0; margin: 0; display: grid; \
place-items: center; min-height: 100vh; }
main { max-width: 32rem; padding: 1rem; }
h1 { line-height: 1.2; margin: 0 0 .5rem; }
a { color: #3a21b8; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, "malformed_request", HTTPStatus.BAD_REQUEST)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403: mostly to staff without the permission of an admin page."""
    return _answer(request, "permission_denied", HTTPStatus.FORBIDDEN)


@csrf_exempt  # a POST to a wrong address gets 404, not a CSRF error
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer 404. It is also the last URL pattern below /api/, so that the API answers JSON while DEBUG is on."""
    hint = "" if request.path.endswith("/") else _("Every address of this API ends with a slash.")
    return _answer(request, "not_found", HTTPStatus.NOT_FOUND, hint)


def internal_error(request: HttpRequest) -> HttpResponse:
    if _is_api(request):
        return server_error(request)
    return _page(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def _answer(request: HttpRequest, code: str, status: HTTPStatus, detail: str = "") -> HttpResponse:
    if _is_api(request):
        return problem_response(request, code, detail=detail)
    return _page(request, status)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _page(request: HttpRequest, status: HTTPStatus) -> HttpResponse:
    context = {"status": int(status), "is_admin": request.path.startswith("/admin/"), "style": _STYLE}
    headers = {"Content-Security-Policy": _POLICY}
    return HttpResponse(render_to_string("shop/error.html", context), status=int(status), headers=headers)
