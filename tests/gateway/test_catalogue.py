"""The catalogue, compared with a second list of codes and flows that was typed independently."""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal

import pytest

from django_feexpay.catalogue import providers
from django_feexpay.catalogue.money import CURRENCIES
from django_feexpay.catalogue.phone import parse
from django_feexpay.catalogue.providers import CATALOGUE, ProviderSpec

# code: FeexPay's path, FeexPay's name, country, calling code, digits, currency, flow
SERVED = {
    "mtn_bj": ("mtn", "MTN", "BJ", "229", 10, "XOF", "push"),
    "moov_bj": ("moov", "MOOV", "BJ", "229", 10, "XOF", "push"),
    "celtiis_bj": ("celtiis_bj", "CELTIIS BJ", "BJ", "229", 10, "XOF", "push"),
    "coris_bj": ("coris", "CORIS", "BJ", "229", 10, "XOF", "otp"),
    "togocom_tg": ("togocom_tg", "TOGOCOM TG", "TG", "228", 8, "XOF", "push"),
    "moov_tg": ("moov_tg", "MOOV TG", "TG", "228", 8, "XOF", "push"),
    "mtn_ci": ("mtn_ci", "MTN CI", "CI", "225", 10, "XOF", "push"),
    "moov_ci": ("moov_ci", "MOOV CI", "CI", "225", 10, "XOF", "redirect"),
    "orange_ci": ("orange_ci", "ORANGE CI", "CI", "225", 10, "XOF", "redirect"),
    "wave_ci": ("wave_ci", "WAVE CI", "CI", "225", 10, "XOF", "redirect"),
    "orange_sn": ("orange_sn", "ORANGE SN", "SN", "221", 9, "XOF", "redirect"),
    "free_sn": ("free_sn", "FREE SN", "SN", "221", 9, "XOF", "redirect"),
    "wave_sn": ("wave_sn", "WAVE SN", "SN", "221", 9, "XOF", "redirect"),
    "moov_bf": ("moov_bf", "MOOV BF", "BF", "226", 8, "XOF", "redirect"),
    "orange_bf": ("orange_bf", "ORANGE BF", "BF", "226", 8, "XOF", "otp"),
    "wave_bf": ("wave_bf", "WAVE BF", "BF", "226", 8, "XOF", "redirect"),
    "orange_ml": ("orange_ml", "ORANGE ML", "ML", "223", 8, "XOF", "push"),
    "mobicash_ml": ("mobicash_ml", "MOBICASH ML", "ML", "223", 8, "XOF", "push"),
    "mtn_cg": ("mtn_cg", "MTN CG", "CG", "242", 9, "XAF", "push"),
}
CARDS = {"visa", "mastercard"}
UNSERVED = {"mtn_cm", "mtn_sn", "amex", "unionpay", "bank_transfer"}
ALL = sorted(CATALOGUE)


def test_catalogue_contains_exactly_these_codes() -> None:
    assert set(CATALOGUE) == set(SERVED) | CARDS | UNSERVED


@pytest.mark.parametrize("code", SERVED)
def test_served_row_matches_the_table(code: str) -> None:
    spec = CATALOGUE[code]
    rule = spec.phone
    assert rule is not None
    wire = (spec.suffix, spec.wire_name)

    assert (*wire, spec.country, rule.calling_code, *rule.lengths, spec.currency, spec.flow) == SERVED[code]
    assert spec.served
    assert (spec.min_amount, spec.max_amount) == (100, 2_000_000)


@pytest.mark.parametrize("code", ALL)
def test_unserved_row_explains_itself_in_both_languages(code: str) -> None:
    spec = CATALOGUE[code]

    assert spec.served is (code not in UNSERVED)
    assert spec.unavailable_reason == ("" if spec.served else "unsupported_by_gateway")
    assert bool(spec.unavailable_text_fr) is bool(spec.unavailable_reason)
    assert bool(spec.unavailable_text_en) is bool(spec.unavailable_reason)


@pytest.mark.parametrize("code", ALL)
def test_row_can_be_shown(code: str) -> None:
    spec = CATALOGUE[code]

    assert spec.code == code
    assert spec.name
    assert 1 <= len(spec.monogram) <= 3
    assert re.fullmatch(r"#[0-9A-F]{6}", spec.color)
    assert bool(spec.country_name_fr) is bool(spec.country_name_en) is bool(spec.country)
    assert bool(spec.instructions_fr) is bool(spec.instructions_en) is spec.served
    assert spec.currency in CURRENCIES


@pytest.mark.parametrize("code", SERVED)
def test_example_number_fits_the_phone_rule(code: str) -> None:
    rule = CATALOGUE[code].phone
    assert rule is not None

    assert parse(rule.example, rule).digits == rule.calling_code + rule.example
    assert not rule.prefixes or rule.example.startswith(rule.prefixes)
    assert not rule.example.startswith("00")


@pytest.mark.parametrize("code", sorted(CARDS))
def test_cards_are_hosted_and_need_no_number(code: str) -> None:
    spec = CATALOGUE[code]

    assert (spec.kind, spec.flow, spec.country, spec.phone, spec.suffix) == ("card", "hosted", None, None, "")
    assert spec.served
    assert spec.fee_percent == Decimal("4.5")


@pytest.mark.parametrize("code", sorted(UNSERVED))
def test_unserved_rows_have_no_endpoint(code: str) -> None:
    spec = CATALOGUE[code]

    assert (spec.served, spec.suffix, spec.phone) == (False, "", None)


def test_kinds_of_each_provider() -> None:
    assert {code for code in ALL if "wallet" in CATALOGUE[code].also_kinds} == {"orange_ci", "moov_tg", "wave_sn"}
    assert {code for code in ALL if CATALOGUE[code].kind == "card"} == {*CARDS, "amex", "unionpay"}
    assert {code for code in ALL if CATALOGUE[code].kind == "bank_transfer"} == {"bank_transfer"}


OTHER_FLOWS = {
    "coris_bj": ("push",),
    "orange_ci": ("otp",),
    "orange_sn": ("otp",),
    "free_sn": ("push",),
    "moov_bf": ("push",),
    "orange_bf": ("redirect",),
    "orange_ml": ("redirect",),
}


@pytest.mark.parametrize("code", ALL)
def test_other_flows_are_those_that_sources_give(code: str) -> None:
    spec = CATALOGUE[code]

    assert spec.flows == (spec.flow, *OTHER_FLOWS.get(code, ()))
    assert spec.contested is (code in OTHER_FLOWS)
    assert all(other.why for other in spec.other_flows)


@pytest.mark.parametrize(
    ("code", "flow", "first", "later", "word"),
    [
        ("orange_sn", "otp", True, False, "#144#391#"),
        ("orange_ci", "otp", True, False, "#144*82#"),
        ("coris_bj", "push", False, False, "PIN"),
        ("orange_bf", "redirect", False, False, "page"),
        ("coris_bj", "otp", False, True, "SMS"),
        ("orange_bf", "otp", True, False, "*144*4*6*amount#"),
    ],
)
def test_chosen_flow_brings_its_rules_and_instructions(
    code: str, flow: str, first: bool, later: bool, word: str
) -> None:
    spec = providers.with_flow(code, flow)

    assert (spec.flow, spec.needs_otp_first, spec.sends_otp_later) == (flow, first, later)
    assert word in spec.instructions_en
    assert spec.flows[0] == flow or CATALOGUE[code].flow != flow


@pytest.mark.parametrize("flow", ["hosted", "", "nonsense", "otp"])
def test_flow_without_a_source_is_ignored(flow: str) -> None:
    assert providers.with_flow("mtn_bj", flow) is CATALOGUE["mtn_bj"]


def test_special_behaviour_of_providers() -> None:
    assert {code for code in ALL if CATALOGUE[code].synchronous} == {"moov_bj"}
    assert {code for code in ALL if CATALOGUE[code].otp_in_first_call} == {"orange_bf"}
    assert {code for code in SERVED if not CATALOGUE[code].in_history_filter} == {
        *("wave_bf", "orange_ml", "mobicash_ml")
    }


def test_dial_code_is_shown_only_if_a_source_gives_it() -> None:
    dialled = {code for code in ALL if re.search(r"[*#]", CATALOGUE[code].instructions_en)}

    assert dialled == {"orange_bf"}
    assert "*144*4*6*amount#" in CATALOGUE["orange_bf"].instructions_en
    assert "*144*4*6*montant#" in CATALOGUE["orange_bf"].instructions_fr


@pytest.mark.parametrize(
    ("code", "percent"),
    [
        ("mtn_bj", "1.7"),
        ("togocom_tg", "3"),
        ("mtn_ci", "2.9"),
        ("wave_ci", "3.2"),
        ("orange_sn", "1.9"),
        ("moov_bf", "3.2"),
        ("orange_bf", "3.9"),
        ("mtn_cg", "3"),
    ],
)
def test_fee_is_what_feexpay_publishes(code: str, percent: str) -> None:
    spec = CATALOGUE[code]

    assert (spec.fee_percent, spec.fee_known) == (Decimal(percent), True)


def test_unpublished_fee_is_zero_and_unknown() -> None:
    unknown = {code for code in SERVED if not CATALOGUE[code].fee_known}

    assert unknown == {"wave_bf", "orange_ml", "mobicash_ml"}
    assert all(CATALOGUE[code].fee_percent == 0 for code in unknown)


def test_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CATALOGUE["mtn_bj"] = CATALOGUE["mtn_ci"]  # type: ignore[index]  # that is the point
    with pytest.raises(dataclasses.FrozenInstanceError):
        CATALOGUE["mtn_bj"].max_amount = 1  # type: ignore[misc]  # that is the point


def test_wire_names_are_unique() -> None:
    specs: list[ProviderSpec] = [CATALOGUE[code] for code in SERVED]

    assert len({spec.suffix for spec in specs}) == len({spec.wire_name for spec in specs}) == 19
