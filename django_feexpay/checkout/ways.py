"""The ways to pay that a payer is offered: by country, the most used first, with what each of them asks for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote as url_quote

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from django_feexpay.catalogue.phone import PhoneRule
from django_feexpay.catalogue.providers import CATALOGUE, ProviderSpec
from django_feexpay.checkout import prices
from django_feexpay.checkout.opened import Opened
from django_feexpay.models import Provider
from django_feexpay.payments import terms
from django_feexpay.payments.admission import circuit_breaker, trouble
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.terms import Quote

#: The providers of each country, the most used first. Those that are not named follow in the catalogue's order.
_BY_USE = (
    *("mtn_bj", "moov_bj", "celtiis_bj", "coris_bj", "togocom_tg", "moov_tg"),
    *("wave_ci", "orange_ci", "mtn_ci", "moov_ci", "wave_sn", "orange_sn", "free_sn"),
    *("orange_bf", "moov_bf", "wave_bf", "orange_ml", "mobicash_ml", "mtn_cg"),
)
_RANK: Mapping[str, int] = {code: rank for rank, code in enumerate(_BY_USE)}
_POSITION: Mapping[str, int] = {code: position for position, code in enumerate(CATALOGUE)}
#: The codes to dial in instructions, with the place of the amount: `*144*4*6*amount#`.
_DIAL = re.compile(r"[*#][0-9*#]*(?:amount|montant)?[0-9*]*#")
_PLACE = re.compile(r"amount|montant")


@dataclass(frozen=True)
class Way:
    """One way to pay. `problem`: why it cannot be used now, in the payer's words; then there is no `total`."""

    provider: Provider
    spec: ProviderSpec
    total: Quote | None
    problem: str

    @property
    def code(self) -> str:
        return self.provider.pk

    @property
    def name(self) -> str:
        return _("Card") if self.is_card else self.provider.name_in(get_language() or "")

    @property
    def is_card(self) -> bool:
        return self.spec.kind == "card"

    @property
    def phone(self) -> PhoneRule | None:
        return self.spec.phone

    @property
    def needs_code_first(self) -> bool:
        return self.spec.needs_otp_first

    @property
    def instructions(self) -> str:
        """What the payer will do, with the amount in the code to dial."""
        french = (get_language() or "").startswith("fr")
        return self._filled(self.spec.instructions_fr if french else self.spec.instructions_en)

    @property
    def dial(self) -> str:
        """The code to dial for a one-time code, with the amount filled in; "" if there is none."""
        found = _DIAL.search(self.spec.instructions_en) if self.needs_code_first else None
        return self._filled(found.group()) if found else ""

    @property
    def dial_link(self) -> str:
        return f"tel:{url_quote(self.dial, safe='*')}"

    @property
    def charged(self) -> str:
        """What is taken from the payer, as people write it."""
        return prices.shown(self.total.charged_amount, self.total.charged_currency) if self.total else ""

    @property
    def differs_from_price(self) -> bool:
        """Whether something other than the price is charged: a fee that the payer bears, or a converted price."""
        return self.total is not None and (
            self.total.charged_amount != self.total.amount or self.total.exchange_rate is not None
        )

    @property
    def ink(self) -> str:
        """Black or white, whichever is easier to read on the operator's colour."""
        red, green, blue = (int(self.spec.color[start : start + 2], 16) for start in (1, 3, 5))
        return "#000000" if 299 * red + 587 * green + 114 * blue > 140_000 else "#ffffff"

    def _filled(self, text: str) -> str:
        amount = str(self.total.charged_amount) if self.total else ""
        return _DIAL.sub(lambda found: _PLACE.sub(amount, found.group()), text) if amount else text


@dataclass(frozen=True)
class Country:
    code: str
    name: str
    calling_code: str


class Ways:
    """Every way to pay one price, read once for a page."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    @cached_property
    def all(self) -> Sequence[Way]:
        """The served ones, the most used first; of the cards only the first that can be used."""
        blocked = circuit_breaker.seconds_until_probe(CATALOGUE)  # after its pause, a payer's start is the probe
        rows = [row for row in Provider.objects.filter(pk__in=CATALOGUE) if row.spec.served]
        rows.sort(key=lambda row: (row.spec.kind == "card", _RANK.get(row.pk, len(_RANK)), _POSITION[row.pk]))
        ways = [self._way(row, blocked) for row in rows]
        cards = [way for way in ways if way.is_card]
        card = next((way for way in cards if not way.problem), cards[0] if cards else None)
        return [way for way in ways if not way.is_card or way is card]

    def of_code(self, code: str) -> Way | None:
        return next((way for way in self.all if way.code == code), None)

    def of_country(self, country: str) -> list[Way]:
        """The ways that can be used in a country now, cards last."""
        return [way for way in self._in(country) if not way.problem]

    def closed_in(self, country: str) -> list[Way]:
        """The ways of a country that cannot be used now."""
        return [way for way in self._in(country) if way.problem]

    @cached_property
    def countries(self) -> list[Country]:
        """The countries in which mobile money can be used now."""
        language = get_language() or ""
        found: dict[str, Country] = {}
        for way in sorted(self.all, key=lambda way: _POSITION[way.code]):
            spec = way.spec
            if spec.country and spec.phone and not way.problem:
                found.setdefault(
                    spec.country, Country(spec.country, spec.country_in(language), spec.phone.calling_code)
                )
        return list(found.values())

    def country_among(self, wanted: Iterable[str]) -> str:
        """The first of the wanted countries that is offered, else the first one offered; "" if none is."""
        offered = [country.code for country in self.countries]
        return next((code for code in wanted if code in offered), offered[0] if offered else "")

    def _in(self, country: str) -> list[Way]:
        return [way for way in self.all if way.spec.country in (None, country)]

    def _way(self, row: Provider, blocked: Collection[str]) -> Way:
        problem = terms.unavailable(row, get_language() or "en")
        if not problem and (circuit := trouble.circuit_of(row.pk, blocked)):
            problem = trouble.for_payers(circuit)
        total = None
        if not problem:
            intent = self._opened.intent
            try:
                total = terms.quote_with(row, intent.amount, intent.currency, user=self._opened.user)
            except NotAllowedError as refusal:
                problem = refusal.message
        return Way(row, row.spec, total, problem)
