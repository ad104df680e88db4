"""The payout routes of FeexPay that sources name, by provider. Other providers cannot be paid out to.

None of this was tried against FeexPay. Evidence: A is FeexPay's own documentation, B and C are integrators (see
providers.py). Cards, bank accounts and Coris have no route.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from django_feexpay.catalogue.provider_spec import Evidence


@dataclass(frozen=True, slots=True)
class PayoutRoute:
    """The last part of the payout's path, and what FeexPay wants with it.

    wire_name: FeexPay's name of the provider in the body, "" where the path names it. least: the smallest amount, in
    the minor unit. evidence: of the path; least_evidence: of the smallest amount. No source gives a largest amount.
    """

    path: str
    wire_name: str
    least: int
    evidence: Evidence
    least_evidence: Evidence


def _own(path: str) -> PayoutRoute:
    """A route of one provider: integrators name it, FeexPay's documentation shows only that its country has one."""
    return PayoutRoute(path, "", 100, "C", "C")


PAYOUT_ROUTES: Mapping[str, PayoutRoute] = MappingProxyType(
    {
        "mtn_bj": PayoutRoute("transfer/global", "MTN", 50, "A", "A"),
        "moov_bj": PayoutRoute("transfer/global", "MOOV", 50, "A", "A"),
        "celtiis_bj": PayoutRoute("celtiis_bj", "CELTIIS BJ", 50, "C", "C"),
        "togocom_tg": PayoutRoute("togo", "TOGOCOM TG", 100, "C", "C"),
        "moov_tg": PayoutRoute("togo", "MOOV TG", 100, "C", "C"),
        **{
            path: _own(path)
            for path in (
                *("mtn_ci", "orange_ci", "moov_ci", "wave_ci", "orange_sn", "free_sn", "wave_sn", "mtn_cg"),
                *("moov_bf", "orange_bf", "wave_bf", "orange_ml", "mobicash_ml"),
            )
        },
    }
)
