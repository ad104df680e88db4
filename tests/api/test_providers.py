"""GET providers/: all providers, in the language of the request."""

from __future__ import annotations

from typing import Any

import pytest

from django_feexpay.models import Provider
from tests.api.caller import Caller, assert_problem

pytestmark = pytest.mark.django_db

SERVED = [
    *("mtn_bj", "moov_bj", "celtiis_bj", "coris_bj", "togocom_tg", "moov_tg", "mtn_ci", "moov_ci", "orange_ci"),
    *("wave_ci", "orange_sn", "free_sn", "wave_sn", "moov_bf", "orange_bf", "wave_bf", "orange_ml", "mobicash_ml"),
    "mtn_cg",
]
CARDS = ["visa", "mastercard"]
LISTED = ["mtn_cm", "mtn_sn", "amex", "unionpay", "bank_transfer"]
#: Providers without a country are listed for every country.
EVERYWHERE = {"visa", "mastercard", "amex", "unionpay", "bank_transfer"}


def codes(response: Any) -> set[str]:
    assert response.status_code == 200, response.content
    return {row["code"] for row in response.json()}


def row(caller: Caller, code: str, **headers: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in caller.get("providers/", headers).json() if row["code"] == code)
    return found


def test_every_provider_is_listed_once(caller: Caller) -> None:
    rows = caller.get("providers/").json()

    assert sorted(row["code"] for row in rows) == sorted([*SERVED, *CARDS, *LISTED])
    assert len(rows) == 26


def test_body_of_a_provider_follows_the_interface(caller: Caller) -> None:
    assert row(caller, "mtn_bj") == {
        "code": "mtn_bj",
        "name": "MTN Mobile Money",
        "kind": "mobile_money",
        "country": "BJ",
        "country_name": "Benin",
        "currency": "XOF",
        "flow": "push",
        "min_amount": 100,
        "max_amount": 2_000_000,
        "fee_percent": "1.70",
        "phone": {
            "required": True,
            "calling_code": "229",
            "lengths": [10],
            "prefixes": [
                *("0142", "0146", "0150", "0151", "0152", "0153", "0154", "0156", "0157", "0159", "0161"),
                *("0162", "0166", "0167", "0169", "0190", "0191", "0192", "0193", "0196", "0197"),
            ],
            "example": "0142000000",
        },
        "enabled": True,
        "unavailable_reason": None,
        "instructions": "A request arrives on your phone: approve it with your PIN.",
        "badge": {"monogram": "MTN", "color": "#FFCB05"},
    }


def test_every_row_has_the_same_fields(caller: Caller) -> None:
    rows = caller.get("providers/").json()

    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert {tuple(row["phone"]) for row in rows} == {("required", "calling_code", "lengths", "prefixes", "example")}
    assert {tuple(row["badge"]) for row in rows} == {("monogram", "color")}


def test_provider_that_cannot_be_used_says_why(caller: Caller) -> None:
    for listed in caller.get("providers/").json():
        assert (listed["unavailable_reason"] is None) == listed["enabled"]
    assert [code for code in LISTED if row(caller, code)["enabled"]] == []


def test_texts_are_in_the_language_of_the_request(caller: Caller) -> None:
    french, english = (row(caller, "mtn_cm", **{"Accept-Language": tongue}) for tongue in ("fr", "en"))

    assert (french["country_name"], french["unavailable_reason"]) == (
        "Cameroun",
        "Ce service ne fonctionne pas au Cameroun.",
    )
    assert (english["country_name"], english["unavailable_reason"]) == (
        "Cameroon",
        "This service does not work in Cameroon.",
    )
    names = [row(caller, "bank_transfer", **{"Accept-Language": tongue})["name"] for tongue in ("fr", "en")]
    assert names == ["Virement bancaire", "Bank transfer"]


def test_name_that_staff_changed_is_the_same_in_every_language(caller: Caller) -> None:
    Provider.objects.filter(pk="bank_transfer").update(name="Wire")

    assert row(caller, "bank_transfer", **{"Accept-Language": "fr"})["name"] == "Wire"


def test_switched_off_provider_is_visible_at_once(caller: Caller) -> None:
    Provider.objects.filter(pk="mtn_bj").update(enabled=False, disabled_reason="Back at noon.")

    assert (row(caller, "mtn_bj")["enabled"], row(caller, "mtn_bj")["unavailable_reason"]) == (False, "Back at noon.")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"country": "BJ"}, {"mtn_bj", "moov_bj", "celtiis_bj", "coris_bj"} | EVERYWHERE),
        ({"country": "bj"}, {"mtn_bj", "moov_bj", "celtiis_bj", "coris_bj"} | EVERYWHERE),
        ({"country": "FR"}, EVERYWHERE),
        ({"kind": "card"}, {"visa", "mastercard", "amex", "unionpay"}),
        ({"kind": "bank_transfer"}, {"bank_transfer"}),
        ({"kind": "wallet"}, {"orange_ci", "moov_tg", "wave_sn"}),
        ({"kind": "wallet", "country": "CI"}, {"orange_ci"}),
        ({"currency": "XAF"}, {"mtn_cg", "mtn_cm"}),
        ({"currency": "xaf", "country": "CG"}, {"mtn_cg"}),
        ({"currency": "EUR"}, set()),
    ],
)
def test_filter_keeps_matching_rows(caller: Caller, query: dict[str, str], expected: set[str]) -> None:
    assert codes(caller.get("providers/", **query)) == expected


def test_wallets_are_mobile_money_as_well(caller: Caller) -> None:
    assert {"orange_ci", "moov_tg", "wave_sn"} <= codes(caller.get("providers/", kind="mobile_money"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("land", "BJ"),
        ("format", "xml"),
        ("country", "Benin"),
        ("country", "B1"),
        ("country", "BJ\n"),
        ("kind", "cash"),
        ("currency", "X"),
        ("currency", "\x00"),
    ],
)
def test_invalid_filter_is_refused(caller: Caller, name: str, value: str) -> None:
    assert_problem(caller.get("providers/", **{name: value}), 400, "validation_error", field=name)


def test_list_is_cached_a_minute_and_answers_304(caller: Caller) -> None:
    first = caller.get("providers/")

    again = caller.get("providers/", headers={"If-None-Match": first.headers["ETag"]})

    assert first.headers["Cache-Control"] == "private, max-age=60"
    assert (again.status_code, again.content) == (304, b"")
    assert (again.headers["ETag"], again.headers["Cache-Control"]) == (first.headers["ETag"], "private, max-age=60")


def test_tag_differs_by_language_filter_and_switch(caller: Caller) -> None:
    def tag(language: str = "en", **query: str) -> str:
        return str(caller.get("providers/", {"Accept-Language": language}, **query).headers["ETag"])

    before = [tag(), tag("fr"), tag(country="BJ")]
    Provider.objects.filter(pk="mtn_bj").update(enabled=False)

    assert len({*before, tag()}) == 4
