"""Ledgers: readable with the view permission, and writable in no way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db import connection, models
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoDbBlocker

from django_feexpay import conf
from django_feexpay.models import OutboxMessage, Payment, PaymentEvent
from django_feexpay.payments import daily_totals, refunds
from tests import emptying
from tests.admin.conftest import StaffClient, StartPayment, charge_twice, deliver, make_payout, starter
from tests.admin.recording_transport import RecordingGateway

LEDGERS = [
    "alert",
    "attempt",
    "checkout",
    "discrepancy",
    "comparison",
    "credit",
    "dailytotal",
    "erasure",
    "finding",
    "heartbeat",
    "idempotencyrecord",
    "incident",
    "outboxmessage",
    "payment",
    "paymentevent",
    "payout",
    "purge",
    "refund",
    "reviewproposal",
    "promptlift",
    "staffaction",
    "webhookdelivery",
]
EVERYTHING = [*LEDGERS, "provider"]
NOT_SEARCHED = {
    *("alert", "comparison", "dailytotal", "erasure", "finding", "heartbeat", "payment", "promptlift", "purge"),
    "staffaction",
}
#: Tables that staff have no use for. Receipts are shown with their message; an opt-out and files concern only
#: their user.
NOT_SHOWN = {
    *(
        "counter",
        "notificationoptout",
        "outboxreceipt",
        "payoutevent",
        "reportfile",
        "staffchain",
        "totalscursor",
    ),
}
#: Ledgers without a row for a payment that was only started.
MADE_BY_HAND = {
    *("alert", "checkout", "heartbeat", "credit", "dailytotal", "erasure", "incident", "payout", "purge", "refund"),
}

pytestmark = [pytest.mark.django_db, pytest.mark.unmeasured]

UUID_TEXT = r"[0-9a-f]{8}-[0-9a-f]{4}"


@pytest.fixture(scope="module", autouse=True)
def everything(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Payment]:
    """A payment with a row in every ledger, committed once for all tests of this module."""
    gateway = RecordingGateway("SHARED")
    free_amounts = override_settings(FEEXPAY={**settings.FEEXPAY, "PAYABLE": "any_amount"})
    with django_db_blocker.unblock(), free_amounts, conf.use_transport(gateway):
        payment = charge_twice(starter(User.objects.create_user("sena")), gateway)
        source = PaymentEvent.Source.ADMIN
        refunds.record(payment.pk, amount=1000, way="cash", reason="a gift", actor="1", source=source)
        make_payout(payment)
        daily_totals.rebuild()
    yield payment
    with django_db_blocker.unblock():
        emptying.empty()


@pytest.fixture
def charged_twice(everything: Payment, db: None) -> Payment:
    """The shared payment, with a refund of the credited charge and a payout, and counted in the daily totals."""
    return Payment.objects.for_reading().get(pk=everything.pk)


def first_row(name: str) -> models.Model:
    row: models.Model | None = apps.get_model("feexpay", name)._default_manager.first()
    assert row is not None
    return row


def columns(name: str) -> list[str]:
    """Every row as text: encrypted values have no equality."""
    return [str(row) for row in apps.get_model("feexpay", name)._default_manager.order_by("pk").values()]


def address(name: str, page: str, row: models.Model | None = None) -> str:
    return reverse(f"admin:feexpay_{name}_{page}", args=[] if row is None else [row.pk])


def test_admin_registers_every_model() -> None:
    registered = {model._meta.model_name for model in admin.site._registry if model._meta.app_label == "feexpay"}

    there_are = {model._meta.model_name for model in apps.get_app_config("feexpay").get_models()}
    assert registered == there_are - NOT_SHOWN
    assert registered == set(EVERYTHING)


@pytest.mark.parametrize("name", EVERYTHING)
def test_pages_open_for_a_superuser(name: str, superuser_client: Client, charged_twice: Payment) -> None:
    assert superuser_client.get(address(name, "changelist")).status_code == 200
    assert superuser_client.get(address(name, "change", first_row(name))).status_code == 200


@pytest.mark.parametrize("name", EVERYTHING)
def test_pages_open_for_staff_who_may_view(name: str, staff_client: StaffClient, charged_twice: Payment) -> None:
    client = staff_client(f"view_{name}")

    assert client.get(address(name, "changelist")).status_code == 200
    assert client.get(address(name, "change", first_row(name))).status_code == 200


@pytest.mark.parametrize("name", EVERYTHING)
def test_pages_are_closed_to_staff_who_may_not_view(
    name: str, staff_client: StaffClient, charged_twice: Payment
) -> None:
    client = staff_client()

    assert client.get(address(name, "changelist")).status_code == 403
    assert client.get(address(name, "change", first_row(name))).status_code == 403


@pytest.mark.parametrize("name", LEDGERS)
def test_ledger_takes_no_change_by_url(name: str, superuser_client: Client, charged_twice: Payment) -> None:
    before = columns(name)

    answer = superuser_client.post(
        address(name, "change", first_row(name)), {"status": "successful", "amount": 1, "note": "x"}
    )

    assert answer.status_code == 403
    assert columns(name) == before


@pytest.mark.parametrize("name", EVERYTHING)
def test_no_row_is_added_by_url(name: str, superuser_client: Client, charged_twice: Payment) -> None:
    rows = apps.get_model("feexpay", name)._default_manager
    before = rows.count()

    assert superuser_client.get(address(name, "add")).status_code == 403
    assert superuser_client.post(address(name, "add"), {"name": "x", "beat_at_0": "2026-01-01"}).status_code == 403
    assert rows.count() == before


@pytest.mark.parametrize("name", EVERYTHING)
def test_no_row_is_deleted_by_url(name: str, superuser_client: Client, charged_twice: Payment) -> None:
    rows = apps.get_model("feexpay", name)._default_manager
    before = rows.count()

    assert superuser_client.post(address(name, "delete", first_row(name)), {"post": "yes"}).status_code == 403
    assert rows.count() == before


@pytest.mark.parametrize("name", EVERYTHING)
def test_no_row_is_deleted_by_a_bulk_action(name: str, superuser_client: Client, charged_twice: Payment) -> None:
    rows = apps.get_model("feexpay", name)._default_manager
    before = rows.count()
    chosen = {"action": "delete_selected", ACTION_CHECKBOX_NAME: [first_row(name).pk], "post": "yes"}

    superuser_client.post(address(name, "changelist"), chosen)

    assert rows.count() == before


@pytest.mark.parametrize("name", [name for name in LEDGERS if name not in MADE_BY_HAND])
def test_list_costs_the_same_for_5_and_for_25_payments(
    name: str, superuser_client: Client, start_payment: StartPayment
) -> None:
    def statements(payments: int) -> int:
        for _ in range(payments):
            payment = start_payment(key=f"key-{Payment.objects.count()}")
            deliver(payment.attempt)
            payment.outbox.create(signal="payment_failed", created_at=payment.created_at)
        with CaptureQueriesContext(connection) as seen:
            assert superuser_client.get(address(name, "changelist")).status_code == 200
        return len(seen)

    statements(1)  # content types and permissions are read once a process

    assert statements(4) == statements(20)


def test_encrypted_columns_and_the_hash_are_never_shown(superuser_client: Client, charged_twice: Payment) -> None:
    attempt = charged_twice.attempt

    page = superuser_client.get(address("attempt", "change", attempt)).content.decode()

    assert attempt.masked_msisdn in page
    assert attempt.msisdn_hash not in page
    assert "Sealed" not in page
    assert "97000050" not in page


@pytest.mark.parametrize("name", [name for name in LEDGERS if name not in NOT_SEARCHED])
@pytest.mark.parametrize("term", ["payment", "attempt", "reference"])
def test_ledger_is_searched_by_ids_and_references_of_a_payment(
    name: str, term: str, superuser_client: Client, charged_twice: Payment, start_payment: StartPayment
) -> None:
    start_payment(key="tap-2")
    terms = {
        "payment": str(charged_twice.pk),
        "attempt": str(charged_twice.attempt.pk),
        "reference": str(charged_twice.attempt.gateway_reference),
    }

    rows = superuser_client.get(address(name, "changelist"), {"q": f" {terms[term]} "}).context["cl"].result_list

    assert {payment_of(row) for row in rows} == {charged_twice.pk}


def payment_of(row: Any) -> Any:
    by_attempt = row._meta.model_name in ("reviewproposal", "webhookdelivery")
    return row.attempt.payment_id if by_attempt else row.payment_id


def test_unmatched_delivery_is_found_by_its_reference(superuser_client: Client, charged_twice: Payment) -> None:
    stray = deliver(None, gateway_reference="STRAY-1")

    answer = superuser_client.get(address("webhookdelivery", "changelist"), {"q": "STRAY-1"})

    assert list(answer.context["cl"].result_list) == [stray]


def test_message_names_the_receivers_that_got_it(superuser_client: Client, charged_twice: Payment) -> None:
    message = OutboxMessage.objects.first()
    assert message is not None
    message.receipts.create(receiver="shop.receivers.give_coins")

    answer = superuser_client.get(address("outboxmessage", "change", message))

    assert "shop.receivers.give_coins" in answer.content.decode()


@pytest.mark.parametrize("name", EVERYTHING)
def test_page_of_a_reader_of_one_model_has_no_link_that_is_refused(
    name: str, staff_client: StaffClient, charged_twice: Payment
) -> None:
    client = staff_client(f"view_{name}")

    for page in (address(name, "changelist"), address(name, "change", first_row(name))):
        links = set(re.findall(r'<a\b[^>]*\bhref="(/admin/[^"#]+)"', client.get(page).content.decode()))
        assert [link for link in links if client.get(unescape(link)).status_code == 403] == []


def test_every_record_is_named_in_words_and_not_by_its_key(charged_twice: Payment) -> None:
    deliver(charged_twice.attempt)
    shown = [
        *(apps.get_model("feexpay", name) for name in LEDGERS if name != "idempotencyrecord"),
        apps.get_model("feexpay", "payoutevent"),
    ]
    for model in shown:
        str(model())  # also before it is saved
    rows = [row for model in shown for row in model._default_manager.all()]
    assert [row for row in rows if str(row) == str(row.pk) or re.search(UUID_TEXT, str(row))] == []
    assert {type(row).__name__ for row in rows} >= {"Payment", "Attempt", "Payout", "Refund", "Incident"}
