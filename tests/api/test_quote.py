"""GET quote/: the quoted amount is charged."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_feexpay.models import Attempt, Payment, Provider
from tests.api.caller import Caller, assert_problem, row_counts
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway

pytestmark = pytest.mark.django_db

FIELDS = ["amount", "currency", "charged_amount", "charged_currency", "fee", "total", "exchange_rate"]


def quoted(caller: Caller, **query: Any) -> dict[str, Any]:
    response = caller.get("quote/", **({"provider": "mtn_bj", "amount": 5000} | query))
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    assert list(body) == FIELDS
    return body


def test_price_in_the_providers_currency_is_charged_unchanged(caller: Caller) -> None:
    assert list(quoted(caller).values()) == [5000, "XOF", 5000, "XOF", 85, 5000, None]


def test_fee_of_the_payer_is_in_the_total(caller: Caller, configure: Configure) -> None:
    configure(FEE_PAYER="payer")

    assert list(quoted(caller, currency="XOF").values()) == [5000, "XOF", 5085, "XOF", 85, 5085, None]


@pytest.mark.parametrize(
    ("provider", "amount", "currency", "charged", "into", "rate"),
    [
        ("mtn_bj", 1000, "EUR", 6560, "XOF", "655.957"),  # 6559.57
        ("mtn_cg", 1000, "EUR", 6560, "XAF", "655.957"),
        ("mtn_bj", 100_000, "EUR", 655_957, "XOF", "655.957"),
        ("mtn_bj", 1000, "USD", 6054, "XOF", "605.345"),  # 6053.45
        ("mtn_cg", 1, "USD", None, "XAF", "605.345"),  # below the provider's minimum
    ],
)
def test_price_in_another_currency_is_converted_and_rounded_up(
    caller: Caller,
    configure: Configure,
    provider: str,
    amount: int,
    currency: str,
    charged: int | None,
    into: str,
    rate: str,
) -> None:
    configure(RATES={"USD": "605.345"})
    query = {"provider": provider, "amount": amount, "currency": currency}

    if charged is None:
        assert_problem(caller.get("quote/", **query), 400, "validation_error", field="amount")
        return
    body = quoted(caller, **query)
    assert (body["charged_amount"], body["charged_currency"], body["exchange_rate"]) == (charged, into, rate)
    assert (body["amount"], body["currency"], body["total"]) == (amount, currency, charged)


@pytest.mark.parametrize("fee_payer", ["merchant", "payer"])
@pytest.mark.parametrize("currency", ["XOF", "EUR", "USD"])
@pytest.mark.parametrize("amount", [101, 999, 5000, 12_345])
def test_quoted_amount_is_charged(
    caller: Caller, configure: Configure, gateway: ModelGateway, fee_payer: str, currency: str, amount: int
) -> None:
    configure(FEE_PAYER=fee_payer, RATES={"USD": "605.345"})
    quote = quoted(caller, amount=amount, currency=currency)

    payment = caller.initiate(amount=amount, currency=currency).json()

    assert {name: payment[name] for name in FIELDS if name != "total"} == {
        name: value for name, value in quote.items() if name != "total"
    }
    assert gateway.last().amount == Attempt.objects.get().amount == quote["total"]


def test_fee_is_the_one_that_staff_set_for_the_provider(
    caller: Caller, configure: Configure, gateway: ModelGateway
) -> None:
    configure(FEE_PAYER="payer")
    Provider.objects.filter(pk="mtn_bj").update(fee_percent="2.51")

    quote = quoted(caller)

    assert (quote["fee"], quote["total"]) == (126, 5126)  # 125.5
    assert caller.initiate().json()["fee"] == 126
    assert gateway.last().amount == 5126


def test_quoted_amount_holds_after_the_rate_changed(
    caller: Caller, configure: Configure, gateway: ModelGateway
) -> None:
    configure(RATES={"USD": "605.345"})
    seen = quoted(caller, amount=1000, currency="USD")
    configure(RATES={"USD": "700"})

    payment = caller.initiate(amount=1000, currency="USD").json()

    assert payment["charged_amount"] == seen["charged_amount"] == gateway.last().amount == 6054
    assert quoted(caller, amount=1000, currency="USD")["charged_amount"] == 7000


def test_quote_holds_for_its_user_only(caller: Caller, configure: Configure, gateway: ModelGateway) -> None:
    configure(RATES={"USD": "605.345"})
    quoted(caller, amount=1000, currency="USD")
    configure(RATES={"USD": "700"})

    other = Caller(User.objects.create_user("kofi")).initiate(amount=1000, currency="USD").json()

    assert other["charged_amount"] == 7000


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"provider": None}, "provider"),
        ({"provider": "nowhere"}, "provider"),
        ({"provider": ""}, "provider"),
        ({"provider": "x" * 33}, "provider"),
        ({"amount": None}, "amount"),
        ({"amount": ""}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-5"}, "amount"),
        ({"amount": "5.0"}, "amount"),
        ({"amount": "5e3"}, "amount"),
        ({"amount": " 5000"}, "amount"),
        ({"amount": "05000"}, "amount"),
        ({"amount": "5_000"}, "amount"),
        ({"amount": "٥٠٠٠"}, "amount"),
        ({"amount": str(2**63)}, "amount"),
        ({"amount": "9" * 5000}, "amount"),
        ({"amount": "99"}, "amount"),
        ({"amount": "2000001"}, "amount"),
        ({"currency": ""}, "currency"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "XAF"}, "currency"),
        ({"currency": "GBP"}, "currency"),
        ({"currency": "EURO"}, "currency"),
        ({"phone": "0197000050"}, "phone"),
        ({"format": "csv"}, "format"),
    ],
)
def test_invalid_quote_is_refused(caller: Caller, query: dict[str, Any], field: str) -> None:
    asked = {"provider": "mtn_bj", "amount": "5000"} | query

    response = caller.get("quote/", **{name: value for name, value in asked.items() if value is not None})

    assert_problem(response, 400, "validation_error", field=field)


def test_quote_of_a_provider_that_is_off_says_why(caller: Caller) -> None:
    Provider.objects.filter(pk="mtn_bj").update(enabled=False, disabled_reason="Back at noon.")

    response = caller.get("quote/", provider="mtn_bj", amount=5000)

    assert assert_problem(response, 422, "provider_unavailable")["detail"] == "Back at noon."


def test_without_a_rate_neither_quote_nor_start_works(caller: Caller, configure: Configure) -> None:
    configure(RATES={})
    before = row_counts()

    for response in (
        caller.get("quote/", provider="mtn_bj", amount=1000, currency="USD"),
        caller.initiate(amount=1000, currency="USD"),
    ):
        assert_problem(response, 503, "rate_unavailable")
        assert response.headers["Retry-After"] == "30"
    assert row_counts() == before


def test_anonymous_caller_gets_no_quote(stranger: Caller) -> None:
    assert_problem(stranger.get("quote/", provider="mtn_bj", amount=5000), 401, "not_authenticated")


def test_quote_costs_one_statement_and_writes_nothing(caller: Caller) -> None:
    with CaptureQueriesContext(connection) as statements:
        quoted(caller, amount=1000, currency="EUR")

    assert len(statements) == 3  # two of them authenticate the user
    assert Payment.objects.count() == 0
