"""Incidents are closed once, with a note, by staff with the permission."""

from __future__ import annotations

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client

from django_feexpay import conf
from django_feexpay.catalogue import money
from django_feexpay.models import Incident, Payment, StaffAction
from django_feexpay.payments import incidents
from tests.admin.conftest import StaffClient, page_of

pytestmark = pytest.mark.django_db

LIST = "/admin/feexpay/incident/"
CLOSE = "/admin/feexpay/incident/close/"


@pytest.fixture
def incident(charged_twice: Payment) -> Incident:
    return charged_twice.incidents.get()


def test_action_leads_to_the_page_that_asks_for_the_note(boss: Client, incident: Incident) -> None:
    answer = boss.post(LIST, {"action": "close", ACTION_CHECKBOX_NAME: [incident.pk]})

    assert answer["Location"] == f"{CLOSE}?incident={incident.pk}"
    assert "What was done" in boss.get(answer["Location"]).content.decode()


def test_close_writes_the_note_and_who_did_it(staff_client: StaffClient, incident: Incident) -> None:
    client = staff_client("view_incident", "change_incident")

    answer = client.post(f"{CLOSE}?incident={incident.pk}", {"reason": "Refunded, R-77"}, follow=True)

    incident.refresh_from_db()
    action = StaffAction.objects.get(action="close_incident")
    assert incident.closed_at is not None
    assert incident.note == "Refunded, R-77"
    assert (action.actor_name, action.action, action.result) == ("staff-1", "close_incident", "done")
    assert (action.payment_id, action.target) == (incident.payment_id, f"incident:{incident.pk}")
    assert action.reason == "Refunded, R-77"
    assert [str(message) for message in answer.context["messages"]] == ["Close: 1 done, 0 skipped, 0 failed."]


def test_close_needs_a_note(boss: Client, incident: Incident) -> None:
    page = boss.post(f"{CLOSE}?incident={incident.pk}", {"reason": "  "}).content.decode()

    incident.refresh_from_db()
    assert "This field is required." in page
    assert incident.closed_at is None


def test_close_keeps_the_first_note(boss: Client, incident: Incident) -> None:
    boss.post(f"{CLOSE}?incident={incident.pk}", {"reason": "first"}, follow=True)

    answer = boss.post(f"{CLOSE}?incident={incident.pk}", {"reason": "second"}, follow=True)

    incident.refresh_from_db()
    assert incident.note == "first"
    assert [str(message) for message in answer.context["messages"]] == [
        "Close: 0 done, 1 skipped, 0 failed.",
        f"This was closed before; its first note stays. ({incident.pk})",
    ]


@pytest.mark.parametrize("held", [["view_incident"], ["change_incident"]])
def test_close_needs_both_permissions(held: list[str], staff_client: StaffClient, incident: Incident) -> None:
    client = staff_client(*held)

    assert client.get(f"{CLOSE}?incident={incident.pk}").status_code == 403
    assert client.post(f"{CLOSE}?incident={incident.pk}", {"reason": "x"}).status_code == 403
    incident.refresh_from_db()
    assert incident.closed_at is None


@pytest.mark.parametrize("query", ["", "?incident=x", "?incident=0"])
def test_close_of_an_unknown_incident_is_not_found(query: str, boss: Client) -> None:
    assert boss.get(f"{CLOSE}{query}").status_code == 404


def test_close_takes_a_limited_number(boss: Client, incident: Incident, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_feexpay.admin.confirm_action.MOST_ROWS", 0)

    answer = boss.post(LIST, {"action": "close", ACTION_CHECKBOX_NAME: [incident.pk]}, follow=True)

    assert [str(message) for message in answer.context["messages"]] == [
        "You chose too many rows: the most is 0 at once. Nothing was done."
    ]
    assert boss.get(f"{CLOSE}?incident={incident.pk}").status_code == 404


@pytest.mark.parametrize(("state", "listed"), [("open", 1), ("closed", 0)])
def test_list_is_narrowed_by_state(state: str, listed: int, boss: Client, incident: Incident) -> None:
    assert boss.get(LIST, {"state": state}).context["cl"].result_count == listed


def test_open_incident_links_to_its_closing(boss: Client, incident: Incident) -> None:
    page = f"{LIST}{incident.pk}/change/"
    assert f"{CLOSE}?incident={incident.pk}" in boss.get(page).content.decode()

    boss.post(f"{CLOSE}?incident={incident.pk}", {"reason": "done"})

    assert CLOSE not in boss.get(page).content.decode()


def test_payment_page_links_to_its_incident(boss: Client, incident: Incident, charged_twice: Payment) -> None:
    assert f"{LIST}{incident.pk}/change/" in boss.get(page_of(charged_twice)).content.decode()


@pytest.mark.parametrize("language", ["en", "fr"])
def test_list_and_page_show_the_amount_and_both_references(boss: Client, charged_twice: Payment, language: str) -> None:
    """FeexPay charged the credited attempt a third time."""
    boss.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    attempt = charged_twice.attempts.get(ordinal=1)
    charge = incidents.Charge("extra-0001", 4_321, "XOF", credited_reference=str(attempt.gateway_reference))
    incidents.open_once(Incident.Kind.DUPLICATE_CHARGE, attempt, charge, conf.now())
    incident = Incident.objects.get(gateway_reference="extra-0001")

    listed = boss.get(LIST).content.decode()
    page = boss.get(f"{LIST}{incident.pk}/change/").content.decode()
    of_payment = boss.get(page_of(charged_twice)).content.decode()

    assert "extra-0001" in listed
    for content in (page, of_payment):
        assert "extra-0001" in content
        assert str(attempt.gateway_reference) in content
        assert money.show(4_321, "XOF") in content


def test_charge_without_an_amount_shows_a_dash(boss: Client, charged_twice: Payment) -> None:
    Incident.objects.update(amount=None)

    assert boss.get(LIST).status_code == 200
    assert boss.get(page_of(charged_twice)).status_code == 200


def test_reversal_is_named_in_french(boss: Client, charged_twice: Payment) -> None:
    boss.defaults["HTTP_ACCEPT_LANGUAGE"] = "fr"
    Incident.objects.update(kind="reversed_after_credit")

    assert "FeexPay a repris un paiement déjà crédité" in boss.get(LIST).content.decode()
