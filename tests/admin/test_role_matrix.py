"""Every page and action of the admin for each role: what answers, what is refused, and no link that is refused.

The tables below are written by hand. A page or action that they lack fails a test: say there who may use it.
S: Support, F: Finance, O: Operations. A superuser may do all that the tables hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlencode, urljoin

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Group, Permission, User
from django.db import models
from django.test import Client
from django.urls import reverse

from django_feexpay import roles
from django_feexpay.models import Incident, Payment, PaymentEvent, Provider, StaffAction
from django_feexpay.payments import daily_totals, refunds
from tests.admin.conftest import StartPayment, make_payout
from tests.admin.test_ledgers import first_row

pytestmark = [pytest.mark.django_db, pytest.mark.unmeasured]

#: Who may see the list, the page and the history of each model.
READERS = {
    "alert": "O",
    "attempt": "SFO",
    "checkout": "SFO",
    "comparison": "FO",
    "credit": "SFO",
    "dailytotal": "SFO",
    "discrepancy": "FO",
    "erasure": "FO",
    "finding": "FO",
    "heartbeat": "O",
    "idempotencyrecord": "O",
    "incident": "SFO",
    "outboxmessage": "O",
    "payment": "SFO",
    "payout": "F",
    "paymentevent": "SFO",
    "promptlift": "SO",
    "provider": "SFO",
    "purge": "O",
    "refund": "SFO",
    "reviewproposal": "F",
    "staffaction": "FO",
    "webhookdelivery": "O",
}
#: Who may open and send each page that is not one of Django's own.
PAGES = {
    "credit_statement": "F",
    "dailytotal_dashboard": "SFO",
    "discrepancy_close": "F",
    "incident_close": "F",
    "payment_close_review": "F",
    "outboxmessage_send_again": "O",
    "payment_files": "F",
    "payment_find": "SFO",
    "payment_note": "SFO",
    "payment_overview": "SFO",
    "payment_reconcile": "SFO",
    "payment_release": "F",
    "payment_retry": "SO",
    "payment_unmask": "SF",
    "promptlift_lift": "SO",
    "provider_close_for_maintenance": "O",
    "provider_open_again": "O",
    "refund_approve": "F",
    "refund_cancel": "F",
    "payout_ask": "F",
    "payout_close": "F",
    "refund_record": "F",
    "refund_send_payout": "F",
    "webhookdelivery_process_again": "O",
}
#: Pages of their own that need no more than a right to view.
READ_ONLY_PAGES = {"credit_statement", "dailytotal_dashboard", "payment_files", "payment_find", "payment_overview"}
#: Lists that are exported.
EXPORTED = ("attempt", "credit", "discrepancy", "incident", "payment", "payout", "refund", "staffaction")
#: Who is offered each action of a list; those with a page of their own are in PAGES.
LIST_ACTIONS = dict.fromkeys(EXPORTED, {"export_csv": "F", "export_xlsx": "F"})
#: Pages of Django that are closed to all: ledgers are not written.
CLOSED = ("add", "delete")
LETTERS = {"Support": "S", "Finance": "F", "Operations": "O"}
WHO = ("superuser", *LETTERS, "reader of all", "without rights", "anonymous")
STAFF = WHO[:-1]

REGISTERED = {model: page for model, page in admin.site._registry.items() if model._meta.app_label == "feexpay"}


def log_in(who: str) -> Client:
    """A browser of this role. The reader of all holds each view permission and no other."""
    client = Client()
    if who == "anonymous":
        return client
    user = User.objects.create_user(who.replace(" ", "-"), is_staff=True, is_superuser=who == "superuser")
    ours = Permission.objects.filter(content_type__app_label="feexpay")
    if who in LETTERS:
        roles.make_roles()
        user.groups.add(Group.objects.get(name=who))
    elif who == "reader of all":
        user.user_permissions.set(ours.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


def may(who: str, letters: str, *, reads: bool = False) -> bool:
    return who == "superuser" or (who == "reader of all" and reads) or LETTERS.get(who, "-") in letters


@pytest.fixture
def rows(charged_twice: Payment, start_review: StartPayment) -> dict[str, models.Model]:
    """The first row of each model."""
    start_review(phone="+229 01 97 00 00 52")
    source = PaymentEvent.Source.ADMIN
    refunds.record(charged_twice.pk, amount=1000, way="cash", reason="a gift", actor="1", source=source)
    make_payout(charged_twice)
    daily_totals.rebuild()
    return {str(model._meta.model_name): first_row(str(model._meta.model_name)) for model in REGISTERED}


def own_names(page: Any) -> Iterator[str]:
    """The names of the pages that an admin of ours adds to Django's."""
    model = page.opts.model_name
    djangos = {f"feexpay_{model}_{name}" for name in ("changelist", "add", "history", "delete", "change")}
    for pattern in page.get_urls():
        if pattern.name and pattern.name not in djangos:
            yield pattern.name.removeprefix("feexpay_")


def addresses(rows: dict[str, models.Model]) -> dict[str, str]:
    """Every page of our admin by name, each about the first row of its model."""
    chosen = urlencode({name: row.pk for name, row in rows.items()})
    incident = rows["incident"]
    assert isinstance(incident, Incident)
    found = {}
    for model, page in REGISTERED.items():
        name = str(model._meta.model_name)
        for kind in ("changelist", "add", "history", "delete", "change"):
            args = [] if kind in ("changelist", "add") else [rows[name].pk]
            found[f"{name}_{kind}"] = reverse(f"admin:feexpay_{name}_{kind}", args=args)
        found |= {own: f"{reverse(f'admin:feexpay_{own}')}?{chosen}" for own in own_names(page)}
    # The first payment is under review; money to refund belongs to the payment of the incident.
    found["refund_record"] = f"{reverse('admin:feexpay_refund_record')}?payment={incident.payment_id}"
    return found


def answer_of(client: Client, address: str, form: dict[str, Any] | None = None) -> str:
    answer = client.get(address) if form is None else client.post(address, form)
    if answer.status_code == 302 and "/login/" in answer["Location"]:
        return "sign in"
    return {200: "open", 302: "open", 403: "refused", 405: "refused"}.get(answer.status_code, str(answer.status_code))


def expected(who: str, name: str) -> str:
    if who == "anonymous":
        return "sign in"
    model, _underscore, kind = name.partition("_")
    if name in PAGES:
        return "open" if may(who, PAGES[name], reads=name in READ_ONLY_PAGES) else "refused"
    if kind in CLOSED:
        return "refused"
    return "open" if may(who, READERS[model], reads=True) else "refused"


def offered_to(who: str, name: str) -> Iterator[str]:
    """The actions that the list of a model should offer."""
    page = next(page for model, page in REGISTERED.items() if model._meta.model_name == name)
    letters = LIST_ACTIONS.get(name, {}) | {
        action.name: PAGES[f"{name}_{action.name}"] for action in getattr(page, "confirmed_actions", ()) if action.bulk
    }
    yield from (action for action, allowed in letters.items() if may(who, allowed))


def written() -> tuple[int, ...]:
    """The count of all that staff could have done."""
    switched, closed = Provider.objects.filter(enabled=True), Incident.objects.exclude(closed_at=None)
    return (StaffAction.objects.count(), PaymentEvent.objects.count(), switched.count(), closed.count())


def test_tables_hold_every_page_and_action() -> None:
    assert {str(model._meta.model_name) for model in REGISTERED} == set(READERS)
    assert {name for page in REGISTERED.values() for name in own_names(page)} == set(PAGES)


@pytest.mark.parametrize("who", WHO)
def test_page_opens_for_those_who_may(who: str, rows: dict[str, models.Model]) -> None:
    client, pages = log_in(who), addresses(rows)

    seen = {name: answer_of(client, address) for name, address in pages.items()}

    assert seen == {name: expected(who, name) for name in pages}


@pytest.mark.parametrize("who", WHO)
def test_post_is_refused_to_those_who_may_not_and_changes_nothing(who: str, rows: dict[str, models.Model]) -> None:
    client, before = log_in(who), written()
    closed = {name: address for name, address in addresses(rows).items() if expected(who, name) != "open"}
    form = {"reason": "x", "post": "yes", "phone": "0197000050", "hours": "1", "decision": "credit_price"}

    assert {answer_of(client, address, form) for address in closed.values()} <= {"refused", "sign in"}
    assert written() == before


@pytest.mark.parametrize("who", STAFF)
def test_list_offers_the_actions_of_the_role(who: str, rows: dict[str, models.Model]) -> None:
    client, offered = log_in(who), {}
    for model in REGISTERED:
        name = str(model._meta.model_name)
        if may(who, READERS[name], reads=True):
            form = client.get(reverse(f"admin:feexpay_{name}_changelist")).context["action_form"]
            choices = [] if form is None else form.fields["action"].choices
            offered[name] = {str(value) for value, _title in choices if value}

    assert offered == {name: set(offered_to(who, name)) for name in offered}


@pytest.mark.parametrize("who", STAFF)
def test_list_action_posted_without_the_right_does_nothing(who: str, rows: dict[str, models.Model]) -> None:
    client, before = log_in(who), written()

    for name, actions in LIST_ACTIONS.items():
        for action in (each for each, letters in actions.items() if not may(who, letters)):
            answer = client.post(
                reverse(f"admin:feexpay_{name}_changelist"),
                {"action": action, ACTION_CHECKBOX_NAME: [rows[name].pk]},
            )
            assert "attachment" not in answer.headers.get("Content-Disposition", "")

    assert written() == before


@pytest.mark.parametrize("who", STAFF)
def test_provider_is_changed_by_those_who_may(who: str, rows: dict[str, models.Model]) -> None:
    client, page = log_in(who), reverse("admin:feexpay_provider_change", args=["mtn_bj"])
    form = {"name": "Renamed", "flow": "push", "min_amount": 100, "max_amount": 5000, "fee_percent": "2.00"}

    asked = client.post(page, form)
    assert asked.status_code == (200 if may(who, "O") else 403)
    client.post(page, form | {"seen": (asked.context or {}).get("seen", ""), "reason": "A new contract"})

    assert (Provider.objects.get(pk="mtn_bj").name == "Renamed") == may(who, "O")


@pytest.mark.parametrize("who", STAFF)
def test_no_page_has_a_link_that_is_refused(who: str, rows: dict[str, models.Model]) -> None:
    client = log_in(who)
    opened = [address for name, address in addresses(rows).items() if expected(who, name) == "open"]
    links: dict[str, str] = {}
    for address in (reverse("admin:index"), *opened):
        page = client.get(address, follow=True)
        hrefs = re.findall(r'<a\b[^>]*\bhref="([^"#]+)"', page.content.decode())
        links |= {urljoin(address, unescape(href)).split("#")[0]: address for href in hrefs if not href.startswith("?")}

    refused = {
        link: page for link, page in links.items() if link.startswith("/admin/") and client.get(link).status_code == 403
    }

    assert refused == {}
