"""The lists: days of the shop's time zone, saved filters, and what each costs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import CharField
from django.db.models.functions import Cast
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from django_feexpay import conf
from django_feexpay.models import Attempt, Payment, PaymentEvent, WebhookDelivery
from django_feexpay.payments import incidents, refunds
from tests.admin.conftest import StartPayment, deliver
from tests.api.test_history import store_payments

pytestmark = [pytest.mark.django_db, pytest.mark.unmeasured]

LIST = "/admin/feexpay/payment/"
#: Every list with a date, by the field that the filter names.
DATED = {
    "attempt": "payment__created_at",
    "credit": "created_at",
    "dailytotal": "day",
    "discrepancy": "found_at",
    "incident": "opened_at",
    "payment": "created_at",
    "paymentevent": "created_at",
    "refund": "recorded_at",
    "staffaction": "created_at",
    "webhookdelivery": "received_at",
}


def rows(client: Client, address: str, query: Any = None) -> list[Any]:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return list(answer.context["cl"].result_list)


def started(payment: Payment, at: datetime) -> Payment:
    Payment.objects.filter(pk=payment.pk).update(created_at=at)
    return payment


# --- days --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        pytest.param("2026-10-01", "2026-10-31", {"first minute", "last minute"}, id="both included"),
        pytest.param("2026-10-31", "", {"last minute", "next day"}, id="from a day"),
        pytest.param("", "2026-10-01", {"day before", "first minute"}, id="to a day"),
        pytest.param("2026-10-02", "2026-10-30", set(), id="days without payments"),
    ],
)
def test_days_are_those_of_the_shop(
    first: str, last: str, expected: set[str], superuser_client: Client, start_payment: StartPayment, settings: Settings
) -> None:
    settings.TIME_ZONE = "Africa/Porto-Novo"  # an hour ahead of UTC
    times = {
        "day before": datetime(2026, 9, 30, 22, 59, tzinfo=UTC),
        "first minute": datetime(2026, 9, 30, 23, 0, tzinfo=UTC),
        "last minute": datetime(2026, 10, 31, 22, 59, tzinfo=UTC),
        "next day": datetime(2026, 10, 31, 23, 0, tzinfo=UTC),
    }
    for name, at in times.items():
        started(start_payment(merchant_reference=name), at)

    found = rows(superuser_client, LIST, {"created_at__from": first, "created_at__to": last})

    assert {payment.merchant_reference for payment in found} == expected


@pytest.mark.parametrize("name", DATED)
def test_list_is_filtered_by_days(name: str, superuser_client: Client, charged_twice: Payment) -> None:
    refund_of(charged_twice)
    page = superuser_client.get(f"/admin/feexpay/{name}/").content.decode()
    links = {title: unescape(link) for link, title in re.findall(r'<a href="([^"]+)">([^<]+)</a>', page)}

    assert rows(superuser_client, f"/admin/feexpay/{name}/{links['Past 7 days']}")
    assert not rows(superuser_client, f"/admin/feexpay/{name}/{links['Last month']}") or timezone.localdate().day < 8
    assert not rows(superuser_client, f"/admin/feexpay/{name}/", {f"{DATED[name]}__to": "2020-01-01"})
    assert f'<input type="date" name="{DATED[name]}__from"' in page


def refund_of(payment: Payment) -> None:
    source = PaymentEvent.Source.ADMIN
    refunds.record(payment.pk, amount=1000, way="cash", reason="a gift", actor="1", source=source)


def test_form_of_days_keeps_the_other_filters(superuser_client: Client, start_payment: StartPayment) -> None:
    start_payment()

    page = superuser_client.get(f"{LIST}?status=pending&created_at__from=2026-01-02&q=order").content.decode()
    form = page[page.index("feexpay-days-filter") :]
    form = form[: form.index("</form>")]

    assert '<input type="hidden" name="status" value="pending">' in form
    assert '<input type="hidden" name="q" value="order">' in form
    assert 'name="created_at__from" value="2026-01-02"' in form


def test_instants_of_another_page_are_shown(superuser_client: Client, start_payment: StartPayment) -> None:
    start_payment()

    page = superuser_client.get(f"{LIST}?created_at__gte=2020-01-01T00:00:00%2B00:00").content.decode()

    assert "since 1\u00a0Jan\u00a02020" in page
    assert '<li class="selected"><a href="?">Any date</a>' not in page


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-02-30"])
def test_text_that_is_no_day_is_refused(day: str, superuser_client: Client) -> None:
    answer = superuser_client.get(LIST, {"created_at__from": day})

    assert answer.status_code == 302
    assert answer["Location"] == f"{LIST}?e=1"


# --- saved filters -----------------------------------------------------------------------------------


def saved(client: Client, address: str = LIST) -> dict[str, tuple[str, str]]:
    """The links above a list: title, count and address."""
    page = client.get(address).content.decode()
    links = re.findall(r'<li><a href="([^"]+)"[^>]*>([^<]+) <strong>([^<]+)</strong>', page)
    return {title: (count, unescape(url)) for url, title, count in links}


def test_saved_filters_count_and_lead_to_their_payments(
    superuser_client: Client, start_payment: StartPayment, start_review: StartPayment, charged_twice: Payment
) -> None:
    long_ago = conf.now() - timedelta(minutes=16)
    start_payment()
    stuck = started(start_payment(), long_ago)
    failed = start_payment()
    Payment.objects.filter(pk=failed.pk).update(status="failed")
    older = started(start_payment(), conf.now() - timedelta(days=2))
    Payment.objects.filter(pk=older.pk).update(status="failed")
    review = start_review(phone="+229 01 97 00 00 52")

    found = {title: (count, rows(superuser_client, url)) for title, (count, url) in saved(superuser_client).items()}

    assert found == {
        "Stuck for 15 minutes or more": ("1", [stuck]),
        "Under review": ("1", [review]),
        "With an open incident": ("1", [charged_twice]),
        "Failed today": ("1", [failed]),
    }


def test_incident_that_is_closed_leaves_the_saved_filter(superuser_client: Client, charged_twice: Payment) -> None:
    for incident in charged_twice.incidents.all():
        incidents.close(
            incident.pk, resolution="kept_as_balance", note="agreed", actor="1", source=PaymentEvent.Source.ADMIN
        )

    assert saved(superuser_client)["With an open incident"][0] == "0"


def test_count_of_a_saved_filter_stops(
    superuser_client: Client, start_payment: StartPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_feexpay.admin.saved_filters.MAX_COUNT", 2)
    for _ in range(4):
        started(start_payment(), conf.now() - timedelta(hours=1))

    assert saved(superuser_client)["Stuck for 15 minutes or more"][0] == "2+"


def test_search_shows_the_saved_filters_without_counts(superuser_client: Client, start_payment: StartPayment) -> None:
    start_payment()

    page = superuser_client.get(LIST, {"q": "order"}).content.decode()

    assert '<a href="/admin/feexpay/payment/?show=stuck">Stuck for 15 minutes or more</a>' in page


def test_unmatched_deliveries_are_a_saved_filter(superuser_client: Client, charged_twice: Payment) -> None:
    address = "/admin/feexpay/webhookdelivery/"
    stray = deliver(None, gateway_reference="STRAY-1")

    count, url = saved(superuser_client, address)["Without a payment"]

    assert count == "1"
    assert rows(superuser_client, url) == [stray]
    assert WebhookDelivery.objects.count() > 1


def test_unknown_saved_filter_shows_all(superuser_client: Client, start_payment: StartPayment) -> None:
    payment = start_payment()

    assert rows(superuser_client, LIST, {"show": "nonsense"}) == [payment]


def test_payments_of_a_user(superuser_client: Client, start_payment: StartPayment, player: Any) -> None:
    payment, _guest = start_payment(), start_payment(user=None)

    assert rows(superuser_client, LIST, {"of_user": player.pk}) == [payment]
    assert rows(superuser_client, LIST, {"of_user": "nonsense"}) == []


def test_events_name_the_user_who_acted(superuser_client: Client, start_payment: StartPayment) -> None:
    payment, colleague = start_payment(), User.objects.create_user("nadia")
    for actor in (str(colleague.pk), "feexpay_reconcile"):
        event = PaymentEvent(payment=payment, attempt=payment.attempt, to_status="pending", because="confirmed")
        event.source, event.actor, event.created_at = PaymentEvent.Source.ADMIN, actor, conf.now()
        event.save()
    of_nadia = PaymentEvent.objects.get(actor=str(colleague.pk))

    page = superuser_client.get("/admin/feexpay/paymentevent/").content.decode()

    assert 'class="field-actor_shown">nadia</td>' in page
    assert 'class="field-actor_shown">feexpay_reconcile</td>' in page
    assert "nadia" in superuser_client.get(f"/admin/feexpay/paymentevent/{of_nadia.pk}/change/").content.decode()


# --- cost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *(f"/admin/feexpay/{name}/" for name in DATED),
        *(f"/admin/feexpay/{name}/?q=order-" for name in DATED if name != "dailytotal"),
        f"{LIST}?show=stuck",
        f"{LIST}?show=incident",
        f"{LIST}?q=nobody@example.com&created_at__from=2026-01-01&status=pending",
        "/admin/feexpay/webhookdelivery/?attempt__isempty=1",
        "/admin/feexpay/outboxmessage/?q=ayo",
        "/admin/feexpay/idempotencyrecord/?q=ayo",
    ],
)
def test_list_takes_at_most_12_statements_however_many_rows(
    address: str, superuser_client: Client, start_payment: StartPayment
) -> None:
    def statements(payments: int) -> list[dict[str, str]]:
        for _ in range(payments):
            payment = started(start_payment(key=f"key-{Payment.objects.count()}"), conf.now() - timedelta(hours=1))
            deliver(payment.attempt)
            deliver(None, gateway_reference=f"stray-{payment.pk}")
        with CaptureQueriesContext(connection) as seen:
            assert superuser_client.get(address).status_code == 200
        return [each for each in seen.captured_queries if " FROM " in each["sql"]]  # without the clock's

    statements(1)  # content types and permissions are read once a process

    few, many = statements(3), statements(12)
    assert len(few) == len(many) <= 12, [each["sql"][:300] for each in few]


@pytest.mark.parametrize("address", [LIST, "/admin/feexpay/attempt/"])
def test_later_page_joins_only_its_own_rows(address: str, superuser_client: Client, player: User) -> None:
    """PostgreSQL would join the rows that it skips to all tables of the list: 0.7 s for page 150 of a long list."""
    store_payments(player, 60)
    first, every = rows(superuser_client, address), rows(superuser_client, address, {"all": ""})

    with CaptureQueriesContext(connection) as seen:
        second = rows(superuser_client, address, {"p": 2})

    assert [each.pk for each in [*first, *second]] == [each.pk for each in every]
    assert (len(first), len(second)) == (50, 10)
    skipping = [each["sql"] for each in seen if "OFFSET 50" in each["sql"]]
    assert len(skipping) == 1
    assert "feexpay_provider" not in skipping[0]
    assert '"masked_msisdn"' not in skipping[0]


@pytest.mark.postgres_only
@pytest.mark.parametrize(
    ("address", "indexes"),
    [
        pytest.param(f"{LIST}?q=order-17", {"feexpay_pay_merchant_like"}, id="own reference"),
        pytest.param(f"{LIST}?q=REF-00", {"feexpay_attempt_ref_like"}, id="FeexPay reference"),
        pytest.param(f"{LIST}?q=aaaaaaaa", {"feexpay_payment_pkey", "feexpay_attempt_pkey"}, id="beginning of an id"),
        pytest.param("/admin/feexpay/attempt/?q=order-17", {"feexpay_pay_merchant_like"}, id="attempts"),
        pytest.param(f"{LIST}?show=stuck", {"feexpay_pay_status"}, id="stuck"),
        pytest.param(f"{LIST}?show=incident", {"feexpay_incident_open"}, id="open incident"),
        pytest.param(f"{LIST}?show=failed_today", {"feexpay_pay_status"}, id="failed today"),
        pytest.param(f"{LIST}?created_at__to=2020-01-01", {"feexpay_pay_newest"}, id="payments by day"),
        pytest.param(
            "/admin/feexpay/paymentevent/?created_at__to=2020-01-01", {"feexpay_event_newest"}, id="events by day"
        ),
        pytest.param(
            "/admin/feexpay/paymentevent/?source__exact=admin", {"feexpay_event_by_person"}, id="events of a person"
        ),
        pytest.param("/admin/feexpay/credit/?created_at__to=2020-01-01", {"feexpay_credit_day"}, id="credits by day"),
        pytest.param(
            "/admin/feexpay/webhookdelivery/?received_at__to=2020-01-01",
            {"feexpay_delivery_newest"},
            id="deliveries by day",
        ),
        pytest.param(
            "/admin/feexpay/staffaction/?created_at__to=2020-01-01", {"feexpay_staff_time"}, id="staff actions by day"
        ),
        pytest.param("/admin/feexpay/attempt/?status=review", {"feexpay_attempt_unpaid"}, id="attempts by status"),
        pytest.param(f"{LIST}?currency=USD", {"feexpay_pay_currency"}, id="payments in dollars"),
        pytest.param(
            "/admin/feexpay/outboxmessage/?signal__exact=payment_refunded",
            {"feexpay_outbox_signal"},
            id="signals of a kind",
        ),
    ],
)
def test_list_is_read_by_an_index(
    address: str, indexes: set[str], superuser_client: Client, start_payment: StartPayment, player: User
) -> None:
    """With few rows PostgreSQL would read the table, so this forbids it: a missing index shows as a sequential scan."""
    start_payment()
    store_payments(player, 300)
    Payment.objects.filter(merchant_reference="").update(merchant_reference=Cast("pk", CharField()))
    Attempt.objects.filter(gateway_reference=None).update(gateway_reference=Cast("pk", CharField()))
    with connection.cursor() as cursor:  # the statistics of an earlier test must not choose the plan
        cursor.execute("ANALYZE feexpay_payment, feexpay_attempt, feexpay_paymentevent")
    with CaptureQueriesContext(connection) as seen:
        rows(superuser_client, address)
    plans = []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for each in seen:
            if "feexpay_" in each["sql"] and each["sql"].startswith("SELECT"):
                cursor.execute(f"EXPLAIN {each['sql']}")
                plans.append("\n".join(row[0] for row in cursor.fetchall()))

    used = set(re.findall(r"(?:using|on) (feexpay_\w+)", "\n".join(plans)))
    assert indexes <= used
    big = ("feexpay_payment", "feexpay_attempt", "feexpay_paymentevent", "feexpay_credit", "feexpay_webhookdelivery")
    assert not re.findall(rf"Seq Scan on ({'|'.join(big)})\b", "\n".join(plans))
