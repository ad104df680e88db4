"""The questions that the back office answers without a developer: who asks, which clicks, and what the page says.

Each walk begins on the front page, after signing in. `make admin-shots` keeps a picture of where it ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Sum

from django_feexpay.models import Credit
from django_feexpay.payments.statements import Period
from tests.browser import office
from tests.browser.chromium import DESKTOP, PHONE, Browser
from tests.browser.office import Office

#: Clicks to the answer, or to the form that does what was asked.
MOST_CLICKS = 3

_CARD, _MODEL, _ROW = "a.feexpay-card", ".feexpay-lists a", "#result_list tbody tr th a"

Step = Callable[[Browser, Office], None]


def nothing(*_anything: object) -> None:
    """For a question that needs no preparation, or no form."""


@dataclass(frozen=True, slots=True)
class Question:
    """`walk` clicks to the answer and asserts it. `act` then fills the form and asserts what it did.

    `picture_of`: the part of the last page that shows the answer, no taller than `height`.
    """

    name: str
    role: str
    walk: Step
    picture_of: str
    act: Step = nothing
    prepare: Callable[[], None] = nothing
    size: tuple[int, int] = DESKTOP
    height: int = 640


# --- what support asks ---------------------------------------------------------------------------------


def where_is_the_money(browser: Browser, site: Office) -> None:
    browser.go(_MODEL, "Payments")
    browser.fill("q", str(site.paid.attempt.gateway_reference).lower())
    browser.go("#changelist-search [type=submit]")
    browser.go(_ROW, str(site.paid.pk)[:8])

    assert browser.path().startswith(f"/admin/feexpay/payment/{site.paid.pk}/")
    assert "5 000 F CFA" in browser.text(".feexpay-head")
    assert "Successful" in browser.text(".feexpay-head")
    assert "What happened" in browser.text()


# --- what operations asks ------------------------------------------------------------------------------


def which_payments_are_stuck(browser: Browser, site: Office) -> None:
    browser.go(_CARD, "Open for more than 15 minutes")

    row = browser.row(str(site.stuck.pk)[:8])
    assert re.search(r"5\d minutes|1 hour", row)  # it was 50 minutes before the first test of the folder
    assert "FeexPay accepted it and has not been asked since." in row


def how_did_the_month_go(browser: Browser, site: Office) -> None:
    browser.go(".feexpay-elsewhere a", "Dashboard")
    browser.go(".feexpay-choices a", "30 days")

    assert "THE PERIOD AGAINST THE ONE BEFORE" in browser.text().upper()
    assert browser.find("#feexpay-live svg")


def is_orange_down(browser: Browser, site: Office) -> None:
    row = browser.row("Orange Money (Senegal)", "#content table")
    assert "In trouble" in row


# --- what finance asks ---------------------------------------------------------------------------------


def what_did_mtn_benin_earn(browser: Browser, site: Office) -> None:
    browser.go(_MODEL, "Payments")
    browser.go(".object-tools a", "Statement")
    browser.fill("provider", "MTN Mobile Money (Benin)")
    browser.go(".feexpay-period [type=submit]")

    month = Period.last_month()
    credits = Credit.objects.filter(payment__provider="mtn_bj", created_at__gte=month.start, created_at__lt=month.end)
    gross = credits.aggregate(total=Sum("amount"))["total"]
    assert f"{gross:,} F CFA".replace(",", " ") in browser.row("MTN Mobile Money (Benin)", ".feexpay-figures")
    assert "NET" in browser.text(".feexpay-figures thead").upper()


def what_differs_from_feexpay(browser: Browser, site: Office) -> None:
    browser.go(_CARD, "Differences with money at stake")

    row = browser.row(str(site.differing.pk)[:8])
    assert "Successful 5 000 F CFA Failed" in row


def who_credited_by_hand(browser: Browser, site: Office) -> None:
    browser.go(_MODEL, "Staff actions")
    browser.go("#changelist-filter a", "closed a review")

    row = browser.row(office.WHY_CREDITED)
    assert office.STAFF["Finance"] in row


def give_a_double_charge_back(browser: Browser, site: Office) -> None:
    browser.go(_CARD, "Double charges to refund")
    browser.open_row(str(site.charged_twice.pk)[:8])
    browser.go("a.button", "Record a refund")

    assert "2 000 F CFA" in browser.text(".feexpay-facts")


def record_the_refund(browser: Browser, site: Office) -> None:
    browser.fill("outside_reference", "MOMO-88121")
    browser.fill("reason", "Second debit, ticket 812")
    browser.go(".submit-row [type=submit]")

    browser.find(".messagelist")
    refund = site.charged_twice.refunds.get()
    assert (refund.amount, refund.outside_reference) == (2000, "MOMO-88121")


def close_a_review(browser: Browser, site: Office) -> None:
    browser.go(_CARD, "Payments under review")
    browser.go(_ROW, str(site.under_review.pk)[:8])
    browser.go("a.button", "Close the review")

    assert "4 999 F CFA" in browser.text()


def credit_what_was_taken(browser: Browser, site: Office) -> None:
    browser.click("label[for=feexpay-credit_taken]")
    browser.fill("reason", "One franc of rounding, seen at FeexPay")
    browser.go(".submit-row [type=submit]")

    assert "The review is closed." in browser.text(".messagelist")
    assert "Successful" in browser.text(".feexpay-head")
    assert Credit.objects.get(payment=site.under_review).amount == 4999


_LIST, _CONTENT = "#result_list", "#content-main"

QUESTIONS = (
    Question("where-is-the-money", "Support", where_is_the_money, "section[aria-labelledby=feexpay-timeline]"),
    Question("stuck-payments", "Operations", which_payments_are_stuck, _LIST, size=PHONE),
    Question(
        "orange-is-down",
        "Operations",
        is_orange_down,
        "section[aria-labelledby=feexpay-providers]",
        prepare=office.stop_orange,
    ),
    Question("dashboard", "Operations", how_did_the_month_go, "#feexpay-live", height=760),
    Question("earned-last-month", "Finance", what_did_mtn_benin_earn, _CONTENT, height=480),
    Question("differences", "Finance", what_differs_from_feexpay, _LIST, height=420),
    Question("credited-by-hand", "Finance", who_credited_by_hand, _LIST, height=280),
    Question("refund", "Finance", give_a_double_charge_back, _CONTENT, height=800, act=record_the_refund),
    Question("close-review", "Finance", close_a_review, _CONTENT, height=800, act=credit_what_was_taken),
)
