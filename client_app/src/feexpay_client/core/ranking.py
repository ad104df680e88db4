"""The order in which the ways to pay are offered: the last one used, then by how much a country uses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from feexpay_client.core.models import Provider

CARD = "card"
#: Country → its operators, the most used first, by the beginning of a provider's code. Others follow.
_MOST_USED: Mapping[str, tuple[str, ...]] = {
    "BJ": ("mtn", "moov", "celtiis", "coris"),
    "BF": ("orange", "moov", "wave"),
    "CG": ("mtn",),
    "CI": ("wave", "orange", "mtn", "moov"),
    "CM": ("mtn", "orange"),
    "ML": ("orange", "mobicash"),
    "SN": ("wave", "orange", "free"),
    "TG": ("togocom", "moov"),
}
#: The francs of West and of Central Africa have the same fixed rate to the euro, so a price is the same number in both.
_FRANCS = frozenset({"XOF", "XAF"})


def ranked(providers: Iterable[Provider], country: str, last: str = "") -> list[Provider]:
    """The ways to pay in the order in which they are offered.

    Those of one country come first, the most used first, then the others; cards come last. `last`: the way used last,
    which comes before all.
    """
    most_used = _MOST_USED.get(country, ())

    def place(provider: Provider) -> tuple[bool, bool, bool, int]:
        operator = provider.code.partition("_")[0]
        use = most_used.index(operator) if operator in most_used else len(most_used)
        return provider.code != last, provider.kind == CARD, provider.country is None, use

    return sorted(providers, key=place)


def accepts(provider: Provider, currency: str) -> bool:
    """Whether a provider takes a price in this currency: its own, the other franc, or one that the server converts."""
    return currency in ("", provider.currency) or {currency, provider.currency} <= _FRANCS or currency not in _FRANCS


def currency_to_send(provider: Provider, currency: str) -> str:
    """The currency in which to state a price: a price in francs is stated in the provider's own francs."""
    return provider.currency if {currency, provider.currency} <= _FRANCS else currency


def payable_countries(providers: Sequence[Provider], currency: str) -> set[str]:
    """The countries with a way to pay of their own that works now."""
    return {one.country for one in providers if one.country and one.enabled and accepts(one, currency)}
