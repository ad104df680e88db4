"""The list of checkouts, and the line about them on a payment's page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.admin.conftest import StaffClient, StartPayment, make_checkout

pytestmark = pytest.mark.django_db

LIST = reverse("admin:feexpay_checkout_changelist")
STARTED = "Started at the web checkout."


def test_list_shows_what_each_address_led_to(superuser_client: Client, start_payment: StartPayment) -> None:
    payment = start_payment(merchant_reference="order-31")
    expired = make_checkout(payment)
    expired.expires_at -= timedelta(hours=2)
    expired.save()

    page = superuser_client.get(LIST).content.decode()

    assert "order-31" in page
    assert "5\u202f000" in page or "5\u00a0000" in page
    assert "Expired" in page


def test_list_costs_the_same_for_one_and_for_ten(superuser_client: Client, start_payment: StartPayment) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert superuser_client.get(LIST).status_code == 200
        return len(seen)

    make_checkout(start_payment())
    statements()  # content types and permissions are read once a process
    one = statements()
    for _ in range(9):
        make_checkout(start_payment())

    assert statements() == one


def test_page_of_a_payment_says_that_it_came_from_the_checkout(
    superuser_client: Client, staff_client: StaffClient, start_payment: StartPayment
) -> None:
    by_api, by_page = start_payment(), start_payment()
    checkout = make_checkout(by_page)
    link = reverse("admin:feexpay_checkout_change", args=[checkout.pk])

    def page_of(client: Client, payment: object) -> str:
        return client.get(reverse("admin:feexpay_payment_change", args=[payment.pk])).content.decode()  # type: ignore[attr-defined]

    assert STARTED not in page_of(superuser_client, by_api)
    assert STARTED in page_of(superuser_client, by_page)
    assert link in page_of(superuser_client, by_page)
    reader = page_of(staff_client("view_payment"), by_page)
    assert STARTED in reader
    assert link not in reader
