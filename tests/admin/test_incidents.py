"""Incidents are closed once, with how they ended and a note, by staff with the permission."""

from __future__ import annotations

from typing import Any

import pytest
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


def close(client: Client, incident: Incident, note: str = "Looked into", resolution: str = "no_money_lost") -> Any:
    return client.post(f"{CLOSE}?incident={incident.pk}", {"reason": note, "resolution": resolution}, follow=True)


def test_close_writes_the_note_and_who_did_it(staff_client: StaffClient, incident: Incident) -> None:
    client = staff_client("view_incident", "change_incident")

    answer = close(client, incident, "Kept, the payer agreed", "kept_as_balance")

    incident.refresh_from_db()
    action = StaffAction.objects.get(action="close_incident")
    assert incident.closed_at is not None
    assert (incident.note, incident.resolution) == ("Kept, the payer agreed", "kept_as_balance")
    assert (action.actor_name, action.result, action.reason) == ("staff-1", "done", "Kept, the payer agreed")
    assert [str(message) for message in answer.context["messages"]] == ["The incident is closed."]
    assert "staff-1" in answer.content.decode()


def test_close_needs_a_note(superuser_client: Client, incident: Incident) -> None:
    page = close(superuser_client, incident, "  ").content.decode()

    incident.refresh_from_db()
    assert "This field is required." in page
    assert incident.closed_at is None


def test_close_keeps_the_first_note(superuser_client: Client, incident: Incident) -> None:
    close(superuser_client, incident, "first")

    answer = close(superuser_client, incident, "second")

    incident.refresh_from_db()
    assert incident.note == "first"
    assert [str(message) for message in answer.context["messages"]] == [
        "This incident was closed before; its first note stays."
    ]


@pytest.mark.parametrize("held", [["view_incident"], ["change_incident"]])
def test_close_needs_both_permissions(held: list[str], staff_client: StaffClient, incident: Incident) -> None:
    client = staff_client(*held)

    assert client.get(f"{CLOSE}?incident={incident.pk}").status_code == 403
    assert close(client, incident).status_code == 403
    incident.refresh_from_db()
    assert incident.closed_at is None


@pytest.mark.parametrize("query", ["", "?incident=x", "?incident=0"])
def test_close_of_an_unknown_incident_is_not_found(query: str, superuser_client: Client) -> None:
    assert superuser_client.get(f"{CLOSE}{query}").status_code == 404


def test_incident_is_not_closed_as_refunded_without_a_refund(superuser_client: Client, incident: Incident) -> None:
    page = close(superuser_client, incident, "Refunded, R-77", "refunded").content.decode()

    incident.refresh_from_db()
    assert "The recorded refunds do not cover this charge" in page
    assert incident.closed_at is None


def test_incident_is_not_closed_without_saying_how_it_ended(superuser_client: Client, incident: Incident) -> None:
    page = close(superuser_client, incident, "Refunded, R-77", "").content.decode()

    incident.refresh_from_db()
    assert "This field is required." in page
    assert incident.closed_at is None


@pytest.mark.parametrize(("state", "listed"), [("open", 1), ("closed", 0)])
def test_list_is_narrowed_by_state(state: str, listed: int, superuser_client: Client, incident: Incident) -> None:
    assert superuser_client.get(LIST, {"state": state}).context["cl"].result_count == listed


def test_open_incident_links_to_its_closing(superuser_client: Client, incident: Incident) -> None:
    page = f"{LIST}{incident.pk}/change/"
    assert f"{CLOSE}?incident={incident.pk}" in superuser_client.get(page).content.decode()

    close(superuser_client, incident)

    assert CLOSE not in superuser_client.get(page).content.decode()


def test_payment_page_links_to_its_incident(
    superuser_client: Client, incident: Incident, charged_twice: Payment
) -> None:
    assert f"{LIST}{incident.pk}/change/" in superuser_client.get(page_of(charged_twice)).content.decode()


@pytest.mark.parametrize("language", ["en", "fr"])
def test_list_and_page_show_the_amount_and_both_references(
    superuser_client: Client, charged_twice: Payment, language: str
) -> None:
    """FeexPay charged the credited attempt a third time."""
    superuser_client.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    attempt = charged_twice.attempts.get(ordinal=1)
    charge = incidents.Charge("extra-0001", 4_321, "XOF", credited_reference=str(attempt.gateway_reference))
    incidents.open_once(Incident.Kind.DUPLICATE_CHARGE, attempt, charge, conf.now())
    incident = Incident.objects.get(gateway_reference="extra-0001")

    listed = superuser_client.get(LIST).content.decode()
    page = superuser_client.get(f"{LIST}{incident.pk}/change/").content.decode()
    of_payment = superuser_client.get(page_of(charged_twice)).content.decode()

    assert "extra-0001" in listed
    for content in (page, of_payment):
        assert "extra-0001" in content
        assert str(attempt.gateway_reference) in content
        assert money.show(4_321, "XOF") in content


def test_charge_without_an_amount_shows_a_dash(superuser_client: Client, charged_twice: Payment) -> None:
    Incident.objects.update(amount=None)

    assert superuser_client.get(LIST).status_code == 200
    assert superuser_client.get(page_of(charged_twice)).status_code == 200


def test_reversal_is_named_in_french(superuser_client: Client, charged_twice: Payment) -> None:
    superuser_client.defaults["HTTP_ACCEPT_LANGUAGE"] = "fr"
    Incident.objects.update(kind="reversed_after_credit")

    assert "FeexPay a repris un paiement déjà crédité" in superuser_client.get(LIST).content.decode()
