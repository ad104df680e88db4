"""The choice of provider: by country, kind and search."""

from __future__ import annotations

import unicodedata
from typing import Any

from kivy.properties import BooleanProperty, ListProperty, StringProperty

from feexpay_client.core import phone, ranking
from feexpay_client.core.models import Provider
from feexpay_client.core.system_locale import system_country
from feexpay_client.presenters.presenter import Loading

_KINDS = ("mobile_money", "card", "wallet", "bank_transfer")
_HOME = "BJ"
#: Up to this many ways to pay can be seen at a glance.
_SEARCHED_FROM = 8


class ProvidersPresenter(Loading):
    """`tiles` can be chosen, the most likely first; all cards are one tile, because one page takes them all.

    `notices` are unavailable, with the reason: those of the country, which may be under maintenance, and after
    `show_unavailable` also those that no country has. `kinds` and `countries` are (value, text). `currency` is the
    price's: what cannot be paid in it is not offered.
    """

    tiles = ListProperty()
    notices = ListProperty()
    kinds = ListProperty()
    countries = ListProperty()
    country = StringProperty("")
    country_name = StringProperty("")
    kind = StringProperty("")
    search = StringProperty("")
    searchable = BooleanProperty(False)
    hides_some = BooleanProperty(False)
    chosen = StringProperty("")
    currency = StringProperty("")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._shows_all = False
        self.country = self.context.preferences.country

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

    def on_currency(self, *_args: object) -> None:
        self.show()

    def show_unavailable(self) -> None:
        self._shows_all = True
        self.show()

    def name_of(self, provider: Provider) -> str:
        """The provider's name; "card" for every network of cards."""
        return self.tr("providers.card") if provider.kind == ranking.CARD else provider.name

    def show(self) -> None:
        catalogue = self.session.catalogue
        if catalogue is None or not catalogue.providers:
            return
        payable = ranking.payable_countries(catalogue.providers, self.currency)
        named = [(country.code, country.name) for country in catalogue.countries() if country.code in payable]
        self.countries = sorted(named, key=lambda row: _plain(row[1]))
        if payable and self.country not in payable:
            self.country = self._likely_country(payable)
            return  # on_country shows it
        self.country_name = dict(named).get(self.country, self.country)
        self._show_ways([one for one in catalogue.in_country(self.country) if ranking.accepts(one, self.currency)])

    def _likely_country(self, payable: set[str]) -> str:
        """The payer's probable country: of the number used last, of the system's settings, or else the first one."""
        likely = (phone.country_of(self.context.preferences.phone, self.all), system_country(), _HOME)
        return next((country for country in likely if country in payable), min(payable))

    def _show_ways(self, here: list[Provider]) -> None:
        last = self.context.preferences.provider
        ways = _one_card(ranking.ranked((one for one in here if one.enabled), self.country, last))
        self.searchable = len(ways) >= _SEARCHED_FROM
        self.kinds = self._kinds(ways)
        wanted = [one for one in ways if self._wanted(one)]
        self.tiles = [self._tile(one) for one in wanted]
        unavailable = [one for one in here if not one.enabled]
        noticed = [one for one in unavailable if one.country or self._shows_all or one.code == last]
        self.notices = [self._tile(one) for one in noticed]
        self.hides_some = len(noticed) < len(unavailable)
        self.state = "ready" if wanted else "empty"

    def _kinds(self, ways: list[Provider]) -> list[tuple[str, str]]:
        """Filters, where there is more than one kind and too much to see at once."""
        kinds = [kind for kind in _KINDS if any(one.kind == kind for one in ways)]
        if len(kinds) < 2 or not self.searchable:
            return []
        return [("", self.tr("kind.all")), *((kind, self.tr(f"kind.{kind}")) for kind in kinds)]

    def _wanted(self, provider: Provider) -> bool:
        name = _plain(self.name_of(provider))
        return (not self.kind or provider.kind == self.kind) and _plain(self.search) in name

    def _tile(self, provider: Provider) -> dict[str, str]:
        card = provider.kind == ranking.CARD and provider.enabled
        return {
            "code": provider.code,
            "name": self.name_of(provider) if card else provider.name,
            "monogram": self.tr("providers.card_badge") if card else provider.badge.monogram,
            "color": provider.badge.color,
            "reason": provider.unavailable_reason or "",
        }


def _one_card(ways: list[Provider]) -> list[Provider]:
    """Keep the first card only: FeexPay's page takes the cards of every network."""
    first = next((one for one in ways if one.kind == ranking.CARD), None)
    return [one for one in ways if one.kind != ranking.CARD or one is first]


def _plain(text: str) -> str:
    """Lower case without accents, to compare names with the search text."""
    return "".join(
        character for character in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(character)
    ).strip()
