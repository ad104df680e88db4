"""The pages in a browser: nothing is wider than the window, nothing is blocked, and the usual acts work."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.urls import reverse

from django_feexpay.models import Comparison, Discrepancy, Payment, StaffAction
from tests.browser import office
from tests.browser.chromium import DESKTOP, PHONE, Browser
from tests.browser.office import Office

pytestmark = [pytest.mark.browser, pytest.mark.django_db, pytest.mark.postgres_only]

#: Each theme, each width and each language, in two loads of a page.
LOOKS = ({"size": DESKTOP, "theme": "dark", "language": "en"}, {"size": PHONE, "theme": "light", "language": "fr"})


def url(name: str, *args: object) -> str:
    return reverse(f"admin:feexpay_{name}", args=args)


#: The pages that staff of each role open every day.
PAGES: dict[str, tuple[str, Callable[[Office], str]]] = {
    "front page": ("Operations", lambda site: office.FRONT_PAGE),
    "dashboard": ("Operations", lambda site: url("dailytotal_dashboard") + "?days=30"),
    "payments": ("Support", lambda site: url("payment_changelist")),
    "stuck payments": ("Support", lambda site: url("payment_changelist") + "?show=stuck"),
    "payment": ("Support", lambda site: url("payment_change", site.paid.pk)),
    "payment charged twice": ("Finance", lambda site: url("payment_change", site.charged_twice.pk)),
    "note": ("Support", lambda site: url("payment_note") + f"?payment={site.paid.pk}"),
    "find by number": ("Support", lambda site: url("payment_find")),
    "attempts": ("Support", lambda site: url("attempt_changelist")),
    "events": ("Support", lambda site: url("paymentevent_changelist")),
    "credits": ("Finance", lambda site: url("credit_changelist")),
    "statement": ("Finance", lambda site: url("credit_statement")),
    "incidents": ("Finance", lambda site: url("incident_changelist")),
    "incident": ("Finance", lambda site: url("incident_change", site.charged_twice.incidents.get().pk)),
    "refunds": ("Finance", lambda site: url("refund_changelist")),
    "differences": ("Finance", lambda site: url("discrepancy_changelist")),
    "difference": ("Finance", lambda site: url("discrepancy_change", Discrepancy.objects.latest("id").pk)),
    "comparison": ("Finance", lambda site: url("comparison_change", Comparison.objects.latest("id").pk)),
    "staff actions": ("Finance", lambda site: url("staffaction_changelist")),
    "deliveries": ("Operations", lambda site: url("webhookdelivery_changelist")),
    "providers": ("Operations", lambda site: url("provider_changelist")),
    "provider": ("Operations", lambda site: url("provider_change", "mtn_bj")),
}


@pytest.mark.parametrize("page", PAGES)
def test_page_fits_the_window_and_the_policy(page: str, browser: Browser, site: Office) -> None:
    role, path = PAGES[page]
    browser.enter(site.sessions[role])

    for look in LOOKS:
        browser.look(**look)
        browser.open(path(site))
        assert browser.text("#content h1")
        # On a phone the side tables of a record scroll within their own box.
        may_scroll = "feexpay-scroll" if look["size"] == PHONE else "nothing"
        cut_off = [box for box in browser.cut_off() if may_scroll not in box]
        assert (look, cut_off, browser.errors()) == (look, [], [])


def test_dashboard_follows_the_theme_of_the_system(browser: Browser, site: Office) -> None:
    browser.enter(site.sessions["Operations"])
    brightness = {}
    for theme in ("light", "dark"):
        browser.look(theme=theme)
        browser.open(url("dailytotal_dashboard"))
        assert browser.find("#feexpay-live svg")
        brightness[theme] = browser.brightness("body"), browser.brightness(".feexpay-card")

    assert min(brightness["light"]) > 0.8
    assert max(brightness["dark"]) < 0.3


def test_dashboard_keeps_period_and_provider_in_its_address(browser: Browser, site: Office) -> None:
    browser.enter(site.sessions["Finance"])
    browser.open(url("dailytotal_dashboard"))

    browser.go(".feexpay-choices a", "30 days")
    browser.fill("provider", "MTN Mobile Money (Benin)")
    browser.go(".feexpay-choices [type=submit]")

    assert browser.path().endswith("?days=30&provider=mtn_bj")
    assert browser.row("MTN Mobile Money (Benin)", "table")
    assert not browser.has("#feexpay-live th", "Moov Money (Benin)")


def test_wrong_password_opens_nothing(browser: Browser, site: Office) -> None:
    browser.sign_in(office.STAFF["Support"], office.FRONT_PAGE, password="wrong")

    assert browser.find(".errornote")
    assert browser.path() == f"/admin/login/?next={office.FRONT_PAGE}"


def test_note_stands_in_the_timeline_with_its_author(browser: Browser, site: Office) -> None:
    browser.sign_in(office.STAFF["Support"], url("payment_change", site.paid.pk))

    browser.go(".object-tools a", "Write a note")
    assert "Nothing else changes." in browser.text()
    browser.fill("reason", "The payer sent the receipt")
    browser.go(".submit-row [type=submit]")

    assert "1 done, 0 skipped, 0 failed" in browser.text(".messagelist")
    timeline = browser.text(".feexpay-timeline")
    assert "The payer sent the receipt" in timeline
    assert office.STAFF["Support"] in timeline
    assert StaffAction.objects.filter(action=StaffAction.Action.NOTE, payment=site.paid).count() == 1
    assert browser.errors() == []


def test_filtered_list_arrives_as_a_masked_file(browser: Browser, site: Office) -> None:
    browser.sign_in(office.STAFF["Finance"], url("payment_changelist") + "?status=failed")
    failed = Payment.objects.filter(status="failed")
    assert 0 < failed.count() < Payment.objects.count()

    browser.click("#action-toggle")
    browser.click(".actions .question a")  # all pages of the list, not only this one
    browser.fill("action", "Export as CSV")
    browser.click(".actions [type=submit]")

    rows = list(csv.DictReader(downloaded(browser.downloads, ".csv").read_text("utf-8-sig").splitlines()))
    assert {row["Id"] for row in rows} == {str(pk) for pk in failed.values_list("pk", flat=True)}
    assert all("••" in row["Phone"] for row in rows if row["Phone"])
    assert StaffAction.objects.filter(action=StaffAction.Action.EXPORT, detail__count=len(rows)).exists()


def downloaded(folder: Path, suffix: str) -> Path:
    """Wait for a finished file."""
    for _turn in range(600):
        if found := [path for path in folder.iterdir() if path.suffix == suffix]:
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"no {suffix} arrived in {folder}")
