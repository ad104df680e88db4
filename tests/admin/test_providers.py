"""Providers: staff adjust them within the catalogue, and never add or delete them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from django_feexpay.admin.providers import MAINTENANCE
from django_feexpay.models import Provider, StaffAction
from django_feexpay.payments.terms import unavailable
from tests.admin.conftest import StaffClient

pytestmark = pytest.mark.django_db


def save(client: Client, code: str, /, **changes: Any) -> Any:
    """Post the provider's form with its current values and these changes; False unticks a box."""
    row = Provider.objects.get(pk=code)
    names = ("name", "flow", "enabled", "disabled_reason", "disabled_reason_fr")
    names += ("min_amount", "max_amount", "fee_percent")
    form = {name: getattr(row, name) for name in names} | changes
    return client.post(
        f"/admin/feexpay/provider/{code}/change/", {name: value for name, value in form.items() if value is not False}
    )


def test_staff_may_adjust_a_provider(superuser_client: Client) -> None:
    answer = save(
        superuser_client,
        "mtn_bj",
        name="MTN MoMo",
        enabled=False,
        disabled_reason="Back at noon",
        min_amount=200,
        max_amount=300,
        fee_percent="2.50",
    )

    row = Provider.objects.get(pk="mtn_bj")
    assert answer.status_code == 302
    assert (row.name, row.enabled, row.disabled_reason) == ("MTN MoMo", False, "Back at noon")
    assert (row.min_amount, row.max_amount, str(row.fee_percent)) == (200, 300, "2.50")


def test_provider_keeps_its_code_and_the_catalogues_values(superuser_client: Client) -> None:
    before = Provider.objects.get(pk="mtn_bj").catalogue_values

    save(superuser_client, "mtn_bj", code="other", catalogue_values="{}", country="FR")

    assert Provider.objects.get(pk="mtn_bj").catalogue_values == before
    assert not Provider.objects.filter(pk="other").exists()


def test_flow_may_be_chosen_where_sources_differ(superuser_client: Client) -> None:
    save(superuser_client, "orange_sn", flow="otp")

    row = Provider.objects.get(pk="orange_sn")
    assert (row.flow, row.spec.flow, row.spec.needs_otp_first) == ("otp", "otp", True)


@pytest.mark.parametrize(("code", "flow"), [("mtn_bj", "redirect"), ("orange_sn", "push"), ("visa", "push")])
def test_flow_that_no_source_gives_is_refused(code: str, flow: str, superuser_client: Client) -> None:
    answer = save(superuser_client, code, flow=flow)

    assert list(answer.context["adminform"].form.errors) == ["flow"]
    assert Provider.objects.get(pk=code).flow != flow


def test_unavailable_provider_cannot_be_enabled(superuser_client: Client) -> None:
    answer = save(superuser_client, "mtn_cm", enabled="on")

    errors = answer.context["adminform"].form.errors
    assert errors == {"enabled": ["This provider cannot be enabled: FeexPay does not serve Cameroon."]}
    assert Provider.objects.get(pk="mtn_cm").enabled is False


def test_unavailable_provider_shows_why(superuser_client: Client) -> None:
    page = superuser_client.get("/admin/feexpay/provider/mtn_cm/change/").content.decode()

    assert "FeexPay does not serve Cameroon." in page


def test_provider_shows_why_in_the_language_of_staff(superuser_client: Client) -> None:
    page = superuser_client.get(
        "/admin/feexpay/provider/mtn_cm/change/", headers={"accept-language": "fr"}
    ).content.decode()

    assert "FeexPay ne sert pas le Cameroun." in page


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"min_amount": 0}, "min_amount", id="nothing"),
        pytest.param({"min_amount": 500, "max_amount": 499}, "max_amount", id="upside down"),
        pytest.param({"fee_percent": "-0.01"}, "fee_percent", id="negative fee"),
        pytest.param({"name": ""}, "name", id="no name"),
    ],
)
def test_provider_refuses(changes: dict[str, Any], field: str, superuser_client: Client) -> None:
    before = Provider.objects.filter(pk="mtn_bj").values().get()

    answer = save(superuser_client, "mtn_bj", **changes)

    assert list(answer.context["adminform"].form.errors) == [field]
    assert Provider.objects.filter(pk="mtn_bj").values().get() == before


def test_provider_removed_from_the_catalogue_does_not_break_the_list(superuser_client: Client) -> None:
    Provider.objects.create(code="gone_xx", name="Gone", min_amount=1, max_amount=2, fee_percent=0, flow="push")

    page = superuser_client.get("/admin/feexpay/provider/").content.decode()
    answer = save(superuser_client, "gone_xx", enabled="on")

    assert "This version&#x27;s catalogue does not have this provider." in page
    assert list(answer.context["adminform"].form.errors) == ["enabled"]


def test_provider_is_read_only_for_staff_who_may_only_view(staff_client: StaffClient) -> None:
    answer = save(staff_client("view_provider"), "mtn_bj", enabled=False)

    assert answer.status_code == 403
    assert Provider.objects.get(pk="mtn_bj").enabled is True


def act(client: Client, action: str, *codes: str) -> Any:
    return client.post("/admin/feexpay/provider/", {"action": action, "_selected_action": codes})


def test_provider_is_closed_for_maintenance_in_both_languages_and_opened_again(superuser_client: Client) -> None:
    act(superuser_client, "close_for_maintenance", "mtn_bj")

    row = Provider.objects.get(pk="mtn_bj")
    assert not row.is_available
    assert (unavailable(row, "en"), unavailable(row, "fr")) == MAINTENANCE
    action = StaffAction.objects.get()
    assert (action.action, action.target) == ("switch_provider", "provider:mtn_bj")
    assert action.detail == {"change": "closed for maintenance"}

    act(superuser_client, "open_again", "mtn_bj", "mtn_cm")

    row.refresh_from_db()
    assert (row.is_available, row.disabled_reason, row.disabled_reason_fr) == (True, "", "")
    assert not Provider.objects.get(pk="mtn_cm").enabled


def test_maintenance_needs_the_change_permission(staff_client: StaffClient) -> None:
    act(staff_client("view_provider"), "close_for_maintenance", "mtn_bj")

    assert Provider.objects.get(pk="mtn_bj").enabled


@pytest.mark.parametrize(
    ("english", "french", "language", "shown"),
    [
        ("Back at noon", "De retour à midi", "fr", "De retour à midi"),
        ("Back at noon", "De retour à midi", "fr-fr", "De retour à midi"),
        ("Back at noon", "De retour à midi", "en", "Back at noon"),
        ("Back at noon", "", "fr", "Back at noon"),
        ("", "De retour à midi", "en", "De retour à midi"),
        ("", "", "en", "This way to pay is switched off at the moment."),
    ],
)
def test_reason_is_in_the_payers_language_or_the_other(english: str, french: str, language: str, shown: str) -> None:
    row = Provider.objects.get(pk="mtn_bj")
    row.enabled, row.disabled_reason, row.disabled_reason_fr = False, english, french

    assert unavailable(row, language) == shown
