"""Refunds in the admin: record from a payment or an incident, approve, cancel, the list, and who may."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client

from django_feexpay.models import Incident, Payment, Refund, StaffAction
from django_feexpay.payments.invariants import violations
from tests.admin.conftest import StaffClient, page_of
from tests.conftest import Configure

pytestmark = pytest.mark.django_db

LIST = "/admin/feexpay/refund/"
CAN = ("view_payment", "view_incident", "view_refund", "refund_payment")


@pytest.fixture
def incident(charged_twice: Payment) -> Incident:
    return charged_twice.incidents.get()


def record_page(payment: Payment, incident: Incident | None = None) -> str:
    return f"{LIST}record/?payment={payment.pk}" + (f"&incident={incident.pk}" if incident else "")


def text_of(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return answer.content.decode()


def record(client: Client, url: str, **changes: str) -> Any:
    """Open the page and send what it shows, with these changes."""
    page = text_of(client, url)
    shown = {
        "amount": re.findall(r'name="amount" value="(\d+)"', page)[0],
        "seen": re.findall(r'name="seen" value="(\d+)"', page)[0],
        "way": "gateway",
        "outside_reference": "OUT-1",
        "reason": "paid twice",
    }
    return client.post(url, shown | changes, follow=True)


def told(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def test_incident_leads_to_its_refund_and_shows_what_is_owed(
    staff_client: StaffClient, incident: Incident, charged_twice: Payment
) -> None:
    client = staff_client(*CAN)
    page = f"/admin/feexpay/incident/{incident.pk}/change/"
    before = text_of(client, page)
    assert record_page(charged_twice, incident).replace("&", "&amp;") in before
    assert "Still owed to the payer" in before
    assert charged_twice.attempt.masked_msisdn in before

    answer = record(client, record_page(charged_twice, incident))

    refund = Refund.objects.get()
    assert told(answer) == ["The refund is recorded."]
    assert answer.redirect_chain[-1][0] == page
    assert (refund.amount, refund.incident, refund.credited) == (5000, incident, False)
    after = answer.content.decode()
    assert "OUT-1" in after
    assert "staff-1" in after
    assert record_page(charged_twice, incident).replace("&", "&amp;") not in after
    assert list(violations()) == []


def test_payment_leads_to_the_refund_of_its_credit(staff_client: StaffClient, charged_twice: Payment) -> None:
    client = staff_client(*CAN)
    assert record_page(charged_twice) in text_of(client, page_of(charged_twice))

    answer = record(client, record_page(charged_twice), amount="2000")

    assert answer.redirect_chain[-1][0] == page_of(charged_twice)
    assert "OUT-1" in answer.content.decode()
    assert (Refund.objects.get().amount, Refund.objects.get().credited) == (2000, True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"amount": "5001"}, "FeexPay took 5\u00a0000\u00a0F\u00a0CFA for this charge"),
        ({"outside_reference": ""}, "Write the reference of the payout"),
        ({"reason": " "}, "This field is required."),
        ({"amount": "-1"}, "greater than or equal to 1"),
    ],
)
def test_wrong_refund_is_told_on_the_form(
    superuser_client: Client, charged_twice: Payment, changes: dict[str, str], said: str
) -> None:
    answer = record(superuser_client, record_page(charged_twice), **changes)

    assert said in answer.content.decode().replace("5 000 F CFA", "5\u00a0000\u00a0F\u00a0CFA")
    assert Refund.objects.count() == 0


def test_form_that_is_sent_twice_records_one_refund(superuser_client: Client, charged_twice: Payment) -> None:
    record(superuser_client, record_page(charged_twice), amount="1000")

    answer = record(superuser_client, record_page(charged_twice), amount="1000", seen="0")

    assert told(answer) == ["Another refund of this charge was recorded meanwhile. Look at the sums again."]
    assert Refund.objects.count() == 1


def test_second_person_approves_and_the_first_cannot(
    staff_client: StaffClient, charged_twice: Payment, configure: Configure
) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=1000)
    first, second = staff_client(*CAN), staff_client(*CAN)
    assert told(record(first, record_page(charged_twice))) == [
        "Proposed. The refund counts when a second person approves it."
    ]
    refund = Refund.objects.get()
    approve = f"{LIST}approve/?refund={refund.pk}"
    for page in (f"{LIST}{refund.pk}/change/", page_of(charged_twice)):
        assert approve in text_of(second, page)
        assert f"{LIST}cancel/?refund={refund.pk}" in text_of(second, page)
    assert approve not in text_of(staff_client("view_payment", "view_refund"), page_of(charged_twice))

    answer = first.post(approve, {"reason": "me again"}, follow=True)
    assert "You proposed this yourself" in answer.content.decode()
    second.post(approve, {"reason": "seen in FeexPay"}, follow=True)

    refund.refresh_from_db()
    assert refund.state == "recorded"
    page = text_of(second, f"{LIST}{refund.pk}/change/")
    assert "staff-1" in page
    assert "staff-2" in page
    assert approve not in page


def test_proposed_refund_is_cancelled_with_a_reason(
    staff_client: StaffClient, charged_twice: Payment, configure: Configure
) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=1000)
    client = staff_client(*CAN)
    record(client, record_page(charged_twice))

    client.post(f"{LIST}cancel/?refund={Refund.objects.get().pk}", {"reason": "never sent"}, follow=True)

    assert Refund.objects.get().state == "cancelled"
    assert StaffAction.objects.filter(action="cancel_refund", reason="never sent").count() == 1


def test_refunds_are_never_approved_in_bulk(
    superuser_client: Client, charged_twice: Payment, configure: Configure
) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=0)
    for _ in range(2):
        record(superuser_client, record_page(charged_twice), amount="1000")
    one, two = Refund.objects.values_list("pk", flat=True)

    assert "Approve the refund" not in text_of(superuser_client, LIST)
    assert superuser_client.get(f"{LIST}approve/?refund={one}&refund={two}").status_code == 404
    superuser_client.post(LIST, {"action": "approve", ACTION_CHECKBOX_NAME: [one, two]})
    assert set(Refund.objects.values_list("state", flat=True)) == {"proposed"}


@pytest.mark.parametrize("held", [["view_payment", "view_refund"], ["refund_payment", "view_incident"]])
def test_refund_needs_its_permission_and_the_view_of_payments(
    held: list[str], staff_client: StaffClient, charged_twice: Payment, incident: Incident
) -> None:
    client = staff_client(*held)

    assert client.get(record_page(charged_twice)).status_code == 403
    assert client.post(record_page(charged_twice), {"amount": "1"}).status_code == 403
    page = page_of(charged_twice) if "view_payment" in held else f"/admin/feexpay/incident/{incident.pk}/change/"
    assert "Record a refund" not in text_of(client, page)
    assert Refund.objects.count() == 0


def test_page_has_no_link_that_is_closed_to_its_user(staff_client: StaffClient, charged_twice: Payment) -> None:
    client = staff_client("view_payment", "refund_payment")

    page = text_of(client, record_page(charged_twice))

    links = re.findall(r'href="(/admin/feexpay/[^"]+)"', page[page.index('class="breadcrumbs"') :])
    assert page_of(charged_twice) in links
    assert {link: client.get(link).status_code for link in links} == dict.fromkeys(links, 200)


@pytest.mark.parametrize("query", ["", "?payment=x", "?payment=0b0e0000-0000-4000-8000-000000000000"])
def test_refund_of_an_unknown_payment_is_not_found(query: str, superuser_client: Client) -> None:
    assert superuser_client.get(f"{LIST}record/{query}").status_code == 404


@pytest.mark.parametrize("incident_id", ["x", "0", "٣"])
def test_refund_of_an_unknown_incident_is_not_found(
    incident_id: str, superuser_client: Client, charged_twice: Payment
) -> None:
    assert superuser_client.get(f"{record_page(charged_twice)}&incident={incident_id}").status_code == 404


def test_list_shows_the_recorded_sum_of_its_filter(superuser_client: Client, charged_twice: Payment) -> None:
    record(superuser_client, record_page(charged_twice), amount="1000")
    record(superuser_client, record_page(charged_twice), amount="1500", way="cash")

    assert "2\u00a0500\u00a0F\u00a0CFA" in text_of(superuser_client, LIST).replace(
        "2 500 F CFA", "2\u00a0500\u00a0F\u00a0CFA"
    )
    assert "feexpay-totals" in text_of(superuser_client, f"{LIST}?way__exact=cash")
    assert "2\u00a0500\u00a0F\u00a0CFA" not in text_of(superuser_client, f"{LIST}?way__exact=cash")
    assert "feexpay-totals" not in text_of(superuser_client, f"{LIST}?state__exact=cancelled")


def test_list_is_searched_by_the_reference_of_the_payout(superuser_client: Client, charged_twice: Payment) -> None:
    record(superuser_client, record_page(charged_twice), amount="1000", outside_reference="OUT-77")
    record(superuser_client, record_page(charged_twice), amount="1000")

    found = superuser_client.get(LIST, {"q": "OUT-77"}).context["cl"].result_list

    assert [row.outside_reference for row in found] == ["OUT-77"]


def test_pages_speak_french(superuser_client: Client, charged_twice: Payment, incident: Incident) -> None:
    superuser_client.defaults["HTTP_ACCEPT_LANGUAGE"] = "fr"

    assert "Encore dû au payeur" in text_of(superuser_client, record_page(charged_twice, incident))
    assert "Clore l&#x27;incident" in text_of(
        superuser_client, f"/admin/feexpay/incident/close/?incident={incident.pk}"
    )
