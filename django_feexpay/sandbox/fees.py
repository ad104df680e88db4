"""FeexPay's fees as in its own SDK; a contract may differ."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal

from django_feexpay.sandbox.networks import CARDS, Network

_BY_COUNTRY = {"BJ": "1.7", "TG": "3", "CI": "2.9", "SN": "1.9", "CG": "3"}
_BY_SUFFIX = {"wave_ci": "3.2", "moov_bf": "3.2", "orange_bf": "3.9"}
_CARD = "4.5"

# Up to this amount the fee is one unit.
_SMALL_AMOUNT = 30


def fee_of(network: Network, amount: int) -> int:
    """The fee in whole units, rounded up; 0 when no source gives one."""
    if amount <= _SMALL_AMOUNT:
        return 1
    percent = _CARD if network in CARDS else _BY_SUFFIX.get(network.suffix, _BY_COUNTRY.get(network.country, "0"))
    return int((amount * Decimal(percent) / 100).to_integral_value(ROUND_UP))
