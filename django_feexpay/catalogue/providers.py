"""The catalogue of providers, whether FeexPay serves them or not.

Typed from FeexPay's reconstructed documentation. `evidence` grades a row: A official, B several integrators agree,
C one integrator, D a guess, or "none". `contested` marks rows whose flow differs between sources: there the reply to a
collect decides, by whether it contains a page to open. tools/providers_page.py writes docs/reference/providers.md from
this catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from django_feexpay.catalogue.provider_rows import ROWS
from django_feexpay.catalogue.provider_spec import ProviderSpec

__all__ = ["CATALOGUE", "ProviderSpec", "get", "with_flow"]

CATALOGUE: Mapping[str, ProviderSpec] = MappingProxyType({row.code: row for row in ROWS})


def get(code: str) -> ProviderSpec:
    """Raises: KeyError for an unknown code."""
    return CATALOGUE[code]


@lru_cache(maxsize=128)
def with_flow(code: str, flow: str) -> ProviderSpec:
    """The row with the flow that the shop chose for it. Raises: KeyError for an unknown code."""
    return CATALOGUE[code].with_flow(flow)
