"""Lifts of the prompt limit: permission, reason, end, and no number stored."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from django_feexpay import conf
from django_feexpay.models import PromptLift, StaffAction
from django_feexpay.payments.errors import NotAllowedError
from tests.admin.conftest import StaffClient, StartPayment

pytestmark = pytest.mark.django_db

LIST = "/admin/feexpay/promptlift/"
LIFT = "/admin/feexpay/promptlift/lift/"
LIFT_FORM = {"phone": "+229 01 97 00 00 50", "hours": "4", "reason": "Ama rang: her phone was stolen, she pays again"}


@pytest.fixture(autouse=True)
def default_limit(settings: Settings) -> None:
    settings.FEEXPAY = {**settings.FEEXPAY, "PROMPTS_PER_PHONE": 1}


def test_lifted_number_gets_payment_requests_again(superuser_client: Client, start_payment: StartPayment) -> None:
    start_payment()
    with pytest.raises(NotAllowedError):
        start_payment(amount=700)

    answer = superuser_client.post(LIFT, LIFT_FORM, follow=True)

    assert answer.redirect_chain == [(LIST, 302)]
    assert "can get payment requests without a limit until" in answer.content.decode()
    assert start_payment(amount=700).status == "pending"


def test_lift_stores_actor_time_and_reason_without_the_number(
    superuser_client: Client, db: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    staff = User.objects.get(is_superuser=True)

    page = superuser_client.post(LIFT, LIFT_FORM, follow=True).content.decode()

    kept = PromptLift.objects.get()
    assert (kept.masked_msisdn, kept.reason, kept.actor) == ("+229 01 •• •• •• 50", LIFT_FORM["reason"], str(staff.pk))
    assert timedelta(hours=3, minutes=59) < kept.until - conf.now() <= timedelta(hours=4)
    action = StaffAction.objects.get()
    assert (action.action, action.actor, action.reason) == ("lift_prompts", str(staff.pk), LIFT_FORM["reason"])
    assert kept.reason in page
    assert staff.username in page
    for written in (page, caplog.text, repr(vars(action)), repr(vars(kept))):
        assert "97000050" not in written
        assert "97 00 00 50" not in written
    assert kept.msisdn_hash not in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phone": "12345"}, "This is not a phone number of a country with a provider."),
        ({"phone": "90 00 00 50"}, "This number exists in several countries. Begin with its country code."),
        ({"phone": ""}, "This field is required."),
        ({"reason": "  "}, "This field is required."),
        ({"reason": "she rang from 01 97 00 00 51"}, "Do not write a phone number here: this text is kept for ever."),
        ({"reason": "x" * 501}, "Ensure this value has at most 500 characters"),
        ({"hours": "720"}, "Select a valid choice."),
    ],
    ids=["no number", "several countries", "empty", "no reason", "number in the reason", "long", "too long a time"],
)
def test_wrong_input_is_reported_and_nothing_is_lifted(
    superuser_client: Client, changes: dict[str, str], words: str
) -> None:
    answer = superuser_client.post(LIFT, LIFT_FORM | changes)

    page = answer.content.decode()
    assert (answer.status_code, words in page) == (200, True)
    assert not changes.get("phone") or changes["phone"] not in page
    assert not PromptLift.objects.exists()


@pytest.mark.parametrize("permissions", [(), ("view_promptlift",), ("lift_prompt_limit",)])
def test_lift_needs_both_permissions(staff_client: StaffClient, permissions: tuple[str, ...]) -> None:
    client = staff_client(*permissions)

    assert [client.get(LIFT).status_code, client.post(LIFT, LIFT_FORM).status_code] == [403, 403]
    assert not PromptLift.objects.exists()


def test_button_is_shown_with_the_permission(staff_client: StaffClient) -> None:
    assert LIFT in staff_client("view_promptlift", "lift_prompt_limit").get(LIST).content.decode()
    assert LIFT not in staff_client("view_promptlift").get(LIST).content.decode()


def test_number_in_the_address_is_not_taken(superuser_client: Client) -> None:
    assert superuser_client.get(LIFT, LIFT_FORM).status_code == 200
    assert superuser_client.delete(LIFT).status_code == 405
    assert not PromptLift.objects.exists()


def test_list_shows_whether_a_lift_is_in_force(superuser_client: Client, settings: Any) -> None:
    superuser_client.post(LIFT, LIFT_FORM)
    assert "Lifted" in superuser_client.get(LIST).content.decode()
    PromptLift.objects.update(lifted_at=conf.now() - timedelta(hours=2), until=conf.now() - timedelta(hours=1))

    page = superuser_client.get(LIST, headers={"Accept-Language": "fr"}).content.decode()

    assert "Terminée" in page


def test_page_says_when_there_is_nothing_to_lift(superuser_client: Client, settings: Settings) -> None:
    settings.FEEXPAY = {**settings.FEEXPAY, "PROMPTS_PER_PHONE": 0}

    assert "there is nothing to lift" in superuser_client.get(LIFT).content.decode()
