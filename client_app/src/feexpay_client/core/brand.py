"""Whose app it is: name, id, colours, logo, server, languages and endpoints, from one TOML file.

`make client-dist BRAND=path/to/brand.toml` packs the file and its logo into this package, and every start reads it.
Without it the app is ours, and its player types the server's address. docs/how-to/white-label.md describes each name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from feexpay_client.core.api import PAYMENTS_PATH
from feexpay_client.core.connection import server_address
from feexpay_client.core.i18n import Texts, our_languages
from feexpay_client.core.png import png_size
from feexpay_client.core.shop import ShopPaths
from feexpay_client.core.theme import Theme

BRAND_FILE: Final = Path(__file__).resolve().parents[1] / "brand.toml"
OUR_ID: Final = "io.github.djangofeexpay.client"
SMALLEST_LOGO: Final = 256

#: The id is used as an Android package, a Debian package, the name of the desktop files and a URL scheme, so it may
#: hold only what all four allow.
_ID = re.compile(r"[a-z][a-z0-9]*(\.[a-z][a-z0-9]*){2,}")
#: Desktop files, AppStream and buildozer.spec take these as they are.
_NAME = re.compile(r"[\w' ’&.,!+-]{1,30}")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
#: No Android package may have a part like these.
_JAVA_WORDS: Final = """abstract assert boolean break byte case catch char class const continue default do double else
    enum extends false final finally float for goto if implements import instanceof int interface long native new null
    package private protected public return short static strictfp super switch synchronized this throw throws transient
    true try void volatile while"""


class BrandError(ValueError):
    """The file cannot be used. The text has a line for each problem, with the name it is about."""


@dataclass(frozen=True, slots=True)
class Brand:
    """One published app. The defaults are our own.

    app_id: in a domain of its publisher. title: the app's name. shop_name: who is paid. server: the only one,
    `https://…`; empty: the player types it. languages: the first is shown if the system's is none of them.
    return_path: the server's page that opens `<app_id>://return`; empty: it has none. sign_up_url, forgot_url: pages
    for a new account and a new password; empty: there is none. folder: where the file and its logo are.
    """

    app_id: str = OUR_ID
    title: str = "FeexPay"
    shop_name: str = ""
    server: str = ""
    languages: tuple[str, ...] = ("fr", "en")
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    theme: Theme = field(default_factory=Theme)
    payments_path: str = PAYMENTS_PATH
    shop_paths: ShopPaths = ShopPaths()
    return_path: str = "/return/app/"
    sign_up_url: str = ""
    forgot_url: str = ""

    @property
    def scheme(self) -> str:
        """RFC 8252: the reversed domain, so that no other app claims it by accident."""
        return self.app_id

    @property
    def program(self) -> str:
        """The name of the built folder and of the program in it."""
        return "feexpay_client" if self.app_id == OUR_ID else self.app_id.rpartition(".")[2]


def load_brand(path: Path = BRAND_FILE) -> Brand:
    """The brand of that file; ours if there is none. Raises BrandError with every problem in it."""
    if not path.exists():
        return Brand()
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BrandError(f"{path.name}: {error}") from None
    reader = _Reader(given, path.resolve().parent)
    brand = reader.brand()
    if reader.problems:
        raise BrandError("\n".join(f"{path.name}: {problem}" for problem in reader.problems))
    return brand


class _Reader:
    """Reads the file name by name, and collects the problems instead of stopping at the first."""

    def __init__(self, given: dict[str, Any], folder: Path) -> None:
        self._given, self._folder = given, folder
        self.problems: list[str] = []

    def brand(self) -> Brand:
        self._refuse_unknown()
        texts = self._texts()
        name = self._text("name", _is_name, required=True)
        return Brand(
            app_id=self._text("id", _is_id, required=True),
            title=name,
            shop_name=self._text("shop", _is_name) or name,
            server=self._text("server", _is_server, required=True).rstrip("/"),
            languages=self._languages(texts),
            texts=texts,
            theme=self._theme(),
            payments_path=self._text("endpoints.payments", _is_path) or PAYMENTS_PATH,
            shop_paths=self._shop_paths(),
            return_path=self._text("endpoints.return_page", _is_path_or_empty, default=Brand().return_path),
            sign_up_url=self._text("pages.sign_up", _is_page),
            forgot_url=self._text("pages.forgot", _is_page),
        )

    def _refuse_unknown(self) -> None:
        for table, known in _NAMES.items():
            members = self._table(table)
            for name in sorted(members.keys() - known):
                meant = get_close_matches(name, known, 1)
                hint = f"did you mean {meant[0]}?" if meant else f"known: {', '.join(sorted(known))}"
                self.problems.append(f"{_dotted(table, name)}: no such name; {hint}")

    def _table(self, name: str) -> dict[str, Any]:
        value = self._given.get(name, {}) if name else self._given
        if isinstance(value, dict):
            return value
        problem = f"{name}: a table, [{name}]"
        if name in self._given and problem not in self.problems:
            self.problems.append(problem)
        return {}

    def _text(self, name: str, check: Callable[[str], str], *, required: bool = False, default: str = "") -> str:
        """The text of that name; empty or the default if it is missing or wrong."""
        table, _, member = name.rpartition(".")
        value = self._table(table).get(member)
        if value is None:
            if required:
                self.problems.append(f"{name}: missing")
            return default
        problem = check(value) if isinstance(value, str) else 'a text in "quotes"'
        if problem:
            self.problems.append(f"{name}: {problem}")
            return default
        return str(value)

    def _shop_paths(self) -> ShopPaths:
        ours = ShopPaths()
        names = [one.name for one in fields(ShopPaths)]
        checks = {"sign_out": _is_path_or_empty}
        return ShopPaths(
            **{
                name: self._text(f"endpoints.{name}", checks.get(name, _is_path), default=getattr(ours, name))
                for name in names
            }
        )

    def _texts(self) -> dict[str, dict[str, str]]:
        texts: dict[str, dict[str, str]] = {}
        for language, words in self._table("texts").items():
            if not _LANGUAGE.fullmatch(language):
                self.problems.append(f"texts.{language}: a language has two or three small letters, like wo")
            elif not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
                self.problems.append(f'texts.{language}: lines like "form.pay" = "Acheter"')
            else:
                try:
                    Texts(language, {language: words})
                except ValueError as error:
                    self.problems.append(f"texts.{language}: {error}")
                else:
                    texts[language] = dict(words)
        return texts

    def _languages(self, texts: Mapping[str, Any]) -> tuple[str, ...]:
        given = self._given.get("languages", list(Brand().languages))
        if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
            self.problems.append('languages: a list with at least one, like ["fr", "en"]')
            return Brand().languages
        for language in given:
            if language not in our_languages() and language not in texts:
                ours = " and ".join(our_languages())
                self.problems.append(
                    f"languages: there are no texts in {language}; ours: {ours}, or add [texts.{language}]"
                )
            elif language not in our_languages() and not texts[language].get(LANGUAGE_NAME):
                self.problems.append(f'texts.{language}: "{LANGUAGE_NAME}" is missing, the name in the settings')
        return tuple(dict.fromkeys(given))

    def _theme(self) -> Theme:
        given = dict(self._table("theme"))
        logo = self._logo()
        radius = given.get("radius", Theme().radius)
        if type(radius) is not int or not 0 <= radius <= 32:
            self.problems.append("theme.radius: a whole number from 0 to 32")
            radius = Theme().radius
        light, dark = self._colors("light"), self._colors("dark")
        primary = self._text("theme.primary", _is_text)
        try:
            if primary:
                return Theme.branded(primary, radius=radius, logo=logo, light=light, dark=dark)
            return Theme(radius=radius, logo=logo, light=light, dark=dark)
        except ValueError as error:
            self.problems.append(f"theme: {error}")
            return Theme()

    def _colors(self, mode: str) -> dict[str, str]:
        given = self._table("theme").get(mode, {})
        if isinstance(given, dict) and all(isinstance(color, str) for color in given.values()):
            return given
        self.problems.append(f'theme.{mode}: lines like primary = "#6C2BD9"')
        return {}

    def _logo(self) -> str:
        """The path of the logo. It lies beside the file, so that both are packed together."""
        name = self._text("logo", _is_file_name, required=True)
        if not name:
            return ""
        path = self._folder / name
        if not path.is_file():
            self.problems.append(f"logo: there is no {name} beside the file")
            return ""
        width, height = png_size(path)
        if not width:
            self.problems.append(f"logo: {name} is no PNG picture")
        elif width != height or width < SMALLEST_LOGO:
            wanted = f"a square of at least {SMALLEST_LOGO} × {SMALLEST_LOGO}"
            self.problems.append(f"logo: {name} is {width} × {height} pixels; needed: {wanted}")
        return str(path)


#: The key of the text that holds a language's own name.
LANGUAGE_NAME: Final = "language.name"
#: Table → the names in it.
_NAMES: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset(("name", "id", "shop", "server", "logo", "languages", "theme", "endpoints", "pages", "texts")),
    "theme": frozenset(("primary", "radius", "light", "dark")),
    "endpoints": frozenset(("payments", "return_page", *(one.name for one in fields(ShopPaths)))),
    "pages": frozenset(("sign_up", "forgot")),
}


def _dotted(*parts: str) -> str:
    return ".".join(filter(None, parts))


# --- checks: each returns what is wrong with a value, or an empty text ---


def _is_text(_value: str) -> str:
    return ""


def _is_name(value: str) -> str:
    fits = _NAME.fullmatch(value) and value == value.strip()
    return "" if fits else "1 to 30 letters, digits, spaces and ' & . , ! + -"


def _is_id(value: str) -> str:
    if not _ID.fullmatch(value):
        return "your domain backwards, in small letters and digits, like com.example.coins"
    if value == OUR_ID or value.startswith("me.feexpay."):
        return f"{value} is not yours: take a domain of your own"
    reserved = next(iter(set(_JAVA_WORDS.split()).intersection(value.split("."))), "")
    return f"Android allows no {reserved} in it" if reserved else ""


def _is_server(value: str) -> str:
    try:
        server_address(value)
    except ValueError:
        return "https://…, or http:// and this machine"
    return "" if value.startswith(("https://", "http://")) else "https://…, or http:// and this machine"


def _is_path(value: str) -> str:
    return "" if re.fullmatch(r"/[A-Za-z0-9._~/-]*", value) else "a path on the server, like /api/v1/shop/packs/"


def _is_path_or_empty(value: str) -> str:
    return _is_path(value) if value else ""


def _is_page(value: str) -> str:
    return "" if re.fullmatch(r"https://[^\s\"]+", value) else "an address https://…"


def _is_file_name(value: str) -> str:
    return "" if value and Path(value).name == value else "the name of a PNG file beside this one"
