"""The watch over the whole suite finds what is planted, wherever it looks, and what a test configures."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django_q.tasks import async_task
from sentry_sdk.envelope import Envelope

from tests.conftest import Configure
from tests.leak_watch import watch

pytestmark = [pytest.mark.django_db, pytest.mark.leaks]

SECRET = "a secret that only this test configures"


@pytest.fixture(autouse=True)
def secret(configure: Configure) -> None:
    configure(WEBHOOK_SECRETS=[f"header:Bearer {SECRET} until 2031-01-01"])
    watch.take()


@pytest.mark.parametrize("planted", [SECRET, "+229 01 61 00 00 50", "61000051", "0161.00.00.52"])
def test_what_is_planted_is_found_in(planted: str, settings: Any) -> None:
    def places() -> list[str]:
        return [found.partition(":")[0] for found in watch.take()]

    logging.getLogger("django_feexpay.api").error("refused %s", planted)
    logging.getLogger("shop").info("refused", extra={"payer": planted})
    assert places() == ["log", "log"]

    User.objects.create_user("kofi", last_name=planted)
    assert places() == ["table"]

    async_task("math.sqrt", planted)
    assert "queue" in places()

    settings.ROOT_URLCONF = Urls(planted)
    answer = Client().get("/")
    assert (answer.status_code, places()) == (400, ["error answer"])

    Envelope().add_event({"message": planted})
    assert places() == ["Sentry"]


def test_usual_texts_are_no_finding() -> None:
    logging.getLogger("shop").error("+229 01 •• •• •• 50 at 2026-11-29T10:44:01.610000Z 1610000501 0d0f0c3e-61000050ab")

    assert watch.take() == []


class Urls:
    """A URLconf with one page, which quotes a text in its refusal."""

    def __init__(self, text: str) -> None:
        from django.urls import path

        self.urlpatterns = [path("", lambda request: HttpResponse(f"no: {text}", status=400))]
