"""The page of one payment: its history in order, with every text escaped."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_feexpay.models import Attempt, Payment
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from tests.admin.conftest import StaffClient, StartPayment, deliver, page_of
from tests.admin.recording_transport import RecordingGateway

pytestmark = pytest.mark.django_db

ATTACK = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


def text_of(client: Client, payment: Payment) -> str:
    answer = client.get(page_of(payment))
    assert answer.status_code == 200
    return answer.content.decode()


def test_timeline_lists_every_change_in_order(superuser_client: Client, charged_twice: Payment) -> None:
    page = text_of(superuser_client, charged_twice)
    timeline = page[page.index('class="feexpay-timeline"') :]

    moves = re.findall(r'<code class="feexpay-code">(\w+)</code>', timeline)

    assert moves == ["started", "accepted", "failed", "retried", "accepted", "confirmed", "confirmed"]


def test_timeline_names_the_user_who_acted(
    superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_payment()
    colleague = User.objects.create_user("nadia")
    gateway.statuses["REF-0001"] = "SUCCESSFUL"
    reconcile(payment.attempt.pk, source=Source.ADMIN, actor=str(colleague.pk), note="The payer called")

    page = text_of(superuser_client, payment)

    assert "by: Admin · nadia" in page
    assert "<blockquote>The payer called</blockquote>" in page


def test_timeline_shows_an_actor_who_is_no_user(
    superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_payment()
    gateway.statuses["REF-0001"] = "FAILED"
    reconcile(payment.attempt.pk, source=Source.WORKER, actor="night shift")

    assert "by: Worker · night shift" in text_of(superuser_client, payment)


def test_page_shows_credit_incident_delivery_and_signals(superuser_client: Client, charged_twice: Payment) -> None:
    page = text_of(superuser_client, charged_twice)

    assert "by attempt 1" in page
    assert "charged twice: refund one" in page
    assert "Webhook deliveries" in page
    assert [signal in page for signal in ("payment failed", "payment succeeded late", "duplicate charge found")] == [
        True,
        True,
        True,
    ]


def test_page_escapes_texts_of_payers_and_senders(superuser_client: Client, start_payment: StartPayment) -> None:
    payment = start_payment(description=ATTACK, merchant_reference=ATTACK, metadata={ATTACK: ATTACK})
    deliver(payment.attempt, reported_status=ATTACK, body={ATTACK: ATTACK})

    page = text_of(superuser_client, payment)

    assert ATTACK not in page
    assert page.count(ESCAPED) >= 7


def test_page_escapes_the_reason_and_the_gateways_words(
    superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    gateway.refusal = ATTACK
    payment = start_payment()
    cleaned = payment.attempt.reason_text
    Attempt.objects.filter(payment=payment).update(reason_text=ATTACK)  # as an earlier version kept it

    page = text_of(superuser_client, payment)

    assert "<" not in cleaned
    assert ATTACK not in page
    assert ESCAPED in page


def test_list_escapes_texts_of_payers(superuser_client: Client, start_payment: StartPayment) -> None:
    start_payment(merchant_reference=ATTACK)

    page = superuser_client.get("/admin/feexpay/payment/").content.decode()

    assert ATTACK not in page
    assert ESCAPED in page


def test_page_never_shows_the_number(superuser_client: Client, start_payment: StartPayment) -> None:
    page = text_of(superuser_client, start_payment(phone="+229 01 97 00 00 50"))

    assert "+229 01 •• •• •• 50" in page
    assert "97000050" not in page.replace(" ", "")


def test_page_costs_the_same_for_a_long_history(
    superuser_client: Client, start_payment: StartPayment, charged_twice: Payment
) -> None:
    def statements(payment: Payment) -> int:
        with CaptureQueriesContext(connection) as seen:
            text_of(superuser_client, payment)
        return len(seen)

    statements(charged_twice)  # content types and permissions are read once a process
    before = statements(charged_twice)
    for _ in range(20):
        deliver(charged_twice.attempt)

    assert statements(charged_twice) == before


def test_page_shows_only_the_newest_rows(superuser_client: Client, start_payment: StartPayment) -> None:
    payment = start_payment()
    for number in range(102):
        deliver(payment.attempt, reported_status=f"WORD-{number:03}")

    page = text_of(superuser_client, payment)

    assert re.findall(r"WORD-\d+", page) == [f"WORD-{number:03}" for number in range(2, 102)]


@pytest.mark.parametrize(
    ("permission", "shown"),
    [
        pytest.param("reconcile_payment", ["Ask FeexPay now"], id="ask"),
        pytest.param("retry_payment", ["Retry"], id="retry"),
    ],
)
def test_page_offers_only_permitted_actions(
    permission: str, shown: list[str], staff_client: StaffClient, start_payment: StartPayment
) -> None:
    payment = start_payment()

    page = text_of(staff_client("view_payment", permission), payment)

    assert re.findall(rf'payment={payment.pk}">([^<]+)</a>', page) == shown


def test_page_of_an_unknown_payment_redirects_to_the_list(superuser_client: Client) -> None:
    answer = superuser_client.get("/admin/feexpay/payment/00000000-0000-4000-8000-000000000000/change/")

    assert answer.status_code == 302
