"""Amounts in the language of the page."""

from __future__ import annotations

from django.utils.translation import get_language

from django_feexpay.catalogue import money


def shown(amount: int, currency: str) -> str:
    """`5 000 F CFA`, `49.90 EUR`; in French `49,90 EUR`. Without a currency: francs, of whichever country pays."""
    french = (get_language() or "").startswith("fr")
    return money.show(amount, currency or "XOF", mark="," if french else ".")
