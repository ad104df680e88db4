"""What is known about one way to pay, and the few shapes such rows have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from django_feexpay.catalogue.phone import PhoneRule

Kind = Literal["mobile_money", "card", "wallet", "bank_transfer"]
Flow = Literal["push", "otp", "redirect", "hosted"]
Evidence = Literal["A", "B", "C", "D", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherFlow:
    """What some sources say of a contested row instead of what it says itself.

    otp_in_first_call, instructions: see ProviderSpec. why: the sources, for the page of the catalogue.
    """

    flow: Flow
    why: str
    otp_in_first_call: bool = False
    instructions: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """One way to pay. Frozen; amounts in the currency's minor unit.

    country: ISO 3166 alpha-2, None for what every country sees. suffix and wire_name: FeexPay's two names of
    it. flow: what the payer does. other_flows: what else sources say of it; a shop may choose one of them.
    otp_in_first_call: where the flow is otp, the code must come with the collect; else it follows a first one.
    synchronous: it answers only when the payer has answered, so no web request may wait for it.
    fee_known False: no source gives a fee, and fee_percent is 0. in_history_filter: history can be asked for
    it alone. served: FeexPay has an endpoint. evidence: see catalogue.
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
    unavailable_reason: str = ""
    unavailable_text_fr: str = ""
    unavailable_text_en: str = ""
    instructions_fr: str = ""
    instructions_en: str = ""
    evidence: Evidence = "none"
    other_flows: tuple[OtherFlow, ...] = ()
    monogram: str
    color: str

    @property
    def contested(self) -> bool:
        """Sources differ on its flow: then what the answer to a collect holds decides, whatever the row says."""
        return bool(self.other_flows)

    @property
    def flows(self) -> tuple[Flow, ...]:
        """Every flow some source gives it, the most likely first."""
        return (self.flow, *(other.flow for other in self.other_flows))

    @property
    def needs_otp_first(self) -> bool:
        """The payer must bring the code along."""
        return self.flow == "otp" and self.otp_in_first_call

    @property
    def sends_otp_later(self) -> bool:
        """A first collect has a code sent to the payer, a second one carries it."""
        return self.flow == "otp" and not self.otp_in_first_call

    def with_flow(self, flow: str) -> ProviderSpec:
        """The same way to pay with another of its flows; itself for one that no source gives it."""
        for other in self.other_flows:
            if other.flow == flow:
                says = other.instructions or _INSTRUCTIONS[other.flow]
                return replace(
                    self,
                    flow=other.flow,
                    otp_in_first_call=other.otp_in_first_call,
                    instructions_fr=says[0],
                    instructions_en=says[1],
                )
        return self


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


_INSTRUCTIONS: Mapping[Flow, tuple[str, str]] = {
    "push": (
        "Une demande arrive sur votre téléphone : validez-la avec votre code secret.",
        "A request arrives on your phone: approve it with your PIN.",
    ),
    "otp": (
        "Vous recevez un code à usage unique par SMS : saisissez-le ici.",
        "You receive a one-time code by SMS: enter it here.",
    ),
    "redirect": (
        "Vous terminez le paiement sur la page de l'opérateur, puis vous revenez ici.",
        "You finish the payment on the operator's page, then you come back here.",
    ),
    "hosted": (
        "Vous saisissez votre carte sur la page sécurisée de FeexPay, puis vous revenez ici.",
        "You enter your card on FeexPay's secure page, then you come back here.",
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
    other_flows: tuple[OtherFlow, ...] = (),
    also_kinds: tuple[Kind, ...] = (),
    otp_in_first_call: bool = False,
    synchronous: bool = False,
    in_history_filter: bool = True,
    instructions: tuple[str, str] | None = None,
) -> ProviderSpec:
    """A row with an endpoint of its own. fee: percent, "" when no source gives one."""
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
        instructions_fr=says[0],
        instructions_en=says[1],
        evidence=evidence,
        other_flows=other_flows,
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
    """A card, paid on FeexPay's hosted page: no source shows a card endpoint that answers.

    That cards go this way several integrators say; how the page is asked for, one.
    """
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
        instructions_fr=_INSTRUCTIONS["hosted"][0],
        instructions_en=_INSTRUCTIONS["hosted"][1],
        evidence="C",
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
