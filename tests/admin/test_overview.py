"""The front page: what waits, with sums that the linked lists confirm; for the eyes of those who may view the lists."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin import site
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_feexpay import conf
from django_feexpay.gateway.client import CallSeen
from django_feexpay.gateway.errors import OutcomeUnknownError
from django_feexpay.models import Comparison, Heartbeat, OutboxMessage, Payment, Provider
from django_feexpay.payments import refunds
from django_feexpay.payments.admission import circuit_breaker
from django_feexpay.payments.ledger import Source
from tests.admin.conftest import StaffClient, StartPayment, make_discrepancy, make_payout
from tests.conftest import Configure
from tests.payments.fakes import Clock

OVERVIEW = "/admin/feexpay/payment/overview/"
CARD = re.compile(
    r'<a class="feexpay-card feexpay-card--\w+" href="([^"]+)">\s*<span class="feexpay-card-title">([^<]+)</span>\s*'
    r'<strong class="feexpay-card-value">(\d+)</strong>(?:\s*<span class="feexpay-card-money">(.*?)</span>\s*</a>)?'
)


def cards(client: Client, address: str = OVERVIEW) -> dict[str, tuple[str, int, str]]:
    """Of each card by its title: the address of its list, the count and the money."""
    page = client.get(address).content.decode()
    return {
        unescape(title): (unescape(url), int(count), re.sub("<[^>]*>", "", money or ""))
        for url, title, count, money in CARD.findall(page)
    }


def rows_behind(client: Client, url: str) -> int:
    answer = client.get(url)
    assert answer.status_code == 200, url
    return int(answer.context["cl"].result_count)


def text_of(client: Client) -> str:
    page = re.sub(r"<[^>]*>", " ", client.get(OVERVIEW).content.decode())
    return unescape(" ".join(page.split()))


@pytest.fixture
def busy(charged_twice: Payment, start_payment: StartPayment, start_review: StartPayment, configure: Configure) -> None:
    """One of everything that waits; two payments under review, and one that is open but young."""
    configure(PAYOUTS=True)
    start_review()
    start_review(amount=6000)
    start_payment(phone="+229 01 97 00 00 51")
    old = start_payment(phone="+229 01 97 00 00 52", amount=1200)
    Payment.objects.filter(pk=old.pk).update(created_at=conf.now() - timedelta(minutes=16))
    make_discrepancy(charged_twice.attempt, their_amount=5100)
    make_discrepancy(charged_twice.attempt, money_at_stake=False)
    OutboxMessage.objects.update(created_at=conf.now() - timedelta(minutes=5))
    OutboxMessage.objects.filter(payment=old).delete()
    make_payout(charged_twice)
    refunds.record(charged_twice.pk, amount=700, way="payout", reason="ticket 7", actor="1", source=Source.ADMIN)


@pytest.mark.usefixtures("busy")
def test_every_count_is_the_length_of_the_list_behind_it(superuser_client: Client) -> None:
    found = cards(superuser_client)

    assert {title: count for title, (_, count, _money) in found.items()} == {
        "Payments under review": 2,
        "Open for more than 15 minutes": 1,
        "Decisions to approve": 0,
        "Double charges to refund": 1,
        "Credited, then taken back by FeexPay": 0,
        "Payouts that FeexPay undid": 0,
        "Refunds to approve": 1,
        "Payouts with an unknown outcome": 1,
        "Differences with money at stake": 2,
        "Open alerts": 1,
        "Signals not delivered": OutboxMessage.objects.filter(next_delivery_at__isnull=False).count(),
    }
    assert [title for title, (url, count, _money) in found.items() if rows_behind(superuser_client, url) != count] == []


@pytest.mark.usefixtures("busy")
def test_cards_show_the_money(superuser_client: Client) -> None:
    money = {title: shown for title, (_url, _count, shown) in cards(superuser_client).items() if shown}

    assert money == {
        "Payments under review": "11\u00a0000\u00a0F\u00a0CFA",
        "Open for more than 15 minutes": "1\u00a0200\u00a0F\u00a0CFA",
        "Double charges to refund": "5\u00a0000\u00a0F\u00a0CFA",
        "Refunds to approve": "700\u00a0F\u00a0CFA",
        "Payouts with an unknown outcome": "1\u00a0000\u00a0F\u00a0CFA",
        "Differences with money at stake": "10\u00a0100\u00a0F\u00a0CFA",
    }


def test_without_work_the_page_says_that_nothing_waits(superuser_client: Client) -> None:
    page = text_of(superuser_client)

    assert "Nothing waits. Payments go on by themselves." in page
    assert "Never started Start feexpay_worker" in page


@pytest.mark.usefixtures("busy")
def test_app_index_begins_with_the_same_cards(superuser_client: Client) -> None:
    assert cards(superuser_client, "/admin/feexpay/").keys() == cards(superuser_client).keys()


def test_app_index_offers_each_list_once(superuser_client: Client) -> None:
    page = superuser_client.get("/admin/feexpay/").content.decode()
    lists = page[page.index('class="feexpay-lists"') :]

    offered = re.findall(r'<a href="/admin/feexpay/(\w+)/">', lists)

    ours = apps.get_app_config("feexpay").get_models()
    assert sorted(offered) == sorted(str(model._meta.model_name) for model in ours if site.is_registered(model))


def test_app_index_of_staff_without_a_section_has_only_their_lists(staff_client: StaffClient) -> None:
    page = staff_client("view_credit").get("/admin/feexpay/").content.decode()

    assert "feexpay-overview" not in page
    assert re.findall(r"<h3>(.*?)</h3>", page) == ["Payments"]
    assert re.findall(r'<li><a href="/admin/feexpay/(\w+)/">', page) == ["credit"]


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(
    ("permission", "shown"),
    [
        ("view_payment", ["Open for more than 15 minutes", "Payments under review"]),
        (
            "view_incident",
            ["Credited, then taken back by FeexPay", "Double charges to refund", "Payouts that FeexPay undid"],
        ),
        ("view_refund", ["Refunds to approve"]),
        ("view_payout", ["Payouts with an unknown outcome"]),
        ("view_discrepancy", ["Differences with money at stake"]),
        ("view_outboxmessage", ["Signals not delivered"]),
        ("view_heartbeat", []),
    ],
)
def test_staff_see_only_the_sections_of_their_permissions(
    staff_client: StaffClient, permission: str, shown: list[str]
) -> None:
    client = staff_client(permission)
    page = client.get(OVERVIEW).content.decode()

    own = page[page.index('class="feexpay-overview"') :]
    links = {unescape(link) for link in re.findall(r'href="([^"]+)"', own)}
    assert sorted(cards(client)) == shown
    assert [link for link in links if client.get(link).status_code != 200] == []


def test_staff_who_may_see_no_section_are_refused(staff_client: StaffClient) -> None:
    assert staff_client("view_credit").get(OVERVIEW).status_code == 403
    assert Client().get(OVERVIEW).status_code == 302


@pytest.mark.usefixtures("busy")
def test_page_costs_ten_statements(staff_client: StaffClient) -> None:
    client = staff_client(
        *("view_payment", "view_incident", "view_discrepancy", "view_outboxmessage", "view_heartbeat"),
        *("view_comparison", "view_provider", "view_reviewproposal", "view_refund", "view_payout"),
    )

    with CaptureQueriesContext(connection) as seen:
        client.get(OVERVIEW)

    assert len(seen) == 10


@pytest.mark.parametrize(
    ("age", "words"), [(timedelta(minutes=1), "At work"), (timedelta(minutes=4), "Silent")], ids=["alive", "silent"]
)
def test_worker_is_alive_or_silent(superuser_client: Client, clock: Clock, age: timedelta, words: str) -> None:
    Heartbeat.objects.create(name="worker", beat_at=clock.at - age)

    assert f"Background work {words}" in text_of(superuser_client)


@pytest.mark.parametrize(("hours", "words"), [(20, "Complete"), (51, "Overdue")], ids=["last night", "two nights ago"])
def test_last_nightly_comparison_is_shown(superuser_client: Client, clock: Clock, hours: int, words: str) -> None:
    at = clock.at - timedelta(hours=hours)
    times = {"started_at": at, "beat_at": at, "finished_at": at}
    Comparison.objects.create(first_day=at, last_day=at, night=at, state="complete", open_count=3, **times)

    assert f"Nightly comparison {words}" in text_of(superuser_client)


# --- providers ---------------------------------------------------------------------------------------


def row_of(client: Client, name: str, address: str = OVERVIEW) -> str:
    page = client.get(address).content.decode()
    row = next(row for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL) if name in row)
    return unescape(" ".join(re.sub(r"<[^>]*>", " ", row).split()))


def fail(provider: str | None, count: int = 5) -> None:
    lost = OutcomeUnknownError("lost", code="timeout")
    for _ in range(count):
        circuit_breaker.record(CallSeen("collect", "lost", 0.0, provider_code=provider, http_status=502, error=lost))


def answer(operation: str = "status") -> None:
    circuit_breaker.record(CallSeen(operation=operation, outcome="answered", seconds=0.0, http_status=200))


def only_provider_fails(code: str) -> None:
    """Its circuit opens; FeexPay's does not, because other calls succeed between the failures."""
    for _ in range(5):
        fail(code, 1)
        answer()


def test_failing_provider_is_in_trouble_in_the_same_words_on_both_pages(superuser_client: Client, clock: Clock) -> None:
    only_provider_fails("orange_ci")

    words = "In trouble Orange Money (Côte d'Ivoire) has a problem at the moment."
    front, listed = (
        row_of(superuser_client, "Orange Money"),
        row_of(superuser_client, "orange_ci", "/admin/feexpay/provider/"),
    )
    assert words in front
    assert "since" in front
    assert words in listed
    assert "Switched on" in row_of(superuser_client, "mtn_bj", "/admin/feexpay/provider/")
    assert "In trouble" in superuser_client.get("/admin/feexpay/provider/orange_ci/change/").content.decode()


def test_failing_gateway_stops_every_provider(
    superuser_client: Client, clock: Clock, start_payment: StartPayment
) -> None:
    start_payment()
    fail("mtn_bj")

    for row in (
        row_of(superuser_client, "MTN Mobile Money (Benin)"),
        row_of(superuser_client, "orange_ci", "/admin/feexpay/provider/"),
    ):
        assert "In trouble FeexPay does not answer at the moment." in row
    assert re.search("FeexPay In trouble .* FeexPay does not answer at the moment.", text_of(superuser_client))


def test_success_rate_counts_the_payments_that_ended(
    superuser_client: Client, start_payment: StartPayment, start_failed: StartPayment, charged_twice: Payment
) -> None:
    start_failed()
    start_payment()
    yesterday = start_failed()
    Payment.objects.filter(pk=yesterday.pk).update(created_at=conf.now() - timedelta(hours=20))

    row = row_of(superuser_client, "MTN Mobile Money (Benin)")
    url = unescape(
        re.findall(r'<a href="([^"]*status__in[^"]*)">', superuser_client.get(OVERVIEW).content.decode())[-1]
    )

    assert "50 % (1 of 2)" in row
    assert "33 % (1 of 3)" in row
    assert rows_behind(superuser_client, url) == 3


def test_providers_without_payments_are_counted_and_linked(superuser_client: Client) -> None:
    Provider.objects.filter(pk="mtn_bj").update(enabled=False)
    page = superuser_client.get(OVERVIEW).content.decode()

    idle = re.search(r'<a href="([^"]+)">(\d+) providers are switched on and had no payment', page)
    assert idle is not None
    assert (
        int(idle[2])
        == Provider.objects.filter(enabled=True).count()
        == rows_behind(superuser_client, unescape(idle[1]))
    )
    assert "mtn_bj" not in page


def test_list_of_providers_reads_no_statement_more_for_its_circuits(superuser_client: Client) -> None:
    with CaptureQueriesContext(connection) as seen:
        superuser_client.get("/admin/feexpay/provider/")

    assert len(seen) == 4


def test_page_has_no_inline_script_or_style(superuser_client: Client, busy: Any) -> None:
    page = superuser_client.get(OVERVIEW).content.decode()
    own = page[page.index('class="feexpay-overview"') : page.index("</main>") if "</main>" in page else None]

    assert re.findall(r"<script(?![^>]*src=)|<style| style=| on\w+=", own) == []


@pytest.mark.django_db
def test_page_is_french_for_french_staff() -> None:
    client = Client(headers={"Accept-Language": "fr"})
    client.force_login(User.objects.create_superuser("awa"))

    assert "Rien à traiter. Les paiements suivent leur cours." in text_of(client)
