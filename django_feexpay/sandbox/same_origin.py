"""Protection against pages of other sites: a site that a developer visits must not approve payments here.

FeexPay's paths (`/api/`) are exempt: they require a key, which no browser sends by itself.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from django_feexpay.sandbox.context import is_address, is_from_this_machine, sandbox_of

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class SameOriginOnly:
    """Answer 403 to changes by another site's page, and to host names rebound to this machine (DNS rebinding)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith("/api/"):
            request = Request(scope)
            if request.method not in _SAFE_METHODS and _is_foreign(request):
                return await _refusal("pages of other sites may not change anything here")(scope, receive, send)
            if _is_rebound(request):
                return await _refusal("this host name is not one of this machine's")(scope, receive, send)
        return await self._app(scope, receive, send)


def _is_foreign(request: Request) -> bool:
    """Browsers send the origin of a request, and a page cannot change it. Other clients send neither header."""
    fetch_site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if fetch_site is not None:
        return fetch_site not in ("same-origin", "none")
    return origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()


def _is_rebound(request: Request) -> bool:
    """A loopback request under a foreign host name, by which a foreign page would count as same-origin."""
    if not is_from_this_machine(request):
        return False
    try:
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return True
    known = name in ("", "localhost", sandbox_of(request).options.host) or name.endswith(".localhost")
    return not known and not is_address(name)


def _refusal(why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status_code=403)
