"""The frame of every page: the viewer's language, the navigation, the stylesheet and the script. No outside asset.

A page works without its script. The script polls the page's `version` and reloads when it has changed, but never while
a PIN is being typed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox import markup
from django_feexpay.sandbox.context import Sandbox, sandbox_of
from django_feexpay.sandbox.markup import Markup, fill, join
from django_feexpay.sandbox.options import LANGUAGES
from django_feexpay.sandbox.texts import accepted_language, asked_language, text

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)

_HEADERS = {
    "Cache-Control": "no-store",
    "Vary": "Accept-Language",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_LANGUAGE_NAMES = {"fr": ("FR", "Français"), "en": ("EN", "English")}

_NAVIGATION = (("phone", "phone_short", "/"), ("payments", "payments", "/payments"), ("control", "control", "/control"))


@dataclass(frozen=True, slots=True)
class Viewer:
    """One request for a page: the sandbox, the language, and whether `?lang=` chose it (then links keep it)."""

    sandbox: Sandbox
    language: str
    asked: bool

    def text(self, key: str, **values: object) -> str:
        return text(self.language, key, **values)

    def texts(self, *keys: str) -> dict[str, str]:
        return {key: self.text(key) for key in keys}

    def url(self, path: str, **query: str) -> str:
        """`path` with its query, and with `?lang=` when the viewer chose the language."""
        query |= {"lang": self.language} if self.asked else {}
        return f"{path}?{urlencode(query)}" if query else path


def viewer_of(request: Request) -> Viewer:
    sandbox = sandbox_of(request)
    asked = asked_language(request)
    accepted = accepted_language(request.headers.get("accept-language", ""), sandbox.options.language)
    return Viewer(sandbox, asked or accepted, asked is not None)


def version_of(body: Markup) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def page(
    viewer: Viewer,
    title: str,
    path: str,
    content: Markup,
    status_code: int = 200,
    form_leads_to: Iterable[str] = (),
) -> Response:
    """`content` in the frame. `title`: a key of the texts. `path`: where the language links lead.

    `form_leads_to`: addresses of other sites to which the answer to the page's form may redirect.
    """
    whole = fill(
        "page",
        language=viewer.language,
        title=viewer.text(title),
        banner=viewer.text("banner"),
        skip=viewer.text("skip"),
        links=join(_link(viewer, *entry, title) for entry in _NAVIGATION),
        language_label=viewer.text("language"),
        languages=join(_language_link(viewer, language, path) for language in LANGUAGES),
        content=content,
    )
    # Browsers apply the page's form-action policy to the redirect that answers the form.
    origins = "".join(f" {origin}" for url in form_leads_to if (origin := _origin(url)))
    headers = _HEADERS | {"Content-Security-Policy": _POLICY + origins}
    return HTMLResponse(whole, status_code=status_code, headers=headers)


def _origin(url: str) -> str:
    """The origin of a URL, such as `https://shop.test:8443`; "" when a policy cannot hold it."""
    try:
        parts = urlsplit(url)
        plain = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    except ValueError:  # a broken IPv6 host
        return ""
    return plain if re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", plain) else ""


def _link(viewer: Viewer, key: str, text: str, path: str, title: str) -> Markup:
    current = Markup(' aria-current="page"') if key == title else markup.EMPTY
    return fill("link", url=viewer.url(path), text=viewer.text(text), attributes=current)


def _language_link(viewer: Viewer, language: str, path: str) -> Markup:
    current = ' aria-current="true"' if language == viewer.language else ""
    short, name = _LANGUAGE_NAMES[language]
    attributes = Markup(f' lang="{language}" hreflang="{language}" aria-label="{short}, {name}"{current}')
    separator = "&" if "?" in path else "?"
    url = f"{path}{separator}lang={language}"
    return fill("link", url=url, text=short, attributes=attributes)


def not_found(request: Request) -> Response:
    viewer = viewer_of(request)
    content = fill("not_found", title=viewer.text("not_found"), back=viewer.text("phone"), url=viewer.url("/"))
    return page(viewer, "not_found", "/", content, status_code=404)


async def stylesheet(request: Request) -> Response:
    return Response(markup.asset("sandbox.css"), media_type="text/css")


async def script(request: Request) -> Response:
    return Response(markup.asset("sandbox.js"), media_type="text/javascript")


ROUTES = [
    Route("/assets/sandbox.css", stylesheet, methods=["GET"]),
    Route("/assets/sandbox.js", script, methods=["GET"]),
]
