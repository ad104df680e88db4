"""Providers: staff adjust them within the catalogue, and never add or delete them."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from django_feexpay.models import Provider, StaffAction
from django_feexpay.payments.provider_changes import MAINTENANCE
from django_feexpay.payments.terms import unavailable
from tests.admin.conftest import StaffClient

pytestmark = pytest.mark.django_db


def send(client: Client, code: str, /, **changes: Any) -> Any:
    """Post the provider's form with its current values and these changes; False unticks a box."""
    row = Provider.objects.get(pk=code)
    names = ("name", "flow", "enabled", "disabled_reason", "disabled_reason_fr")
    names += ("min_amount", "max_amount", "fee_percent")
    form = {name: getattr(row, name) for name in names} | changes
    return client.post(
        f"/admin/feexpay/provider/{code}/change/", {name: value for name, value in form.items() if value is not False}
    )


def confirm(client: Client, page: Any, *, reason: str = "Agreed with the operator") -> Any:
    """Post the form of the confirmation page as a browser does."""
    form = dict(re.findall(r'<input type="hidden" name="(\w+)"(?: value="([^"]*)")?', page.content.decode()))
    del form["csrfmiddlewaretoken"]
    values = {name: unescape(value) for name, value in form.items()}
    return client.post(page.request["PATH_INFO"], values | {"reason": reason})


def save(client: Client, code: str, /, **changes: Any) -> Any:
    """Send the form, and confirm it with a reason if it has no error."""
    page = send(client, code, **changes)
    return page if "seen" not in (page.context or {}) else confirm(client, page)


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


@pytest.mark.parametrize(("language", "fee"), [("en", "2.5"), ("fr", "2,5")])
def test_list_shows_a_fee_in_the_reader_s_language(language: str, fee: str, superuser_client: Client) -> None:
    Provider.objects.filter(pk="mtn_bj").update(fee_percent="2.50")

    page = superuser_client.get("/admin/feexpay/provider/", headers={"Accept-Language": language}).content.decode()

    assert f"{fee}\u00a0%" in page


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
    assert errors == {"enabled": ["This provider cannot be enabled: This service does not work in Cameroon."]}
    assert Provider.objects.get(pk="mtn_cm").enabled is False


def test_unavailable_provider_shows_why(superuser_client: Client) -> None:
    page = superuser_client.get("/admin/feexpay/provider/mtn_cm/change/").content.decode()

    assert "This service does not work in Cameroon." in page


def test_provider_shows_why_in_the_language_of_staff(superuser_client: Client) -> None:
    page = superuser_client.get(
        "/admin/feexpay/provider/mtn_cm/change/", headers={"accept-language": "fr"}
    ).content.decode()

    assert "Ce service ne fonctionne pas au Cameroun." in page


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


# --- a change is confirmed with a reason -------------------------------------------------------------


def test_change_is_shown_with_the_values_before_and_after_and_waits_for_the_reason(superuser_client: Client) -> None:
    page = send(superuser_client, "mtn_bj", max_amount=4000, fee_percent="2.50", enabled=False)

    text = " ".join(re.sub("<[^>]+>", " ", page.content.decode()).replace("\u00a0", " ").split())
    assert "Enabled yes no" in text
    assert "Fee in percent 1.70 % 2.50 %" in text
    assert Provider.objects.get(pk="mtn_bj").enabled
    assert not StaffAction.objects.exists()


@pytest.mark.parametrize("reason", ["", "   "])
def test_change_without_a_reason_is_not_saved(reason: str, superuser_client: Client) -> None:
    page = send(superuser_client, "mtn_bj", max_amount=4000)

    again = confirm(superuser_client, page, reason=reason)

    assert list(again.context["form"].errors) == ["reason"]
    assert Provider.objects.get(pk="mtn_bj").max_amount != 4000
    assert not StaffAction.objects.exists()


def test_audit_list_keeps_the_old_and_the_new_value_of_every_field_and_the_reason(superuser_client: Client) -> None:
    row = Provider.objects.get(pk="orange_sn")
    before = {"flow": row.flow, "enabled": True, "max_amount": row.max_amount, "fee_percent": f"{row.fee_percent:.2f}"}

    save(superuser_client, "orange_sn", flow="otp", enabled=False, max_amount=4000, fee_percent="2.50")

    action = StaffAction.objects.get()
    after = {"flow": "otp", "enabled": False, "max_amount": 4000, "fee_percent": "2.50"}
    assert action.detail == {"before": before, "after": after}
    assert (action.action, action.target, action.reason) == (
        "switch_provider",
        "provider:orange_sn",
        "Agreed with the operator",
    )


def test_change_that_somebody_else_overtook_is_shown_again(superuser_client: Client) -> None:
    page = send(superuser_client, "mtn_bj", max_amount=4000)
    Provider.objects.filter(pk="mtn_bj").update(max_amount=3000)

    again = confirm(superuser_client, page)

    assert "Another member of staff changed this provider" in again.content.decode()
    assert Provider.objects.get(pk="mtn_bj").max_amount == 3000
    confirm(superuser_client, again)
    assert Provider.objects.get(pk="mtn_bj").max_amount == 4000


def test_form_without_a_change_asks_for_nothing(superuser_client: Client) -> None:
    answer = send(superuser_client, "mtn_bj")

    assert answer.status_code == 302
    assert not StaffAction.objects.exists()


def test_save_and_continue_leads_back_to_the_page(superuser_client: Client) -> None:
    page = send(superuser_client, "mtn_bj", name="MTN MoMo", _continue="1")

    assert confirm(superuser_client, page)["Location"] == "/admin/feexpay/provider/mtn_bj/change/"


def test_unknown_provider_is_not_changed(superuser_client: Client) -> None:
    assert superuser_client.post("/admin/feexpay/provider/nobody/change/", {"seen": ""}).status_code == 302


# --- maintenance -------------------------------------------------------------------------------------


def act(client: Client, action: str, *codes: str, reason: str = "The operator called") -> Any:
    """Choose providers in the list, and give the reason on the page that asks for it."""
    form = {"action": action, "_selected_action": codes}
    page = client.post("/admin/feexpay/provider/", form, follow=True)
    return client.post(page.request["PATH_INFO"] + "?" + page.request["QUERY_STRING"], {"reason": reason}, follow=True)


def test_provider_is_closed_for_maintenance_in_both_languages_and_opened_again(superuser_client: Client) -> None:
    act(superuser_client, "close_for_maintenance", "mtn_bj")

    row = Provider.objects.get(pk="mtn_bj")
    assert not row.is_available
    assert (unavailable(row, "en"), unavailable(row, "fr")) == MAINTENANCE
    action = StaffAction.objects.get()
    assert (action.action, action.target, action.reason) == (
        "switch_provider",
        "provider:mtn_bj",
        "The operator called",
    )
    assert (action.detail["before"]["enabled"], action.detail["after"]["enabled"]) == (True, False)

    act(superuser_client, "open_again", "mtn_bj")

    row.refresh_from_db()
    assert (row.is_available, row.disabled_reason, row.disabled_reason_fr) == (True, "", "")


def test_list_action_counts_what_was_done_and_skipped_and_keeps_a_row_for_each(superuser_client: Client) -> None:
    Provider.objects.filter(pk="moov_bj").update(enabled=False, disabled_reason="Ours")

    page = act(superuser_client, "close_for_maintenance", "mtn_bj", "moov_bj")

    texts = [str(message) for message in page.context["messages"]]
    assert texts[0] == "Close for maintenance: 1 done, 1 skipped, 0 failed."
    assert texts[1] == "Moov Money (Benin): It was switched off already."
    assert Provider.objects.get(pk="moov_bj").disabled_reason == "Ours"
    assert set(StaffAction.objects.values_list("target", "result")) == {
        ("provider:mtn_bj", "done"),
        ("provider:moov_bj", "skipped"),
    }


def test_provider_that_feexpay_does_not_serve_stays_closed(superuser_client: Client) -> None:
    page = act(superuser_client, "open_again", "mtn_cm")

    assert not Provider.objects.get(pk="mtn_cm").enabled
    assert "MTN Mobile Money (Cameroon): This service does not work in Cameroon." in [
        str(message) for message in page.context["messages"]
    ]


@pytest.mark.parametrize("action", ["close_for_maintenance", "open_again"])
def test_list_action_without_a_reason_does_nothing(action: str, superuser_client: Client) -> None:
    before = set(Provider.objects.values_list("pk", "enabled"))

    page = act(superuser_client, action, "mtn_bj", "moov_bj", reason=" ")

    assert list(page.context["form"].errors) == ["reason"]
    assert set(Provider.objects.values_list("pk", "enabled")) == before
    assert not StaffAction.objects.exists()


@pytest.mark.parametrize(
    ("code", "enabled", "offered"),
    [("mtn_bj", True, "Close for maintenance"), ("mtn_bj", False, "Open again"), ("mtn_cm", False, "")],
)
def test_page_offers_the_switch_that_is_possible(
    code: str, enabled: bool, offered: str, superuser_client: Client
) -> None:
    Provider.objects.filter(pk=code).update(enabled=enabled)

    page = superuser_client.get(f"/admin/feexpay/provider/{code}/change/")

    assert [action["title"] for action in page.context["page_actions"]] == ([offered] if offered else [])


@pytest.mark.parametrize("action", ["close_for_maintenance", "open_again"])
def test_view_only_staff_cannot_switch_by_post(action: str, staff_client: StaffClient) -> None:
    before = set(Provider.objects.values_list("pk", "enabled"))
    client = staff_client("view_provider")

    client.post("/admin/feexpay/provider/", {"action": action, "_selected_action": ["mtn_bj", "moov_bj"]})
    answer = client.post(f"/admin/feexpay/provider/{action}/?provider=mtn_bj&provider=moov_bj", {"reason": "x"})

    assert answer.status_code == 403
    assert set(Provider.objects.values_list("pk", "enabled")) == before
    assert not StaffAction.objects.exists()


def test_history_of_a_provider_names_who_changed_it_and_why(superuser_client: Client) -> None:
    act(superuser_client, "close_for_maintenance", "mtn_bj")

    page = superuser_client.get("/admin/feexpay/provider/mtn_bj/history/").content.decode()

    assert "boss" in page
    assert "The operator called" in page


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
