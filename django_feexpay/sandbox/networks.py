"""The networks FeexPay collects from, copied by hand from its documentation and its integrators.

Only the suffix `mtn` is official; the others come from two or more integrators. Where sources disagree on the flow
(`CONTESTED`), the row has the most recent one and the setting `flows` changes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Literal

Flow = Literal["push", "otp", "redirect", "hosted"]

CALLING_CODES = {"BJ": "229", "TG": "228", "CI": "225", "SN": "221", "BF": "226", "ML": "223", "CG": "242"}

# Digits after the calling code. Benin went from 8 to 10 (01 + the old number) on 2024-11-30.
NATIONAL_DIGITS = {"BJ": 10, "TG": 8, "CI": 10, "SN": 9, "BF": 8, "ML": 8, "CG": 9}

NATIONAL_START = {"BJ": "01"}


@dataclass(frozen=True, slots=True)
class Network:
    """One network: the `suffix` of its path, FeexPay's `reseau` code, the ISO country and the flow."""

    suffix: str
    reseau: str
    country: str
    flow: Flow

    @property
    def calling_code(self) -> str:
        return CALLING_CODES[self.country]

    @property
    def two_steps(self) -> bool:
        """Coris sends the code after a first request; elsewhere the payer already has it."""
        return self.suffix == "coris"

    @property
    def national_digits(self) -> int:
        return NATIONAL_DIGITS[self.country]

    @property
    def national_start(self) -> str:
        return NATIONAL_START.get(self.country, "")

    @property
    def currency(self) -> str:
        return "XAF" if self.country == "CG" else "XOF"


NETWORKS = (
    Network("mtn", "MTN", "BJ", "push"),
    Network("moov", "MOOV", "BJ", "push"),
    Network("celtiis_bj", "CELTIIS BJ", "BJ", "push"),
    Network("coris", "CORIS", "BJ", "otp"),
    Network("togocom_tg", "TOGOCOM TG", "TG", "push"),
    Network("moov_tg", "MOOV TG", "TG", "push"),
    Network("mtn_ci", "MTN CI", "CI", "push"),
    Network("moov_ci", "MOOV CI", "CI", "redirect"),
    Network("orange_ci", "ORANGE CI", "CI", "redirect"),
    Network("wave_ci", "WAVE CI", "CI", "redirect"),
    Network("orange_sn", "ORANGE SN", "SN", "redirect"),
    Network("free_sn", "FREE SN", "SN", "redirect"),
    Network("wave_sn", "WAVE SN", "SN", "redirect"),
    Network("moov_bf", "MOOV BF", "BF", "redirect"),
    Network("orange_bf", "ORANGE BF", "BF", "otp"),
    Network("wave_bf", "WAVE BF", "BF", "redirect"),
    Network("orange_ml", "ORANGE ML", "ML", "push"),
    Network("mobicash_ml", "MOBICASH ML", "ML", "push"),
    Network("mtn_cg", "MTN CG", "CG", "push"),
)

BY_SUFFIX = {network.suffix: network for network in NETWORKS}
BY_RESEAU = {network.reseau: network for network in NETWORKS}

# Sources disagree on the flow of these networks; each may be set to one of three.
CONTESTED = ("coris", "orange_ci", "orange_sn", "free_sn", "moov_bf", "orange_bf", "orange_ml")
CHOOSABLE_FLOWS: tuple[Flow, ...] = ("push", "otp", "redirect")

# Only paid on the hosted page: they have no path.
CARDS = (Network("visa", "VISA", "", "hosted"), Network("mastercard", "MASTERCARD", "", "hosted"))
_ALL = BY_SUFFIX | {card.suffix: card for card in CARDS}


def network_of(suffix: str) -> Network:
    return _ALL[suffix]


def masked(msisdn: str, network: Network) -> str:
    """The number with only its calling code, first two and last two digits; "" for a card."""
    if not msisdn:
        return ""
    national = msisdn.removeprefix(network.calling_code)
    dots = "•" * (len(national) - 4)
    return f"+{network.calling_code} {national[:2]} {dots} {national[-2:]}"


# FeexPay's fees in percent, as in its own SDK; a contract may differ.
_FEES_BY_COUNTRY = {"BJ": "1.7", "TG": "3", "CI": "2.9", "SN": "1.9", "CG": "3"}
_FEES_BY_SUFFIX = {"wave_ci": "3.2", "moov_bf": "3.2", "orange_bf": "3.9", "visa": "4.5", "mastercard": "4.5"}

# Up to this amount the fee is one unit.
_SMALL_AMOUNT = 30


def fee_of(network: Network, amount: int) -> int:
    """The fee in whole units, rounded up; 0 when no source gives one."""
    if amount <= _SMALL_AMOUNT:
        return 1
    percent = _FEES_BY_SUFFIX.get(network.suffix, _FEES_BY_COUNTRY.get(network.country, "0"))
    return int((amount * Decimal(percent) / 100).to_integral_value(ROUND_UP))
