"""Lists on a phone, chips of the chosen filters, empty lists and titles."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from tests.admin.conftest import StartPayment

LIST = "/admin/feexpay/payment/"


def test_each_cell_names_its_heading(superuser_client: Client, start_payment: StartPayment) -> None:
    start_payment()

    page = superuser_client.get(LIST, headers={"Accept-Language": "fr"}).content.decode()
    headings = re.findall(r'<t[hd] data-label="([^"]*)"', page)

    assert headings[:4] == ["", "Identifiant", "Statut", "Moyen de paiement"]


def test_chosen_filter_is_a_chip_that_removes_only_itself(
    superuser_client: Client, start_payment: StartPayment
) -> None:
    start_payment()

    page = superuser_client.get(f"{LIST}?status=failed&currency=XOF").content.decode()
    chips = re.findall(r'<li><a href="([^"]*)">(\w+): <strong>(\w+)</strong>', page)

    assert [(title, words) for _address, title, words in chips] == [("Status", "Failed"), ("Currency", "XOF")]
    assert [address for address, _title, _words in chips] == ["?currency=XOF", "?status=failed"]


def test_list_without_filters_has_no_chips(superuser_client: Client) -> None:
    assert "feexpay-chips" not in superuser_client.get(LIST).content.decode()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (LIST, "Each payment appears here as soon as a payer starts it"),
        (f"{LIST}?status=failed", "No row matches your search and filters."),
        ("/admin/feexpay/webhookdelivery/", "Enter this server&#x27;s webhook address"),
        ("/admin/feexpay/refund/", "Open a payment or an incident"),
    ],
)
def test_empty_list_says_what_to_do(superuser_client: Client, address: str, words: str) -> None:
    assert words in superuser_client.get(address).content.decode()


def test_list_is_titled_by_its_rows(superuser_client: Client) -> None:
    page = superuser_client.get(LIST, headers={"Accept-Language": "fr"}).content.decode()

    assert "<h1>Paiements</h1>" in page


def test_page_of_an_event_is_titled_in_words(superuser_client: Client, start_payment: StartPayment) -> None:
    event = start_payment().events.order_by("id").last()
    assert event is not None

    page = superuser_client.get(
        f"/admin/feexpay/paymentevent/{event.pk}/change/", headers={"Accept-Language": "fr"}
    ).content.decode()
    title = re.search(r"<h2>([^<]*)</h2>", page)

    assert title is not None
    assert title[1].endswith("→ En attente")
