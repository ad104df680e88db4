"""The choice of provider: by country, kind and search."""

from __future__ import annotations

import unicodedata
from typing import Any

from kivy.properties import ListProperty, StringProperty

from feexpay_client.core.models import Provider
from feexpay_client.presenters.presenter import Loading

_KINDS = ("mobile_money", "card", "wallet", "bank_transfer")
_HOME = "BJ"


class ProvidersPresenter(Loading):
    """`tiles` can be chosen; `notices` are unavailable, with the reason. `kinds` and `countries` are (value, text)."""

    tiles = ListProperty()
    notices = ListProperty()
    kinds = ListProperty()
    countries = ListProperty()
    country = StringProperty("")
    country_name = StringProperty("")
    kind = StringProperty("")
    search = StringProperty("")
    chosen = StringProperty("")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.country = self.context.preferences.country or _HOME

    @property
    def all(self) -> tuple[Provider, ...]:
        return self.session.catalogue.providers if self.session.catalogue is not None else ()

    async def fetch(self) -> None:
        if self.session.catalogue is not None:
            await self.session.catalogue.refresh()

    def relabel(self) -> None:
        self.show()
        self.refresh()  # the server sends names and reasons in the payer's language

    def get(self, code: str) -> Provider | None:
        return next((provider for provider in self.all if provider.code == code), None)

    def on_country(self, *_args: object) -> None:
        self.context.remember(country=self.country)
        self.kind, self.search = "", ""
        self.show()

    def on_kind(self, *_args: object) -> None:
        self.show()

    def on_search(self, *_args: object) -> None:
        self.show()

    def show(self) -> None:
        catalogue = self.session.catalogue
        if catalogue is None or not catalogue.providers:
            return
        named = [(country.code, country.name) for country in catalogue.countries()]
        self.countries = sorted(named, key=lambda row: _plain(row[1]))
        self.country_name = dict(named).get(self.country, self.country)
        here = catalogue.in_country(self.country)
        kinds = [kind for kind in _KINDS if any(one.kind == kind and one.enabled for one in here)]
        all_kinds = [("", self.tr("kind.all")), *((kind, self.tr(f"kind.{kind}")) for kind in kinds)]
        self.kinds = all_kinds if len(kinds) > 1 else []
        wanted = [one for one in here if self._wanted(one)]
        self.tiles = [_tile(one) for one in wanted if one.enabled]
        self.notices = [_tile(one) for one in wanted if not one.enabled]
        self.state = "ready" if wanted else "empty"

    def _wanted(self, provider: Provider) -> bool:
        return (not self.kind or provider.kind == self.kind) and _plain(self.search) in _plain(provider.name)


def _tile(provider: Provider) -> dict[str, str]:
    return {
        "code": provider.code,
        "name": provider.name,
        "monogram": provider.badge.monogram,
        "color": provider.badge.color,
        "reason": provider.unavailable_reason or "",
    }


def _plain(text: str) -> str:
    """Lower case without accents, to compare names with the search text."""
    return "".join(
        character for character in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(character)
    ).strip()
