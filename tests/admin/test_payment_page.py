"""The page of one payment: its history in order, with every text escaped."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.formats import date_format
from django.utils.timezone import localtime

from django_feexpay import Payable, conf
from django_feexpay.catalogue import money
from django_feexpay.models import Attempt, Payment, PaymentEvent
from django_feexpay.payments import outbox, refunds
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.privacy import erasure, subjects
from tests.admin.conftest import StaffClient, StartPayment, deliver, page_of
from tests.admin.recording_transport import RecordingGateway
from tests.conftest import Configure
from tests.payments.tampering import tamper

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

    assert "<strong>nadia</strong> in the back office" in page
    assert "<blockquote>The payer called</blockquote>" in page


def test_timeline_shows_an_actor_who_is_no_user(
    superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_payment()
    gateway.statuses["REF-0001"] = "FAILED"
    reconcile(payment.attempt.pk, source=Source.WORKER, actor="night shift")

    assert "<strong>night shift</strong> by the worker" in text_of(superuser_client, payment)


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


# --- what it waits for -------------------------------------------------------------------------------


def steps_of(client: Client, payment: Payment) -> list[tuple[str, list[str]]]:
    """The title of each step above everything else of the page, and the titles of its links."""
    page = text_of(client, payment)
    top = page[page.index("feexpay-head") : page.index('id="feexpay-timeline"')]
    parts = re.findall(r"<li[^>]*>\s*<h2>([^<]+)</h2>(.*?)</li>", top, re.DOTALL)
    return [(title, re.findall(r'class="button" href="[^"]+">([^<]+)</a>', rest)) for title, rest in parts]


def test_payment_that_waits_for_nothing_says_nothing(superuser_client: Client, start_failed: StartPayment) -> None:
    payment = start_failed()
    payment.outbox.update(delivered_at=payment.created_at, next_delivery_at=None)

    assert steps_of(superuser_client, payment) == []


def test_double_charge_is_told_at_the_top_with_what_is_owed(superuser_client: Client, charged_twice: Payment) -> None:
    page = text_of(superuser_client, charged_twice)

    assert steps_of(superuser_client, charged_twice)[0] == (
        "The payer was charged twice",
        ["Record a refund", "Close the incident", "Open the incident"],
    )
    top = page[page.index("feexpay-head") : page.index('id="feexpay-timeline"')]
    assert f"{money.show(5000, 'XOF')}</span> are owed to the payer" in top
    assert f"FeexPay's reference: {charged_twice.incidents.get().gateway_reference}" in top


def test_refunded_double_charge_waits_for_its_closing(superuser_client: Client, charged_twice: Payment) -> None:
    incident = charged_twice.incidents.get()
    refunds.record(
        charged_twice.pk,
        incident_id=incident.pk,
        amount=5000,
        way="cash",
        reason="given back",
        actor="1",
        source=Source.ADMIN,
    )

    page = text_of(superuser_client, charged_twice)

    assert "The second charge went back to the payer. Close the incident." in page
    assert steps_of(superuser_client, charged_twice)[0][1] == ["Close the incident", "Open the incident"]


def test_open_difference_is_told_and_linked_both_ways(superuser_client: Client, charged_twice: Payment) -> None:
    row = charged_twice.discrepancies.get()
    page = text_of(superuser_client, charged_twice)
    address = f"/admin/feexpay/discrepancy/{row.pk}/change/"

    assert ("It differs from FeexPay&#x27;s history", ["Open the difference"]) in steps_of(
        superuser_client, charged_twice
    )
    assert page.count(f'href="{address}"') == 2
    assert f'href="{page_of(charged_twice)}"' in superuser_client.get(address).content.decode()


def test_stuck_payment_tells_its_age_cause_and_next_poll(
    superuser_client: Client, staff_client: StaffClient, start_payment: StartPayment
) -> None:
    payment = start_payment()
    Payment.objects.filter(pk=payment.pk).update(created_at=conf.now() - timedelta(hours=3))

    page = text_of(superuser_client, payment)

    assert steps_of(superuser_client, payment) == [("Open for 3\u00a0hours", ["Ask FeexPay now"])]
    assert "FeexPay accepted it and has not been asked since. FeexPay is asked next:" in page
    assert steps_of(staff_client("view_payment"), payment) == [("Open for 3\u00a0hours", [])]


def test_stuck_payment_whose_poll_is_overdue_names_the_worker(
    superuser_client: Client, start_payment: StartPayment
) -> None:
    payment = start_payment()
    Payment.objects.filter(pk=payment.pk).update(created_at=conf.now() - timedelta(hours=3))
    payment.attempts.update(next_poll_at=conf.now() - timedelta(hours=1))

    assert "Is the worker running?" in text_of(superuser_client, payment)


def test_signal_that_the_shop_did_not_take_is_told(superuser_client: Client, start_failed: StartPayment) -> None:
    payment = start_failed()
    payment.outbox.update(created_at=conf.now() - timedelta(days=1), last_error="ValueError")

    assert steps_of(superuser_client, payment) == [("The shop does not know yet", ["Send the signal again"])]
    assert "ValueError" in text_of(superuser_client, payment)


@pytest.mark.parametrize(
    ("columns", "because", "words"),
    [
        pytest.param({"otp_required": True}, "accepted", "The payer has not typed the code.", id="code"),
        pytest.param({"redirect_url": "https://x.example"}, "accepted", "has not paid on the payment page", id="page"),
        pytest.param({"poll_count": 3}, "accepted", "FeexPay says each time that it is pending.", id="pending"),
        pytest.param({"status": "sending"}, "sent", "It is being sent to FeexPay.", id="sending"),
        pytest.param({"status": "created"}, "started", "It was not sent to FeexPay yet.", id="created"),
        pytest.param({"status": "created"}, "not_sent", "The request was not sent; it will be sent again.", id="again"),
        pytest.param({"status": "unknown"}, "sender_died", "The process that sent it stopped", id="process died"),
        pytest.param({"status": "unknown"}, "of another release", "FeexPay&#x27;s answer was lost.", id="unknown code"),
    ],
)
def test_list_of_stuck_payments_tells_why(
    columns: dict[str, str], because: str, words: str, superuser_client: Client, start_payment: StartPayment
) -> None:
    payment = start_payment()
    attempt = payment.attempt
    status = columns.get("status", "pending")
    Payment.objects.filter(pk=payment.pk).update(created_at=conf.now() - timedelta(hours=3), status=status)
    Attempt.objects.filter(pk=attempt.pk).update(**columns)
    PaymentEvent.objects.create(
        payment=payment, attempt=attempt, to_status=status, because=because, source="worker", created_at=conf.now()
    )

    page = superuser_client.get("/admin/feexpay/payment/?show=stuck").content.decode()

    assert words in page
    assert "3\u00a0hours" in page


# --- links -------------------------------------------------------------------------------------------


class Orders(Payable):
    """A shop whose pages of orders are open to superusers."""

    def price(self, *, amount: int, **asked: Any) -> int:
        return amount

    def admin_url(self, payment: Payment, staff: Any) -> str:
        return f"/admin/orders/{payment.merchant_reference}/" if staff.is_superuser else ""


def test_page_links_to_what_was_paid_for(
    superuser_client: Client, staff_client: StaffClient, start_payment: StartPayment, configure: Configure
) -> None:
    payment = start_payment(merchant_reference="order-7")
    configure(PAYABLE="tests.admin.test_payment_page.Orders")

    assert '<a href="/admin/orders/order-7/">What was paid for</a>' in text_of(superuser_client, payment)
    assert "What was paid for" not in text_of(staff_client("view_payment"), payment)


def test_page_links_to_the_users_payments_and_the_credit(superuser_client: Client, charged_twice: Payment) -> None:
    page = text_of(superuser_client, charged_twice)

    assert f'<a href="/admin/feexpay/payment/?of_user={charged_twice.user_id}">All payments of ayo</a>' in page
    credit = f"/admin/feexpay/credit/{charged_twice.pk}/change/"
    assert f'href="{credit}"' in page
    assert f'href="{page_of(charged_twice)}"' in superuser_client.get(credit).content.decode()


def test_page_takes_few_statements_even_with_open_incidents(superuser_client: Client, charged_twice: Payment) -> None:
    text_of(superuser_client, charged_twice)  # content types and permissions are read once a process

    with CaptureQueriesContext(connection) as seen:
        text_of(superuser_client, charged_twice)

    assert len(seen) <= 30  # one of them proves the chain of the history


# --- the proof of the history --------------------------------------------------------------------------


def test_auditor_sees_that_the_history_is_intact(staff_client: StaffClient, charged_twice: Payment) -> None:
    page = text_of(staff_client("view_payment", "view_staffaction"), charged_twice)

    assert "History intact" in page
    assert "History" not in text_of(staff_client("view_payment"), charged_twice).replace("History</a>", "")


def test_auditor_sees_which_rows_were_changed(staff_client: StaffClient, charged_twice: Payment) -> None:
    event = charged_twice.events.earliest("id")
    tamper("UPDATE feexpay_paymentevent SET note = 'x' WHERE id = %s", event.pk)

    page = text_of(staff_client("view_payment", "view_staffaction"), charged_twice)

    assert "History changed" in page
    assert f"Rows: event {event.pk}." in page
    assert f"feexpay_verify_audit --payment {charged_twice.pk}" in page


def test_older_history_is_not_called_changed(staff_client: StaffClient, charged_twice: Payment) -> None:
    tamper("UPDATE feexpay_paymentevent SET hash = '', key_id = '', position = NULL")
    Payment.objects.update(event_count=0, chain_hash="")

    assert "Not chained" in text_of(staff_client("view_payment", "view_staffaction"), charged_twice)


def test_page_says_that_the_payer_was_erased_and_when(
    superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_payment()
    gateway.statuses["REF-0001"] = "SUCCESSFUL"
    reconcile(payment.attempt.pk, source=Source.WORKER)
    outbox.deliver()
    words = "The payer was erased at their request or because of the age of the payment"
    assert words not in text_of(superuser_client, payment)

    erasure.erase(subjects.of_user(str(payment.user)), actor="1", source=Source.ADMIN)

    payment.refresh_from_db()
    shown = date_format(localtime(payment.erased_at), "j F Y, H:i")
    assert f"{words}: {shown}." in text_of(superuser_client, payment)
    Payment.objects.update(erased_at=None)  # by an earlier release
    assert f"{words}." in text_of(superuser_client, payment)


def test_page_offers_its_actions_as_links_only(superuser_client: Client, charged_twice: Payment) -> None:
    """From Django 6.1 on, the page of a record could also have a menu of the list's actions."""
    page = superuser_client.get(page_of(charged_twice)).content.decode()

    assert "Record a refund" in page
    assert re.findall(r'<select name="[^"]*action"', page) == []
