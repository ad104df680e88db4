"""Comparisons and differences: read, linked to their payments, and closed with a note."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client

from django_feexpay.models import Discrepancy, StaffAction
from tests.admin.conftest import StaffClient, StartPayment, make_discrepancy, page_of

pytestmark = pytest.mark.django_db

LIST = "/admin/feexpay/discrepancy/"
CLOSE = f"{LIST}close/"


@pytest.fixture
def difference(start_payment: StartPayment) -> Discrepancy:
    return make_discrepancy(start_payment().attempt)


def test_list_shows_both_sides_and_links_to_the_payment(superuser_client: Client, difference: Discrepancy) -> None:
    page = superuser_client.get(LIST).content.decode()

    assert "another status" in page
    assert "Pending" in page
    assert "Failed" in page
    assert difference.payment is not None
    assert page_of(difference.payment) in page


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ({"their_word": "", "their_amount": None}, "–"),
        ({"their_word": "unknown"}, "Unknown"),
        ({"their_word": "missing"}, "unknown status"),
        ({"their_amount": None}, "Failed"),
    ],
)
def test_any_status_and_amount_of_feexpay_is_shown(
    columns: dict[str, Any], shown: str, superuser_client: Client
) -> None:
    row = make_discrepancy(None, **columns)

    assert shown in superuser_client.get(f"{LIST}{row.pk}/change/").content.decode()


def test_comparison_shows_the_differences_it_saw(superuser_client: Client, difference: Discrepancy) -> None:
    make_discrepancy(None)

    page = superuser_client.get(f"/admin/feexpay/comparison/{difference.comparison_id}/change/").content.decode()

    assert f"{LIST}{difference.pk}/change/" in page
    assert page.count("/change/") >= 2
    assert "theirs" not in page
    link = f"{LIST}?findings__comparison__id__exact={difference.comparison_id}"
    assert link in page
    assert superuser_client.get(link).context["cl"].result_count == 1


def test_comparison_hides_differences_without_the_view_permission(
    staff_client: StaffClient, difference: Discrepancy
) -> None:
    client = staff_client("view_comparison")

    page = client.get(f"/admin/feexpay/comparison/{difference.comparison_id}/change/").content.decode()

    assert "Differences found" not in page


@pytest.mark.parametrize(("filters", "listed"), [({"state": "open"}, 2), ({"kind": "status"}, 1), ({"q": "theirs"}, 1)])
def test_list_is_narrowed(
    filters: dict[str, str], listed: int, superuser_client: Client, difference: Discrepancy
) -> None:
    make_discrepancy(None)
    make_discrepancy(None, state="gone", gateway_reference="others", kind="amount")

    assert superuser_client.get(LIST, filters).context["cl"].result_count == listed


def test_difference_is_found_by_its_payment(superuser_client: Client, difference: Discrepancy) -> None:
    make_discrepancy(None)

    assert superuser_client.get(LIST, {"q": str(difference.payment_id)}).context["cl"].result_count == 1


def test_close_writes_the_note_and_who_did_it(staff_client: StaffClient, difference: Discrepancy) -> None:
    client = staff_client("view_discrepancy", "change_discrepancy")
    asked = client.post(LIST, {"action": "close", ACTION_CHECKBOX_NAME: [difference.pk]})
    assert asked["Location"] == f"{CLOSE}?discrepancy={difference.pk}"
    assert "another status" in client.get(asked["Location"]).content.decode()

    answer = client.post(asked["Location"], {"reason": "Their list was wrong, ticket 7"}, follow=True)

    difference.refresh_from_db()
    assert (difference.state, difference.note) == ("closed", "Their list was wrong, ticket 7")
    action = StaffAction.objects.get()
    assert (action.action, action.result, action.reason) == (
        *("close_discrepancy", "done"),
        "Their list was wrong, ticket 7",
    )
    assert [str(message) for message in answer.context["messages"]] == [
        "Close the difference: 1 done, 0 skipped, 0 failed."
    ]


def test_close_of_an_ended_difference_changes_nothing(superuser_client: Client, difference: Discrepancy) -> None:
    Discrepancy.objects.update(state="settled")

    answer = superuser_client.post(f"{CLOSE}?discrepancy={difference.pk}", {"reason": "late"}, follow=True)

    difference.refresh_from_db()
    assert (difference.state, difference.note) == ("settled", "")
    assert [str(message) for message in answer.context["messages"]] == [
        "Close the difference: 0 done, 1 skipped, 0 failed.",
        f"{difference}: This difference was closed before: nothing was changed.",
    ]


@pytest.mark.parametrize("held", [["view_discrepancy"], ["change_discrepancy"]])
def test_close_needs_both_permissions(held: list[str], staff_client: StaffClient, difference: Discrepancy) -> None:
    client = staff_client(*held)

    assert client.post(f"{CLOSE}?discrepancy={difference.pk}", {"reason": "x"}).status_code == 403
    assert Discrepancy.objects.get().state == "open"


def test_open_difference_links_to_its_closing(superuser_client: Client, difference: Discrepancy) -> None:
    page = f"{LIST}{difference.pk}/change/"
    assert f"{CLOSE}?discrepancy={difference.pk}" in superuser_client.get(page).content.decode()

    Discrepancy.objects.update(state="gone")

    assert CLOSE not in superuser_client.get(page).content.decode()


def test_close_takes_a_limited_number(
    superuser_client: Client, difference: Discrepancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_feexpay.admin.confirm_action.MAX_ROWS", 0)

    answer = superuser_client.post(LIST, {"action": "close", ACTION_CHECKBOX_NAME: [difference.pk]}, follow=True)

    assert [str(message) for message in answer.context["messages"]] == [
        "You chose too many rows. Choose at most 0 at once. Nothing was done."
    ]


def test_pages_speak_french(superuser_client: Client, difference: Discrepancy) -> None:
    superuser_client.defaults["HTTP_ACCEPT_LANGUAGE"] = "fr"

    listed = superuser_client.get(LIST).content.decode()
    comparison = superuser_client.get(f"/admin/feexpay/comparison/{difference.comparison_id}/change/").content.decode()

    assert "argent en jeu" in listed.lower()
    assert "statut différent" in listed
    assert "Écarts constatés" in comparison
    assert "Les 100 plus récents sont montrés ici." in comparison


def test_comparison_shows_its_result_beside_the_state_now(superuser_client: Client, difference: Discrepancy) -> None:
    """A row that ended later must not contradict the counts, which are of the time of the comparison."""
    Discrepancy.objects.update(state="gone")

    page = superuser_client.get(f"/admin/feexpay/comparison/{difference.comparison_id}/change/").content.decode()

    row = page[page.index(f"{LIST}{difference.pk}/change/") :]
    assert row.index("open") < row.index("gone")


def test_comparison_still_shows_a_difference_that_a_later_one_saw_again(
    superuser_client: Client, difference: Discrepancy
) -> None:
    later = make_discrepancy(None).comparison
    Discrepancy.objects.filter(pk=difference.pk).update(last_comparison=later)

    page = superuser_client.get(f"/admin/feexpay/comparison/{difference.comparison_id}/change/").content.decode()

    assert f"{LIST}{difference.pk}/change/" in page
