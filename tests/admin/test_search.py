"""Search: by what staff have in hand, and by a phone number that is stored nowhere."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import got_request_exception
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.views.debug import ExceptionReporter
from pytest_django import Settings

from django_feexpay.admin.readonly import CappedPaginator
from django_feexpay.models import Attempt, Payment, PaymentEvent, StaffAction
from tests.admin.conftest import StaffClient, StartPayment, deliver

pytestmark = pytest.mark.django_db

LIST = "/admin/feexpay/payment/"
FIND = "/admin/feexpay/payment/find/"


def listed(client: Client, **query: str) -> set[Payment]:
    answer = client.get(LIST, query)
    assert answer.status_code == 200
    return set(answer.context["cl"].result_list)


@pytest.fixture
def known(start_payment: StartPayment, player: User) -> Payment:
    """A payment that each term of the tests names, beside one of another user that none names."""
    player.email = "Ayo@example.com"
    player.save()
    payment = start_payment(merchant_reference="Commande-1014")
    Attempt.objects.filter(pk=payment.attempt.pk).update(gateway_reference="ab12CD34-0001")
    start_payment(user=User.objects.create_user("binta", email="binta@example.com"), merchant_reference="other")
    return Payment.objects.get(pk=payment.pk)


TERMS = [
    pytest.param(lambda payment: str(payment.pk), id="payment id"),
    pytest.param(lambda payment: str(payment.pk).upper(), id="payment id in capitals"),
    pytest.param(lambda payment: payment.pk.hex, id="payment id without dashes"),
    pytest.param(lambda payment: f"#{str(payment.pk)[:8]}", id="first eight characters"),
    pytest.param(lambda payment: f"#{str(payment.pk)[:13].upper()}", id="thirteen characters in capitals"),
    pytest.param(lambda payment: f" {payment.pk} ", id="spaces around"),
    pytest.param(lambda payment: str(payment.attempt.pk), id="attempt id"),
    pytest.param(lambda payment: "ab12CD34-0001", id="FeexPay reference"),
    pytest.param(lambda payment: "AB12CD34-0001", id="FeexPay reference in capitals"),
    pytest.param(lambda payment: "ab12cd34-0001", id="FeexPay reference in small letters"),
    pytest.param(lambda payment: "aB12", id="beginning of FeexPay's reference"),
    pytest.param(lambda payment: "COMMANDE-1014", id="own reference in capitals"),
    pytest.param(lambda payment: "comman", id="beginning of the own reference"),
]


@pytest.mark.parametrize(
    "term",
    [
        *TERMS,
        pytest.param(lambda payment: "Ayo", id="user"),
        pytest.param(lambda payment: "aYo", id="user in mixed letters"),
        pytest.param(lambda payment: "ayo@EXAMPLE.com", id="mail address"),
    ],
)
def test_search_finds_the_payment_of(term: Any, superuser_client: Client, known: Payment) -> None:
    assert listed(superuser_client, q=term(known)) == {known}


def test_search_finds_many_payments_by_their_reference(
    superuser_client: Client, start_payment: StartPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_feexpay.admin.search_terms.MAX_FEW", 2)
    payments = {start_payment() for _ in range(4)}
    start_payment(merchant_reference="other")

    assert listed(superuser_client, q="ORDER-") == payments


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("model", ["attempt", "paymentevent", "webhookdelivery"])
def test_search_in_the_rows_of_payments_finds_those_of(
    model: str, term: Any, superuser_client: Client, known: Payment
) -> None:
    for attempt in Attempt.objects.all():
        deliver(attempt)

    answer = superuser_client.get(f"/admin/feexpay/{model}/", {"q": term(known)})

    rows = answer.context["cl"].result_list
    assert {row.attempt.payment_id if model == "webhookdelivery" else row.payment_id for row in rows} == {known.pk}


def test_search_finds_all_payments_of_a_user(superuser_client: Client, start_payment: StartPayment) -> None:
    payments = {start_payment(), start_payment()}

    assert listed(superuser_client, q="ayo") == payments


@pytest.mark.parametrize(
    "term", ["ay", "Co", "ommande", "1014", "ab12_", "abc%", "%", "0'; --", "12345678x", "#97000050", "Commande-1014x"]
)
def test_search_finds_nothing_for(term: str, superuser_client: Client, known: Payment) -> None:
    assert listed(superuser_client, q=term) == set()


def test_search_of_the_rows_says_that_it_stops(
    superuser_client: Client, start_payment: StartPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_feexpay.admin.search_terms.MAX_NAMED", 2)
    payments = [start_payment() for _ in range(3)]

    answer = superuser_client.get("/admin/feexpay/attempt/", {"q": "order-"})

    assert {row.payment_id for row in answer.context["cl"].result_list} == {row.pk for row in payments[1:]}
    assert "Only the newest 2 payments" in answer.content.decode()


# --- a phone number in the box -----------------------------------------------------------------------

NUMBERS = ["0197000050", "+229 01 97 00 00 50", "97 00 00 50", "00229-97.00.00.50", " (229) 0197000050 "]


@pytest.mark.parametrize("number", NUMBERS)
def test_number_in_the_box_leads_to_that_payers_payments_and_is_kept_nowhere(
    number: str, superuser_client: Client, start_payment: StartPayment, caplog: pytest.LogCaptureFixture
) -> None:
    payment = start_payment(phone="0197000050")
    caplog.set_level(logging.DEBUG)

    with CaptureQueriesContext(connection) as seen:
        answer = superuser_client.post("/admin/feexpay/attempt/?status=pending", {"q": number})

    assert answer["Location"] == f"{LIST}?same_payer_as={payment.attempt.pk}"
    row = StaffAction.objects.get()
    assert (row.action, row.payment_id, row.detail) == ("look_up_number", payment.pk, {"found": 1})
    for written in (caplog.text, repr(vars(row)), *(each["sql"] for each in seen)):
        assert "970000" not in written.replace(" ", "").replace(".", "")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        pytest.param("0197000059", "No payment was started with this number.", id="unknown number"),
        pytest.param("12345678901", "This is not a phone number of a country with a provider.", id="no number"),
        pytest.param("90000050", "This number can belong to several payers.", id="two countries"),
    ],
)
def test_number_of_no_single_payer_leads_to_find_by_phone_number(
    number: str, words: str, superuser_client: Client, start_payment: StartPayment
) -> None:
    start_payment(provider="togocom_tg", phone="+228 90 00 00 50")
    start_payment(provider="mtn_bj", phone="+229 01 90 00 00 50")

    answer = superuser_client.post(LIST, {"q": number}, follow=True)

    assert answer.redirect_chain == [(FIND, 302)]
    page = answer.content.decode()
    assert words in page
    assert "Write # in front of it" in page
    assert number not in page


def test_number_in_the_address_is_dropped_and_not_searched(
    superuser_client: Client, start_payment: StartPayment
) -> None:
    start_payment(merchant_reference="97000050")

    with CaptureQueriesContext(connection) as seen:
        answer = superuser_client.get(LIST, {"q": "97000050", "status": "pending"})

    assert answer["Location"] == f"{LIST}?status=pending"
    assert not [each for each in seen if "97000050" in each["sql"]]
    assert "was not searched for" in superuser_client.get(answer["Location"]).content.decode()


def test_number_in_the_box_needs_the_right_to_view_payments(
    staff_client: StaffClient, start_payment: StartPayment
) -> None:
    start_payment(phone="0197000050")

    answer = staff_client("view_attempt").post("/admin/feexpay/attempt/", {"q": "0197000050"}, follow=True)

    assert "nothing was searched" in answer.content.decode()
    assert not StaffAction.objects.exists()


def test_number_in_the_box_is_in_no_error_report(superuser_client: Client, settings: Settings) -> None:
    settings.DEBUG = False
    settings.FEEXPAY = {**settings.FEEXPAY, "ENVIRONMENT": "production", "HASH_KEY": ""}
    reports = []

    def report(request: HttpRequest, **kwargs: Any) -> None:
        reports.append(ExceptionReporter(request, *sys.exc_info()).get_traceback_html())

    got_request_exception.connect(report)
    try:
        with pytest.raises(ImproperlyConfigured):
            superuser_client.post(LIST, {"q": "0197000050"})
    finally:
        got_request_exception.disconnect(report)

    assert "HASH_KEY" in reports[0]
    assert "0197000050" not in reports[0]


def test_reference_of_digits_is_found_with_a_mark(superuser_client: Client, start_payment: StartPayment) -> None:
    payment = start_payment(merchant_reference="97000050")

    answer = superuser_client.post(LIST, {"q": "#97000050"}, follow=True)

    assert list(answer.context["cl"].result_list) == [payment]


def test_box_leads_to_an_address_that_keeps_the_filters(superuser_client: Client, start_payment: StartPayment) -> None:
    start_payment()

    answer = superuser_client.post(f"{LIST}?status=pending&q=old&p=2", {"q": " Order-1 "})

    assert answer["Location"] == f"{LIST}?status=pending&q=Order-1"
    assert 'method="post"' in superuser_client.get(answer["Location"]).content.decode().split("changelist-search")[1]


def test_box_is_closed_to_staff_who_may_not_view(staff_client: StaffClient) -> None:
    answer = staff_client().post(LIST, {"q": "order-1"}, follow=True)

    assert answer.status_code == 403


# --- filters -----------------------------------------------------------------------------------------


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
    page = superuser_client.get(LIST).content.decode()

    assert words in page
    assert "more than 1 results" in page
