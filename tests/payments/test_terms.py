"""Validation of a payment request, before anything is written."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.models import Payment, Provider
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.terms import msisdn_of, unavailable, validate
from tests.payments.conftest import Begin, Configure, MakeOrder
from tests.payments.fake_gateway import ModelGateway

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"amount": 0}, "amount", "min_value"),
        ({"amount": -5}, "amount", "min_value"),
        ({"amount": 5.0}, "amount", "invalid"),
        ({"amount": "5"}, "amount", "invalid"),
        ({"amount": True}, "amount", "invalid"),
        ({"amount": 10**12}, "amount", "max_value"),
        ({"provider": "nowhere"}, "provider", "unknown"),
        ({"currency": "GBP"}, "currency", "unsupported"),
        ({"currency": "XAF"}, "currency", "unsupported"),
        ({"phone": ""}, "phone", "required"),
        ({"phone": "0161"}, "phone", "wrong_length"),
        ({"phone": "+225 07 00 00 00 50"}, "phone", "wrong_country"),
        ({"phone": "no number"}, "phone", "invalid"),
        ({"merchant_reference": "x" * 65}, "merchant_reference", "max_length"),
        ({"description": "x" * 141}, "description", "max_length"),
        ({"description": "a\x00b"}, "description", "invalid"),
        ({"first_name": "\ud800"}, "first_name", "invalid"),
        ({"metadata": {"note": "é" * 1024}}, "metadata", "max_length"),
        ({"return_url": "https://elsewhere.test/"}, "return_url", "not_allowed"),
        ({"return_url": "http://shop.test/", "return_hosts": ("shop.test",)}, "return_url", "not_allowed"),
        ({"cancel_url": "javascript:alert(1)", "return_hosts": ("shop.test",)}, "cancel_url", "not_allowed"),
        ({"cancel_url": "https://u:p@shop.test/", "return_hosts": ("shop.test",)}, "cancel_url", "not_allowed"),
        ({"cancel_url": "https://[shop.test/", "return_hosts": ("shop.test",)}, "cancel_url", "not_allowed"),
    ],
)
def test_invalid_request_is_refused_with_its_field_and_code(
    order: MakeOrder, changes: dict[str, Any], field: str, code: str
) -> None:
    with pytest.raises(NotAllowedError) as refused:
        validate(order(**changes))

    assert refused.value.code == "validation_error"
    assert [(error.field, error.code) for error in refused.value.errors] == [(field, code)]
    assert Payment.objects.count() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"currency": "XOF"},
        {"phone": "+229 01 61 00 00 50"},
        {"phone": "61000050"},
        {"return_url": "https://shop.test/thanks", "return_hosts": ("shop.test",)},
        {"return_url": "http://localhost:8000/thanks", "return_hosts": ("localhost",)},
        {"merchant_reference": "x" * 64, "description": "é" * 140},
    ],
)
def test_valid_request_is_accepted(order: MakeOrder, changes: dict[str, Any]) -> None:
    terms = validate(order(**changes))

    assert (terms.quote.charged_amount, terms.quote.currency, terms.quote.fee) == (5000, "XOF", 85)
    assert terms.msisdn.digits == "2290161000050"


def test_return_hosts_of_the_settings_replace_the_hosts_of_the_request(order: MakeOrder, configure: Configure) -> None:
    configure(RETURN_HOSTS=["shop.test"])

    validate(order(return_url="https://shop.test/", return_hosts=("other.test",)))
    with pytest.raises(NotAllowedError):
        validate(order(return_url="https://other.test/", return_hosts=("other.test",)))


@pytest.mark.parametrize(("amount", "code"), [(199, "min_value"), (1001, "max_value")])
def test_limits_are_those_of_the_provider_row(order: MakeOrder, amount: int, code: str) -> None:
    Provider.objects.filter(code="mtn_bj").update(min_amount=200, max_amount=1000)

    validate(order(amount=200))
    validate(order(amount=1000))
    with pytest.raises(NotAllowedError) as refused:
        validate(order(amount=amount))
    assert refused.value.errors[0].code == code


def test_disabled_provider_is_refused_with_its_reason(order: MakeOrder) -> None:
    Provider.objects.filter(code="mtn_bj").update(enabled=False, disabled_reason="MTN is being serviced.")

    with pytest.raises(NotAllowedError) as refused:
        validate(order())

    assert (refused.value.code, refused.value.message) == ("provider_unavailable", "MTN is being serviced.")
    assert str(refused.value) == "MTN is being serviced. (provider_unavailable)"


def test_provider_that_feexpay_does_not_serve_is_refused_even_if_enabled(order: MakeOrder) -> None:
    Provider.objects.filter(code="mtn_cm").update(enabled=True)

    with pytest.raises(NotAllowedError) as refused:
        validate(order(provider="mtn_cm"))

    assert refused.value.code == "provider_unavailable"


def test_reason_for_unavailability_is_in_the_payers_language() -> None:
    provider = Provider.objects.get(code="mtn_cm")

    assert unavailable(provider, "fr") == provider.spec.unavailable_text_fr
    assert unavailable(provider, "en") == provider.spec.unavailable_text_en
    assert unavailable(Provider.objects.get(code="mtn_bj"), "en") == ""


# --- PAYABLE decides the price ------------------------------------------------------------------------

asked: list[dict[str, Any]] = []


def owes_5000(**payment_request: Any) -> int:
    asked.append(payment_request)
    return 5000


def sells_nothing(**payment_request: Any) -> int:
    raise ValidationError("Sold out.")


def test_payable_gets_the_facts_of_the_order(order: MakeOrder, configure: Configure) -> None:
    configure(PAYABLE="tests.payments.test_terms.owes_5000")
    asked.clear()
    payment_request = order(merchant_reference="order-7", metadata={"pack": "small"})

    validate(payment_request)

    assert asked == [
        {
            "user": payment_request.user,
            "merchant_reference": "order-7",
            "amount": 5000,
            "currency": "XOF",
            "metadata": {"pack": "small"},
        }
    ]


@pytest.mark.parametrize("amount", [4999, 5001])
def test_amount_other_than_the_price_is_refused(order: MakeOrder, configure: Configure, amount: int) -> None:
    configure(PAYABLE="tests.payments.test_terms.owes_5000")

    with pytest.raises(NotAllowedError) as refused:
        validate(order(amount=amount))

    assert [(error.field, error.code) for error in refused.value.errors] == [("amount", "wrong_price")]
    assert refused.value.message == "The price is 5\u00a0000\u00a0F\u00a0CFA."


def test_payable_can_refuse(begin: Begin, configure: Configure, gateway: ModelGateway) -> None:
    configure(PAYABLE="tests.payments.test_terms.sells_nothing")

    with pytest.raises(NotAllowedError) as refused:
        begin()

    assert [(error.code, error.message) for error in refused.value.errors] == [("not_payable", "Sold out.")]
    assert (Payment.objects.count(), gateway.charges) == (0, [])


@pytest.mark.parametrize("phone", ["0161000050", "", "+44 20 7946 0000", "no number at all"])
def test_number_sent_with_a_card_is_ignored(order: MakeOrder, phone: str) -> None:
    assert validate(order(provider="visa", phone=phone)).msisdn is None
    assert msisdn_of(phone, CATALOGUE["visa"]) is None


def test_provider_that_needs_a_code_first_is_refused_without_one(
    order: MakeOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Provider, "is_available", True)
    payment_request = {"provider": "orange_bf", "phone": "70000050"}

    with pytest.raises(NotAllowedError) as refused:
        validate(order(**payment_request))

    assert [(error.field, error.code) for error in refused.value.errors] == [("otp", "required")]
    assert validate(order(**payment_request, otp="123456")).provider.code == "orange_bf"
