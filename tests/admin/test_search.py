"""Search: by exact terms, and by a phone number that is stored nowhere."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.test import Client
from django.views.debug import ExceptionReporter
from pytest_django import Settings

from django_feexpay.admin.readonly import CappedPaginator
from django_feexpay.models import Payment, PaymentEvent
from tests.admin.conftest import StaffClient, StartPayment

pytestmark = pytest.mark.django_db

LIST = "/admin/feexpay/payment/"
FIND = "/admin/feexpay/payment/find/"


def listed(client: Client, **query: str) -> set[Payment]:
    answer = client.get(LIST, query)
    assert answer.status_code == 200
    return set(answer.context["cl"].result_list)


@pytest.mark.parametrize(
    "term",
    [
        pytest.param(lambda payment: str(payment.pk), id="payment id"),
        pytest.param(lambda payment: str(payment.pk).upper(), id="payment id in capitals"),
        pytest.param(lambda payment: f" {payment.pk} ", id="spaces around"),
        pytest.param(lambda payment: str(payment.attempt.pk), id="attempt id"),
        pytest.param(lambda payment: payment.attempt.gateway_reference, id="FeexPay reference"),
        pytest.param(lambda payment: payment.merchant_reference, id="merchant reference"),
    ],
)
def test_search_finds_the_payment_of(term: Any, superuser_client: Client, start_payment: StartPayment) -> None:
    payment, _ = start_payment(), start_payment()

    assert listed(superuser_client, q=term(payment)) == {payment}


def test_search_finds_all_payments_of_a_user(superuser_client: Client, start_payment: StartPayment) -> None:
    payments = {start_payment(), start_payment()}

    assert listed(superuser_client, q="ayo") == payments


@pytest.mark.parametrize("term", ["order", "ORDER-1", "REF", "ay", "97000050", "0'; --", "%"])
def test_search_takes_whole_terms_only(term: str, superuser_client: Client, start_payment: StartPayment) -> None:
    start_payment()

    assert listed(superuser_client, q=term) == set()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({"status": "pending"}, 1, id="status"),
        pytest.param({"status": "failed"}, 0, id="other status"),
        pytest.param({"currency": "XOF"}, 1, id="currency"),
        pytest.param({"currency": "XAF"}, 0, id="other currency"),
        pytest.param({"provider__code__exact": "mtn_bj"}, 1, id="provider"),
        pytest.param({"provider__code__exact": "celtiis_bj"}, 0, id="other provider"),
        pytest.param({"created_at__gte": "2020-01-01 00:00:00+00:00"}, 1, id="since"),
        pytest.param({"created_at__lt": "2020-01-01 00:00:00+00:00"}, 0, id="before"),
    ],
)
def test_filter_narrows_by(
    query: dict[str, str], expected: int, superuser_client: Client, start_payment: StartPayment
) -> None:
    start_payment()

    assert len(listed(superuser_client, **query)) == expected


def test_find_by_number_lists_all_payments_of_that_payer(superuser_client: Client, start_payment: StartPayment) -> None:
    mine = {start_payment(phone="+229 01 97 00 00 50"), start_payment(phone="0197000050")}
    start_payment(phone="0197000051")

    answer = superuser_client.post(FIND, {"phone": "229 97 00 00 50"}, follow=True)

    assert set(answer.context["cl"].result_list) == mine


def test_find_by_number_stores_the_number_nowhere(
    superuser_client: Client, start_payment: StartPayment, caplog: pytest.LogCaptureFixture
) -> None:
    payment = start_payment(phone="0197000050")
    caplog.set_level(logging.DEBUG)

    answer = superuser_client.post(FIND, {"phone": "0197000050"})

    assert answer.status_code == 302
    assert answer["Location"] == f"{LIST}?same_payer_as={payment.attempt.pk}"
    assert "97000050" not in caplog.text
    assert payment.attempt.msisdn_hash not in answer["Location"]


def test_find_by_number_keeps_the_number_out_of_error_reports(superuser_client: Client, settings: Settings) -> None:
    settings.DEBUG = False
    # In production hashing a number without a key raises ImproperlyConfigured.
    settings.FEEXPAY = {**settings.FEEXPAY, "ENVIRONMENT": "production", "HASH_KEY": ""}
    reports = []

    def report(request: HttpRequest, **kwargs: Any) -> None:
        reports.append(ExceptionReporter(request, *sys.exc_info()).get_traceback_html())

    got_request_exception.connect(report)
    try:
        with pytest.raises(ImproperlyConfigured):
            superuser_client.post(FIND, {"phone": "0197000050"})
    finally:
        got_request_exception.disconnect(report)

    assert "HASH_KEY" in reports[0]
    assert "0197000050" not in reports[0]


@pytest.mark.parametrize(
    ("phone", "words"),
    [
        pytest.param("0197000059", "No payment was started with this number.", id="unknown number"),
        pytest.param("12345", "This is not a phone number of a country with a provider.", id="no number"),
        pytest.param("", "This field is required.", id="empty"),
    ],
)
def test_find_by_number_says_why_it_found_nothing(
    phone: str, words: str, superuser_client: Client, start_payment: StartPayment
) -> None:
    start_payment(phone="0197000050")

    page = superuser_client.post(FIND, {"phone": phone}).content.decode()

    assert words in page
    assert not phone or phone not in page


def test_find_by_ambiguous_number_offers_the_number_of_each_country(
    superuser_client: Client, start_payment: StartPayment
) -> None:
    togo = start_payment(provider="togocom_tg", phone="+228 90 00 00 50")
    benin = start_payment(provider="mtn_bj", phone="+229 01 90 00 00 50")

    page = superuser_client.post(FIND, {"phone": "90 00 00 50"}).content.decode()

    assert f'?same_payer_as={togo.attempt.pk}">+228 90 •• •• 50' in page
    assert f'?same_payer_as={benin.attempt.pk}">+229 01 •• •• •• 50' in page


def test_find_by_number_needs_the_permission_to_view(staff_client: StaffClient) -> None:
    client = staff_client("reconcile_payment")

    assert client.get(FIND).status_code == 403
    assert client.post(FIND, {"phone": "0197000050"}).status_code == 403


@pytest.mark.parametrize("value", ["nonsense", "00000000-0000-4000-8000-000000000000"])
def test_same_payer_list_of_an_unknown_attempt_is_empty(
    value: str, superuser_client: Client, start_payment: StartPayment
) -> None:
    start_payment()

    assert listed(superuser_client, same_payer_as=value) == set()


def test_same_payer_list_is_empty_once_the_number_is_erased(
    superuser_client: Client, start_payment: StartPayment
) -> None:
    payment, _ = start_payment(), start_payment()
    payment.attempts.update(msisdn_hash="")

    assert listed(superuser_client, same_payer_as=str(payment.attempt.pk)) == set()


@pytest.mark.parametrize(
    ("most", "count", "is_capped"),
    [
        pytest.param(4, 4, True, id="more rows than are counted"),
        pytest.param(6, 6, False, id="just as many"),
        pytest.param(7, 6, False, id="fewer"),
    ],
)
def test_paginator_counts_up_to_its_limit(
    most: int, count: int, is_capped: bool, start_payment: StartPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        start_payment()  # two events each
    monkeypatch.setattr("django_feexpay.admin.readonly.MAX_COUNTED", most)

    paginator = CappedPaginator(PaymentEvent.objects.all(), 2)

    assert (paginator.count, paginator.is_capped) == (count, is_capped)


def test_list_says_that_older_rows_are_not_counted(
    superuser_client: Client, start_payment: StartPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_payment(), start_payment()
    words = "There are older rows too: filter or search to reach them."
    assert words not in superuser_client.get(LIST).content.decode()

    monkeypatch.setattr("django_feexpay.admin.readonly.MAX_COUNTED", 1)

    assert words in superuser_client.get(LIST).content.decode()
