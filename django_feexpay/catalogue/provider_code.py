"""The provider codes as an enum, for hosts: `ProviderCode.MTN_BJ` where a call takes `"mtn_bj"`."""

from __future__ import annotations

from enum import StrEnum


class ProviderCode(StrEnum):
    """Every provider of the catalogue; the last five are not served (see docs/reference/providers.md)."""

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
