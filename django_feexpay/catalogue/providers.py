"""Every way to pay we know of, served or not: the data everything else about providers is made from.

Typed from FeexPay's reconstructed documentation. `evidence` says how sure a row is: A official, B several
integrators agree, C one, D a guess, "none". `contested` marks rows whose flow differs between sources: what
the answer to a collect holds (a page to open, or not) decides there, whatever the row says.
docs/reference/providers.md is made from it by tools/providers_page.py.
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
    """The row of that code. Raises KeyError."""
    return CATALOGUE[code]


@lru_cache(maxsize=128)
def with_flow(code: str, flow: str) -> ProviderSpec:
    """The row of that code with the flow a shop chose for it. Raises KeyError."""
    return CATALOGUE[code].with_flow(flow)
