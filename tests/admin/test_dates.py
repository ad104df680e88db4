"""Dates and times are written in the shop's language, words and time zone on every page of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import formats, timezone, translation

from django_feexpay.models import Alert, Checkout, OutboxMessage, Payment, WebhookDelivery
from django_feexpay.monitoring import alerts
from tests.admin.conftest import page_of

pytestmark = pytest.mark.django_db

#: An hour before midnight in UTC: the next day has begun in Porto-Novo.
LATE = datetime(2026, 11, 27, 23, 30, tzinfo=UTC)
#: `Nov. 28, 2026`, `November 28, 2026`, `2:05 p.m.`, `11/28/2026`: how Django writes English dates by default.
AMERICAN = re.compile(
    r"\b(?:Jan|Feb|March|April|May|June|July|Aug|Sept|Oct|Nov|Dec)[a-z]*\.? \d{1,2}, \d{4}"
    r"|\d [ap]\.m\.|\d{1,2}/\d{1,2}/\d{4}|, (?:noon|midnight)\b"
)


@pytest.fixture(autouse=True)
def formats_of_django(settings: Any) -> Iterator[None]:
    """A host that has no formats of its own."""
    settings.FORMAT_MODULE_PATH = None
    formats.reset_format_cache()
    yield
    formats.reset_format_cache()


def addresses(model: Any) -> list[str]:
    """The list of a model, the page of each row, and the confirmation page of each of its actions."""
    name, rows = model._meta.model_name, list(model._default_manager.all()[:3])
    found = [reverse(f"admin:feexpay_{name}_changelist")]
    found += [reverse(f"admin:feexpay_{name}_change", args=[row.pk]) for row in rows]
    found += [reverse(f"admin:feexpay_{name}_history", args=[row.pk]) for row in rows]
    actions = getattr(admin.site._registry[model], "confirmed_actions", ())
    found += [f"{reverse(f'admin:feexpay_{name}_{each.name}')}?{name}={row.pk}" for each in actions for row in rows]
    return found


@pytest.mark.parametrize("model", sorted(admin.site._registry, key=str), ids=lambda model: model._meta.label)
def test_no_page_writes_american_dates(model: Any, superuser_client: Client, charged_twice: Payment) -> None:
    if model._meta.app_label != "feexpay":
        return
    for address in addresses(model):
        page = superuser_client.get(address, follow=True).content.decode()
        assert AMERICAN.findall(page) == [], address


def test_front_page_and_dashboard_write_no_american_dates(superuser_client: Client, charged_twice: Payment) -> None:
    Payment.objects.update(erased_at=LATE, pseudonym="x", user=None)
    for address in ("/admin/feexpay/", reverse("admin:feexpay_dailytotal_dashboard"), page_of(charged_twice)):
        assert AMERICAN.findall(superuser_client.get(address).content.decode()) == [], address


@pytest.mark.parametrize(
    ("language", "written"),
    [("en", "28\u00a0Nov\u00a02026, 00:30"), ("fr", "28\u00a0nov.\u00a02026 à 00\u00a0h\u00a030")],
)
@pytest.mark.parametrize("action", ["send_again", "process_again"])
def test_confirmation_page_writes_the_time_of_the_shop(
    action: str, language: str, written: str, superuser_client: Client, charged_twice: Payment
) -> None:
    model = OutboxMessage if action == "send_again" else WebhookDelivery
    row = model.objects.earliest("pk")
    model.objects.update(**{"created_at" if action == "send_again" else "received_at": LATE})
    name = model._meta.model_name
    address = f"{reverse(f'admin:feexpay_{name}_{action}')}?{name}={row.pk}"

    page = superuser_client.get(address, headers={"Accept-Language": language}).content.decode()

    assert written in page


def test_day_in_a_name_is_the_shops_day(charged_twice: Payment) -> None:
    Checkout.objects.update(created_at=LATE)

    assert str(Checkout.objects.get()).endswith("28 November 2026")


def test_times_are_the_shops_whatever_zone_the_host_has_activated(
    superuser_client: Client, charged_twice: Payment
) -> None:
    OutboxMessage.objects.update(created_at=LATE)
    message = OutboxMessage.objects.earliest("pk")
    address = f"{reverse('admin:feexpay_outboxmessage_send_again')}?outboxmessage={message.pk}"

    with timezone.override("Asia/Tokyo"):
        assert "28\u00a0Nov\u00a02026, 00:30" in superuser_client.get(address).content.decode()


@pytest.mark.parametrize(
    ("language", "written"), [("en", "28 November 2026, 00:30"), ("fr", "28 novembre 2026 à\u00a000\u00a0h\u00a030")]
)
def test_message_to_the_team_writes_the_time_of_the_shop(language: str, written: str) -> None:
    row = Alert(fact="reversals", severity="critical", value=1, opened_at=LATE, seen_at=LATE)

    with translation.override(language):
        assert written in alerts._end_text(row)
