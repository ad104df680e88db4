"""The Content-Security-Policy of every answer: only files of this site, nothing inline.

Django 6 has such a middleware (`SECURE_CSP`). The sample project has its own, because it also runs on Django 5.2.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

#: `data:` images are the icons in the style sheets of Django's admin. A script, a style or a form target of another
#: site is refused, and no other site may show a page of this one in a frame.
OWN_FILES_ONLY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADER = "Content-Security-Policy"
_DEBUG_PAGES = (404, 500)


class ContentPolicyMiddleware:
    """Sends OWN_FILES_ONLY, unless the view sent a policy of its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        # Django's error pages with DEBUG have inline styles and scripts.
        if not (settings.DEBUG and response.status_code in _DEBUG_PAGES):
            response.headers.setdefault(_HEADER, OWN_FILES_ONLY)
        return response
