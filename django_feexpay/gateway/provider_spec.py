"""What is known about one way to pay, and the few shapes such rows have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from django_feexpay.gateway.phone import PhoneRule

Kind = Literal["mobile_money", "card", "wallet", "bank_transfer"]
Flow = Literal["push", "otp", "redirect", "hosted"]
Evidence = Literal["A", "B", "C", "D", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """One way to pay. Frozen; amounts in the currency's minor unit.

    country: ISO 3166 alpha-2, None for what every country sees. suffix and wire_name: FeexPay's two names of
    it. flow: what the payer does. otp_in_first_call: the code must come with the collect, else it follows a
    first one. synchronous: it answers only when the payer has answered, so no web request may wait for it.
    fee_known False: no source gives a fee, and fee_percent is 0. in_history_filter: history can be asked for
    it alone. served: FeexPay has an endpoint. enabled_by_default: served, and its flow works in this package.
    """

    code: str
    name: str
    kind: Kind = "mobile_money"
    also_kinds: tuple[Kind, ...] = ()
    country: str | None
    country_name_fr: str
    country_name_en: str
    currency: str
    flow: Flow
    otp_in_first_call: bool = False
    synchronous: bool = False
    suffix: str = ""
    wire_name: str = ""
    in_history_filter: bool = True
    min_amount: int = 100
    max_amount: int = 2_000_000
    fee_percent: Decimal = Decimal(0)
    fee_known: bool = False
    phone: PhoneRule | None = None
    served: bool = True
    enabled_by_default: bool = False
    unavailable_reason: str = ""
    unavailable_text_fr: str = ""
    unavailable_text_en: str = ""
    instructions_fr: str = ""
    instructions_en: str = ""
    evidence: Evidence = "none"
    contested: bool = False
    monogram: str
    color: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """A country and how its numbers look. mobile_start: how many of them begin, for examples only.

    starts, old_length, old_starts: see PhoneRule.
    """

    code: str
    name_fr: str
    name_en: str
    currency: str
    calling_code: str
    length: int
    mobile_start: str
    starts: str = ""
    old_length: int | None = None
    old_starts: tuple[str, ...] = ()


_LATER = (
    "flow_not_available_yet",
    "Ce moyen de paiement arrive bientôt.",
    "This way to pay is coming soon.",
)
_INSTRUCTIONS: Mapping[Flow, tuple[str, str]] = {
    "push": (
        "Une demande arrive sur votre téléphone : validez-la avec votre code secret.",
        "A request arrives on your phone: approve it with your PIN.",
    ),
    "otp": (
        "Saisissez le code à usage unique reçu par SMS.",
        "Enter the one-time code you receive by SMS.",
    ),
    "redirect": (
        "Vous terminez le paiement sur la page de l'opérateur.",
        "You finish the payment on the operator's page.",
    ),
    "hosted": (
        "Vous payez sur la page sécurisée de FeexPay.",
        "You pay on FeexPay's secure page.",
    ),
}


def mobile(
    country: Country,
    code: str,
    name: str,
    *,
    suffix: str,
    wire_name: str,
    flow: Flow,
    badge: tuple[str, str],
    evidence: Evidence,
    fee: str = "",
    prefixes: tuple[str, ...] = (),
    contested: bool = False,
    also_kinds: tuple[Kind, ...] = (),
    otp_in_first_call: bool = False,
    synchronous: bool = False,
    in_history_filter: bool = True,
    instructions: tuple[str, str] | None = None,
) -> ProviderSpec:
    """A row with an endpoint of its own. fee: percent, "" when no source gives one."""
    reason = ("", "", "") if flow == "push" else _LATER
    says = instructions or _INSTRUCTIONS[flow]
    return ProviderSpec(
        code=code,
        name=name,
        also_kinds=also_kinds,
        country=country.code,
        country_name_fr=country.name_fr,
        country_name_en=country.name_en,
        currency=country.currency,
        flow=flow,
        otp_in_first_call=otp_in_first_call,
        synchronous=synchronous,
        suffix=suffix,
        wire_name=wire_name,
        in_history_filter=in_history_filter,
        fee_percent=Decimal(fee or 0),
        fee_known=bool(fee),
        phone=_phone_rule(country, prefixes),
        enabled_by_default=flow == "push",
        unavailable_reason=reason[0],
        unavailable_text_fr=reason[1],
        unavailable_text_en=reason[2],
        instructions_fr=says[0],
        instructions_en=says[1],
        evidence=evidence,
        contested=contested,
        monogram=badge[0],
        color=badge[1],
    )


def _phone_rule(country: Country, prefixes: tuple[str, ...]) -> PhoneRule:
    start = prefixes[0] if prefixes else country.mobile_start
    return PhoneRule(
        calling_code=country.calling_code,
        lengths=(country.length,),
        example=start.ljust(country.length, "0"),
        prefixes=prefixes,
        starts=country.starts,
        old_length=country.old_length,
        old_starts=country.old_starts,
    )


def card(code: str, name: str, badge: tuple[str, str]) -> ProviderSpec:
    """A card, paid on FeexPay's hosted page: no source shows a card endpoint that answers."""
    return ProviderSpec(
        code=code,
        name=name,
        kind="card",
        country=None,
        country_name_fr="",
        country_name_en="",
        currency="XOF",
        flow="hosted",
        wire_name=name.upper(),
        in_history_filter=False,
        fee_percent=Decimal("4.5"),
        fee_known=True,
        unavailable_reason=_LATER[0],
        unavailable_text_fr=_LATER[1],
        unavailable_text_en=_LATER[2],
        instructions_fr=_INSTRUCTIONS["hosted"][0],
        instructions_en=_INSTRUCTIONS["hosted"][1],
        evidence="B",
        monogram=badge[0],
        color=badge[1],
    )


def unserved(
    code: str,
    name: str,
    *,
    why_fr: str,
    why_en: str,
    flow: Flow,
    badge: tuple[str, str],
    evidence: Evidence,
    kind: Kind = "mobile_money",
    country: tuple[str | None, str, str, str] = (None, "", "", "XOF"),
) -> ProviderSpec:
    """A way to pay that people ask for and FeexPay has no endpoint for. country: code, fr, en, currency."""
    return ProviderSpec(
        code=code,
        name=name,
        kind=kind,
        country=country[0],
        country_name_fr=country[1],
        country_name_en=country[2],
        currency=country[3],
        flow=flow,
        in_history_filter=False,
        served=False,
        unavailable_reason="unsupported_by_gateway",
        unavailable_text_fr=why_fr,
        unavailable_text_en=why_en,
        evidence=evidence,
        monogram=badge[0],
        color=badge[1],
    )
