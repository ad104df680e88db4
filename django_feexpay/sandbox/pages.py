"""The frame of every page: the viewer's language, the navigation, the stylesheet and the script.

Pages load nothing from other hosts, and work without their script. The script polls the page's `version` and reloads
when it has changed, but never while the payer types a PIN.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from django_feexpay.sandbox.context import Sandbox, sandbox_of
from django_feexpay.sandbox.options import LANGUAGES
from django_feexpay.sandbox.texts import accepted_language, money, text, texts_in

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


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


EMPTY = Markup("")


@dataclass(frozen=True, slots=True)
class Viewer:
    """One request for a page: the sandbox, the language, and whether `?lang=` chose it (then links keep it)."""

    sandbox: Sandbox
    language: str
    asked: bool

    def text(self, key: str, **values: object) -> str:
        return text(self.language, key, **values)

    def fill(self, template: str, **values: object) -> Markup:
        """A file of templates/: each `$name` becomes the value of that name or, without one, the text of that name.

        Every value is escaped unless it is `Markup` already. Raises KeyError for a name without value and text.
        """
        safe = {name: value if isinstance(value, Markup) else escape(str(value)) for name, value in values.items()}
        return Markup(_template(template).substitute(_escaped_texts(self.language) | safe))

    def question(self, amount: int) -> str:
        return self.text("question", amount=money(amount), shop=self.sandbox.options.shop_name)

    def url(self, path: str, **query: str) -> str:
        """`path` with its query, and with `?lang=` when the viewer chose the language."""
        query |= {"lang": self.language} if self.asked else {}
        return f"{path}?{urlencode(query)}" if query else path


def viewer_of(request: Request) -> Viewer:
    sandbox, asked = sandbox_of(request), request.query_params.get("lang", "")
    if asked in LANGUAGES:
        return Viewer(sandbox, asked, True)
    accepted = accepted_language(request.headers.get("accept-language", ""), sandbox.options.language)
    return Viewer(sandbox, accepted, False)


def join(pieces: Iterable[Markup]) -> Markup:
    return Markup("".join(pieces))


@cache
def _template(name: str) -> Template:
    return Template((files(__package__) / "templates" / f"{name}.html").read_text("utf-8"))


@cache
def _escaped_texts(language: str) -> dict[str, str]:
    return {key: escape(one) for key, one in texts_in(language).items()}


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
    whole = viewer.fill(
        "page",
        lang=viewer.language,
        title=viewer.text(title),
        links=join(_link(viewer, *entry, title) for entry in _NAVIGATION),
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
    current = Markup(' aria-current="page"') if key == title else EMPTY
    return viewer.fill("link", url=viewer.url(path), text=viewer.text(text), attributes=current)


def _language_link(viewer: Viewer, language: str, path: str) -> Markup:
    current = ' aria-current="true"' if language == viewer.language else ""
    short, name = _LANGUAGE_NAMES[language]
    attributes = Markup(f' lang="{language}" hreflang="{language}" aria-label="{short}, {name}"{current}')
    separator = "&" if "?" in path else "?"
    url = f"{path}{separator}lang={language}"
    return viewer.fill("link", url=url, text=short, attributes=attributes)


def not_found(request: Request) -> Response:
    viewer = viewer_of(request)
    return page(viewer, "not_found", "/", viewer.fill("not_found", url=viewer.url("/")), status_code=404)


_ASSET_TYPES = {"sandbox.css": "text/css", "sandbox.js": "text/javascript"}


async def asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _ASSET_TYPES:
        return not_found(request)
    return Response((files(__package__) / "assets" / name).read_bytes(), media_type=_ASSET_TYPES[name])


ROUTES = [Route("/assets/{name}", asset, methods=["GET"])]
