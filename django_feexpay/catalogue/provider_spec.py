"""The fields of a catalogue row, and its constructors: `mobile`, `card` and `unserved`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from django_feexpay.catalogue.phone import PhoneRule

Kind = Literal["mobile_money", "card", "wallet", "bank_transfer"]
Flow = Literal["push", "otp", "redirect", "hosted"]
Evidence = Literal["A", "B", "C", "D", "none"]


#: MTN's prompt can be approved for five minutes. No source tells how long the others can, so none is assumed to be
#: shorter.
LONGEST_KNOWN_PROMPT_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherFlow:
    """Another flow that some sources give for the same provider.

    otp_in_first_call, instructions: see ProviderSpec. why: the sources, shown in docs/reference/providers.md.
    """

    flow: Flow
    why: str
    otp_in_first_call: bool = False
    instructions: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """One provider. Amounts are in the currency's minor unit.

    country: ISO 3166 alpha-2, None for a provider that is offered in every country. suffix, wire_name: FeexPay's names
    for it, in the path of a collect and in the history. name_fr: where the name is no brand. flow: what the payer does.
    other_flows: the flows that other sources give; the shop may choose one. otp_in_first_call: with flow otp, the first
    collect must carry the code; otherwise a second collect carries it. synchronous: FeexPay replies only after the
    payer has acted, so no web request may wait for it. fee_known: False if no source gives a fee, fee_percent is then
    0. in_history_filter: FeexPay's history can be filtered by this provider. served: FeexPay has an endpoint. evidence:
    see providers.py. prompt_seconds: for how long the payer can approve the prompt on the phone.
    """

    code: str
    name: str
    name_fr: str = ""
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
    prompt_seconds: int = LONGEST_KNOWN_PROMPT_SECONDS
    other_flows: tuple[OtherFlow, ...] = ()
    monogram: str
    color: str

    def name_in(self, language: str) -> str:
        """The name in French or, for any other language, in English."""
        return self.name_fr if self.name_fr and language.startswith("fr") else self.name

    def country_in(self, language: str) -> str:
        """The name of its country, likewise; "" for a provider of every country."""
        return self.country_name_fr if language.startswith("fr") else self.country_name_en

    @property
    def contested(self) -> bool:
        """Whether sources differ on the flow. Then the reply to a collect decides."""
        return bool(self.other_flows)

    @property
    def flows(self) -> tuple[Flow, ...]:
        """All flows that sources give, the most likely first."""
        return (self.flow, *(other.flow for other in self.other_flows))

    @property
    def needs_otp_first(self) -> bool:
        """Whether the payer must have a one-time code before the first collect."""
        return self.flow == "otp" and self.otp_in_first_call

    @property
    def sends_otp_later(self) -> bool:
        """Whether the first collect makes the operator send a code, which a second collect carries."""
        return self.flow == "otp" and not self.otp_in_first_call

    def with_flow(self, flow: str) -> ProviderSpec:
        """The same provider with another of its flows; unchanged if no source gives that flow."""
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
    """A country and the format of its numbers. mobile_start: a common beginning, used only for examples.

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
    """A provider with its own endpoint at FeexPay. fee: percent, "" if no source gives one."""
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
    """A card, paid on FeexPay's hosted page: no source shows a working card endpoint.

    Several integrators say that cards are paid there; only one shows how the page is requested.
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
    name_fr: str = "",
    country: tuple[str | None, str, str, str] = (None, "", "", "XOF"),
) -> ProviderSpec:
    """A provider that users ask for, but that FeexPay does not serve. country: code, fr, en, currency."""
    return ProviderSpec(
        code=code,
        name=name,
        name_fr=name_fr,
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
