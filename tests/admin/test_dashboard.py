"""The dashboard: figures that the linked lists confirm, by period and provider, for staff who may see them."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from django_feexpay import conf
from django_feexpay.admin.reason_texts import REASONS
from django_feexpay.models import Attempt, Payment, WebhookDelivery
from django_feexpay.payments import daily_totals, failure_reasons, webhook_rejects
from tests.admin.conftest import StaffClient, StartPayment, deliver
from tests.payments.fakes import Clock

DASHBOARD = "/admin/feexpay/dailytotal/dashboard/"
LINKED = re.compile(r'<a href="([^"]*/(?:payment|webhookdelivery)/\?[^"]*)">(.*?)</a>')


def page_of(client: Client, query: str = "") -> str:
    answer = client.get(DASHBOARD + query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def text_of(client: Client, query: str = "") -> str:
    return unescape(" ".join(re.sub(r"<[^>]*>", " ", page_of(client, query)).split())).replace("\u00a0", " ")


def linked_counts(page: str) -> list[tuple[str, int]]:
    """Each linked figure that is a plain count, with the address of its list."""
    found = [(unescape(url), text.replace("\u00a0", "")) for url, text in LINKED.findall(page)]
    return [(url, int(text)) for url, text in found if text.isdigit()]


def move_back(payment: Payment, days: int) -> None:
    """As if the payment had been started some days ago."""
    by = timedelta(days=days)
    for row in (Payment.objects.get(pk=payment.pk), payment.attempt):
        type(row)._default_manager.filter(pk=row.pk).update(
            created_at=row.created_at - by, settled_at=row.settled_at and row.settled_at - by
        )


@pytest.fixture
def noon(clock: Clock) -> None:
    """No payment of this day was started on the day before."""
    clock.at = clock.at.replace(hour=12)


@pytest.fixture
def counted(noon: None, charged_twice: Payment, start_payment: StartPayment, start_failed: StartPayment) -> None:
    """A success, two failures today, one three days and one ten days ago, and two that are open."""
    start_failed(phone="+229 01 97 00 00 51")
    for number, days in ((52, 3), (53, 10)):
        move_back(start_failed(phone=f"+229 01 97 00 00 {number}"), days)
    start_payment(phone="+229 01 97 00 00 54")
    old = start_payment(phone="+229 01 97 00 00 55", provider="moov_bj")
    Payment.objects.filter(pk=old.pk).update(created_at=conf.now() - timedelta(minutes=20))
    Attempt.objects.filter(status="failed").update(reason_code="declined")
    deliver(None)
    daily_totals.rebuild()


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("query", ["", "?days=1", "?days=30", "?days=7&provider=mtn_bj", "?days=30&provider=moov_bj"])
def test_every_count_is_the_length_of_the_list_behind_it(superuser_client: Client, query: str) -> None:
    counts = linked_counts(page_of(superuser_client, query))

    assert len(counts) >= 12
    wrong = {url: count for url, count in counts if superuser_client.get(url).context["cl"].result_count != count}
    assert wrong == {}


@pytest.mark.usefixtures("counted")
def test_every_link_opens(superuser_client: Client) -> None:
    links = {
        unescape(link) for link in re.findall(r'href="(/admin/feexpay/[^"]+)"', page_of(superuser_client, "?days=30"))
    }

    assert len(links) > 40
    assert [link for link in links if superuser_client.get(link).status_code != 200] == []


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?days=1", "Payments started 4 before: 0"),
        ("", "Payments started 5 before: 1 (+400 %)"),
        ("?days=30", "Payments started 6 before: 0"),
        ("?days=7&provider=moov_bj", "Payments started 1 before: 0"),
        ("?days=nonsense&provider=nonsense", "Payments started 5 before: 1"),
    ],
)
def test_period_and_provider_are_in_the_address(superuser_client: Client, query: str, expected: str) -> None:
    assert expected in text_of(superuser_client, query)


@pytest.mark.usefixtures("counted")
def test_sums_rate_and_reasons_of_a_period(superuser_client: Client) -> None:
    shown = text_of(superuser_client)

    assert "Credited 5 000 F CFA" in shown
    assert "Success rate 33 %" in shown  # one of the three of these seven days that ended
    assert "Why payments failed Reason Payments % declined 2 100 %" in shown
    assert "ayo 1 5 000 F CFA" in shown
    assert "15 min to 1 h 1 late" in shown


def test_rejected_webhooks_are_counted_for_a_day(superuser_client: Client) -> None:
    for hours in (0, 5, 23, 30):
        webhook_rejects.note(conf.now() - timedelta(hours=hours))

    assert "Rejected: proof missing or wrong 3" in text_of(superuser_client)


def test_rejected_webhook_adds_to_the_count(superuser_client: Client, settings: Settings) -> None:
    settings.FEEXPAY = {**settings.FEEXPAY, "WEBHOOK_MODES": ["header"], "WEBHOOK_SECRETS": ["Bearer secret-of-it"]}
    answer = Client().post("/api/v1/payments/feexpay/webhook/", "{}", content_type="application/json")

    assert answer.status_code == 401
    assert "Rejected: proof missing or wrong 1" in text_of(superuser_client)


def test_webhook_lag_is_the_time_until_the_outcome(superuser_client: Client, charged_twice: Payment) -> None:
    settled_at = charged_twice.attempt.settled_at
    assert settled_at is not None
    WebhookDelivery.objects.update(received_at=settled_at - timedelta(seconds=4))

    assert "From webhook to outcome: half within 4 s" in text_of(superuser_client)


def test_empty_dashboard_says_what_to_do(superuser_client: Client) -> None:
    assert "The payments were never counted. Start feexpay_worker , or run feexpay_totals once." in text_of(
        superuser_client
    )

    daily_totals.rebuild()

    assert "New payments appear here within a minute." in text_of(superuser_client)


@pytest.mark.usefixtures("counted")
def test_without_the_right_to_view_payments_figures_have_no_links_and_users_no_names(staff_client: StaffClient) -> None:
    page = page_of(staff_client("view_dailytotal"), "?days=30")

    assert "Payments started" in page
    assert re.findall(r'href="[^"]*/(?:payment|webhookdelivery|heartbeat)/', page) == []
    assert "Users by volume" not in page


@pytest.mark.usefixtures("counted")
def test_without_its_permission_nobody_gets_a_figure(staff_client: StaffClient) -> None:
    client = staff_client("view_payment")

    assert client.get(DASHBOARD).status_code == 403
    assert DASHBOARD not in client.get("/admin/feexpay/payment/overview/").content.decode()


@pytest.mark.usefixtures("counted")
def test_page_costs_fourteen_statements_and_two_fewer_within_a_minute(staff_client: StaffClient) -> None:
    client = staff_client("view_dailytotal", "view_payment", "view_webhookdelivery", "view_heartbeat")

    def statements() -> int:
        with CaptureQueriesContext(connection) as seen:
            page_of(client, "?days=30")
        return len(seen)

    assert [statements(), statements()] == [14, 12]


@pytest.mark.usefixtures("counted")
def test_page_has_no_inline_script_or_style(superuser_client: Client) -> None:
    page = page_of(superuser_client, "?days=30")
    own = page[page.index('id="feexpay-live"') :]

    assert "<svg" in own
    assert re.findall(r"<script(?![^>]*src=)|<style| style=| on\w+=|javascript:", own) == []
    assert '<script src="/static/feexpay/dashboard.js" defer></script>' in page
    assert finders.find("feexpay/dashboard.js")


@pytest.mark.usefixtures("counted")
def test_page_is_french_for_french_staff() -> None:
    client = Client(headers={"Accept-Language": "fr"})
    client.force_login(User.objects.create_superuser("awa"))

    shown = text_of(client)

    assert "Crédité 5 000 F CFA" in shown
    assert "95 % des crédits en moins de" in shown


def test_every_reason_for_payers_has_words_for_staff() -> None:
    assert set(failure_reasons.REASONS) - set(REASONS) == set()
