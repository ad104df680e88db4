"""The catalogue of providers, whether FeexPay serves them or not.

Its source is FeexPay's reconstructed documentation. `evidence` grades a row: A official, B several integrators agree,
C one integrator, D a guess, or "none". `contested` marks rows whose flow differs between sources: for them the payer is
sent to a page if the reply to the collect contains one. tools/providers_page.py writes docs/reference/providers.md from
this catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType

from django_feexpay.catalogue.phone import Msisdn, PhoneError, parse
from django_feexpay.catalogue.provider_rows import ROWS
from django_feexpay.catalogue.provider_spec import ProviderSpec

__all__ = ["CATALOGUE", "ProviderCode", "ProviderSpec", "possible_msisdns", "with_flow"]

CATALOGUE: Mapping[str, ProviderSpec] = MappingProxyType({row.code: row for row in ROWS})


@lru_cache(maxsize=128)
def with_flow(code: str, flow: str) -> ProviderSpec:
    """The row with the flow that the shop chose for it. Raises: KeyError for an unknown code."""
    return CATALOGUE[code].with_flow(flow)


_PHONE_RULES = frozenset(row.phone for row in ROWS if row.phone is not None)


def possible_msisdns(number: str) -> list[Msisdn]:
    """Every msisdn that a number can mean: without its country code there may be several."""
    found = {}
    for rule in _PHONE_RULES:
        try:
            msisdn = parse(number, rule)
        except PhoneError:
            continue
        found[msisdn.digits] = msisdn
    return [found[digits] for digits in sorted(found)]


class ProviderCode(StrEnum):
    """Provider codes for hosts: `ProviderCode.MTN_BJ` where a call takes `"mtn_bj"`. The last five are not served."""

    MTN_BJ = "mtn_bj"
    MOOV_BJ = "moov_bj"
    CELTIIS_BJ = "celtiis_bj"
    CORIS_BJ = "coris_bj"
    TOGOCOM_TG = "togocom_tg"
    MOOV_TG = "moov_tg"
    MTN_CI = "mtn_ci"
    MOOV_CI = "moov_ci"
    ORANGE_CI = "orange_ci"
    WAVE_CI = "wave_ci"
    ORANGE_SN = "orange_sn"
    FREE_SN = "free_sn"
    WAVE_SN = "wave_sn"
    MOOV_BF = "moov_bf"
    ORANGE_BF = "orange_bf"
    WAVE_BF = "wave_bf"
    ORANGE_ML = "orange_ml"
    MOBICASH_ML = "mobicash_ml"
    MTN_CG = "mtn_cg"
    VISA = "visa"
    MASTERCARD = "mastercard"
    MTN_CM = "mtn_cm"
    MTN_SN = "mtn_sn"
    AMEX = "amex"
    UNIONPAY = "unionpay"
    BANK_TRANSFER = "bank_transfer"
