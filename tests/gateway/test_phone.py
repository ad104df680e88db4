from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_feexpay.catalogue.phone import Msisdn, PhoneError, PhoneRule, parse
from django_feexpay.catalogue.providers import CATALOGUE


def rule_of(code: str) -> PhoneRule:
    rule = CATALOGUE[code].phone
    assert rule is not None
    return rule


BENIN = rule_of("mtn_bj")
RULES = {code: spec.phone for code, spec in CATALOGUE.items() if spec.phone is not None}


@pytest.mark.parametrize(
    "raw",
    [
        "0197000050",
        "01 97 00 00 50",
        "01.97.00.00.50",
        "01-97-00-00-50",
        "01/97/00/00/50",
        "01\u00a097\u00a000\u00a000\u00a050",
        "01\u202f97\u202f00\u202f00\u202f50",
        "01\u201197\u201100\u201100\u201150",
        "\u202a+229 01 97 00 00 50\u202c",  # copied from an address book
        "\u2068+2290197000050\u2069",
        "01\u200b97\u200b00\u200b00\u200b50\ufeff",
        "  0197000050  ",
        "+2290197000050",
        "+229 01 97 00 00 50",
        "(+229) 01 97 00 00 50",
        "(01) 97 00 00 50",
        "00229 01 97 00 00 50",
        "+00229 01 97 00 00 50",
        "229 01 97 00 00 50",
        "2290197000050",
        "229 229 01 97 00 00 50",
        "+229229 0197000050",
        "97000050",
        "97 00 00 50",
        "+229 97 00 00 50",
        "0022997000050",
        "22997000050",
        "22922997000050",
    ],
)
def test_every_usual_notation_is_parsed(raw: str) -> None:
    assert parse(raw, BENIN).digits == "2290197000050"


@pytest.mark.parametrize(
    ("code", "raw", "digits"),
    [
        ("togocom_tg", "90 12 34 56", "22890123456"),
        ("togocom_tg", "+228 90 12 34 56", "22890123456"),
        ("togocom_tg", "22890123", "22822890123"),  # eight digits: a national number, whatever they begin with
        ("togocom_tg", "22822890123", "22822890123"),
        ("mtn_ci", "05 01 02 03 04", "2250501020304"),
        ("mtn_ci", "00225 05 01 02 03 04", "2250501020304"),
        ("orange_sn", "77 123 45 67", "221771234567"),
        ("orange_sn", "221771234", "221221771234"),  # nine digits likewise
        ("orange_bf", "0070 12 34 56 78", None),
        ("orange_bf", "05123456", "22605123456"),
        ("orange_ml", "+223 70 12 34 56", "22370123456"),
        ("mtn_cg", "06 612 34 56", "242066123456"),
        ("mtn_cg", "242 06 612 34 56", "242066123456"),
    ],
)
def test_length_decides_if_a_number_begins_with_its_calling_code(code: str, raw: str, digits: str | None) -> None:
    if digits is None:
        with pytest.raises(PhoneError):
            parse(raw, rule_of(code))
    else:
        assert parse(raw, rule_of(code)).digits == digits


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("", "invalid"),
        ("   ", "invalid"),
        ("+", "invalid"),
        ("0197+000050", "invalid"),
        ("0197000050x", "invalid"),
        ("phone", "invalid"),
        ("0197000050\n", "invalid"),
        ("0197000050\x00", "invalid"),
        ("01\t97000050", "invalid"),
        ("٠١٩٧٠٠٠٠٥٠", "invalid"),  # Arabic digits
        ("0197000050" + " " * 31, "invalid"),
        ("1" * 21, "invalid"),
        ("+225 05 01 02 03 04", "wrong_country"),
        ("00228 90 12 34 56", "wrong_country"),
        ("22890123456", "wrong_country"),
        ("+1 202 555 0100", "wrong_country"),
        ("+0197000050", "wrong_country"),  # after a plus comes a country
        ("+97 00 00 50", "wrong_country"),
        ("019700005", "wrong_length"),
        ("01970000500", "wrong_length"),
        ("9700005", "wrong_length"),
        ("229019700005", "wrong_length"),
        ("+229 970", "wrong_length"),
        ("+229", "wrong_length"),
        ("0297000050", "wrong_length"),  # ten digits of Benin begin with 01
        ("01970000", "wrong_length"),  # a ten-digit number cut short, not a number of the former eight digits
        ("12345678", "wrong_length"),
    ],
)
def test_other_notations_are_refused_with_a_code(raw: str, code: str) -> None:
    with pytest.raises(PhoneError) as caught:
        parse(raw, BENIN)

    assert caught.value.code == code


@pytest.mark.parametrize("code", ["mtn_ci", "togocom_tg", "orange_sn", "orange_bf", "orange_ml", "mtn_cg"])
def test_complete_number_of_another_country_is_told_from_a_number_with_a_digit_missing(code: str) -> None:
    rule = rule_of(code)
    complete = rule.calling_code + rule.example

    assert refused(complete, BENIN) == "wrong_country"
    assert refused(complete[:-1], BENIN) == refused(complete + "1", BENIN) == "wrong_length"
    assert refused("2290197000050", rule) == "wrong_country"


def refused(raw: str, rule: PhoneRule) -> str:
    with pytest.raises(PhoneError) as caught:
        parse(raw, rule)
    return caught.value.code


def test_forty_signs_are_read_and_one_more_is_not() -> None:
    assert parse("0197000050" + " " * 30, BENIN).digits == "2290197000050"
    assert refused("0197000050" + " " * 31, BENIN) == "invalid"


def test_rule_has_only_the_parts_that_are_given() -> None:
    plain = PhoneRule(calling_code="229", lengths=(10,), example="0197000050")

    assert (plain.prefixes, plain.starts, plain.old_length, plain.old_starts) == ((), "", None, ())
    assert parse("0297000050", plain).digits == "2290297000050"


@pytest.mark.parametrize("raw", [None, 197000050, b"0197000050", ["0197000050"]])
def test_value_that_is_not_text_is_refused(raw: object) -> None:
    with pytest.raises(PhoneError) as caught:
        parse(raw, BENIN)  # type: ignore[arg-type]  # callers hand over whatever JSON held

    assert caught.value.code == "invalid"


def test_prefix_of_another_operator_is_accepted() -> None:
    assert parse("0195000050", BENIN).digits == "2290195000050"
    assert "0195" not in BENIN.prefixes


@pytest.mark.parametrize(
    ("code", "national", "masked"),
    [
        ("mtn_bj", "0197000050", "+229 01 •• •• •• 50"),
        ("togocom_tg", "90123456", "+228 90 •• •• 56"),
        ("orange_sn", "771234567", "+221 77 ••• •• 67"),
        ("mtn_cg", "066123489", "+242 06 ••• •• 89"),
    ],
)
def test_masked_number_shows_its_first_and_last_pair(code: str, national: str, masked: str) -> None:
    assert parse(national, rule_of(code)).masked == masked


def test_number_is_masked_in_str_repr_and_format() -> None:
    msisdn = parse("0197000050", BENIN)

    written = f"{msisdn} {msisdn!r} {[msisdn]} {msisdn:}"

    assert "97000" not in written
    assert repr(msisdn) == "Msisdn('+229 01 •• •• •• 50')"
    assert msisdn.ending == "50"


def test_no_part_of_a_number_shows_it_in_its_repr() -> None:
    msisdn = Msisdn("229", "0197000050")

    assert f"{msisdn.national!r} {msisdn.digits!r}" == "PrivateText(•••) PrivateText(•••)"


@given(rule=st.sampled_from(sorted(RULES)), middle=st.text("0123456789", min_size=10, max_size=10))
def test_mask_is_the_same_for_every_number_with_the_same_first_and_last_pair(rule: str, middle: str) -> None:
    """So it tells nothing else of the number."""
    example = RULES[rule].example
    other = example[:2] + middle[: len(example) - 4] + example[-2:]

    assert Msisdn(RULES[rule].calling_code, other).masked == Msisdn(RULES[rule].calling_code, example).masked


def test_numbers_compare_by_value() -> None:
    msisdn = parse("0197000050", BENIN)

    assert msisdn == Msisdn("229", "0197000050")
    assert pickle.loads(pickle.dumps(msisdn)) == msisdn


@given(raw=st.text(max_size=60) | st.text("0129+ .-()", max_size=20))
def test_any_text_is_parsed_or_refused_without_repeating_it(raw: str) -> None:
    said = read_or_refused(raw)

    assert said in {
        "13 digits",
        "not a usable phone number: invalid",
        "not a usable phone number: wrong_country",
        "not a usable phone number: wrong_length",
    }


def read_or_refused(raw: str) -> str:
    try:
        return f"{len(parse(raw, BENIN).digits)} digits"
    except PhoneError as error:
        return str(error)


@given(st.data())
def test_every_notation_of_a_national_number_gives_the_same_number(data: st.DataObject) -> None:
    rule = RULES[data.draw(st.sampled_from(sorted(RULES)))]
    digits = st.text("0123456789", min_size=rule.lengths[0], max_size=rule.lengths[0])
    national = rule.starts + data.draw(digits)[len(rule.starts) :]
    before = data.draw(st.sampled_from(["", "+{}", "00{}", "{}", "{0}{0}", "+{} ", "(+{}) "]))
    separator = data.draw(st.sampled_from(["", " ", ".", "-", "\u00a0"]))
    pairs = [national[index : index + 2] for index in range(0, len(national), 2)]
    raw = before.format(rule.calling_code) + separator.join(pairs)

    if before == "" and national.startswith("00"):
        return  # written so, it is an international number

    assert parse(raw, rule).digits == rule.calling_code + national
