"""What Sentry gets, recorded from the envelopes of a real client."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from sentry_sdk.transport import Transport

from django_feexpay.api import views
from django_feexpay.gateway.errors import NotSentError, OutcomeUnknownError
from django_feexpay.monitoring import sentry
from tests.api.caller import BASE, initiate_body, new_token

pytestmark = pytest.mark.django_db

ENVELOPES: list[dict[str, Any]] = []
#: Far from the lines of the stack, because a report shows the source around them.
NAME, MAIL, SEAT, NUMBER = "ama-of-cotonou", "ama@example.com", "seat-of-ama", "+229 01 61 00 00 50"


class Recorder(Transport):
    def capture_envelope(self, envelope: Any) -> None:
        ENVELOPES.extend(json.loads(item.get_bytes()) for item in envelope.items if item.type == "event")


@pytest.fixture
def reports() -> Iterator[list[dict[str, Any]]]:
    ENVELOPES.clear()
    sentry.start("https://key@sentry.example/1", environment="staging", release="shop@7", transport=Recorder)
    try:
        yield ENVELOPES
    finally:
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)


@pytest.mark.leaks  # it logs what a report must not hold
def test_report_of_a_request_holds_nothing_personal(
    reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = User.objects.create_user(NAME, email=MAIL)
    token = new_token(user)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ValueError(f"no payment for {NUMBER}")

    monkeypatch.setattr(views.initiate, "start", fail)
    monkeypatch.setattr(views.filters, "provider_query", fail)
    client = Client(raise_request_exception=False)
    bearer = {"Authorization": f"Bearer {token}"}
    client.get(f"{BASE}providers/?country=BJ", headers=bearer)
    body = initiate_body(phone=NUMBER, metadata={"seat": SEAT})
    client.post(f"{BASE}initiate/", json.dumps(body), content_type="application/json", headers=bearer)

    assert reports
    for report in reports:
        assert (report["release"], report["environment"]) == ("shop@7", "staging")
    written = json.dumps(reports, ensure_ascii=False)
    personal = (token, NAME, MAIL, SEAT, NUMBER, NUMBER.replace(" ", ""), NUMBER[5:], "?country")
    assert [word for word in personal if word in written] == []
    assert "no payment for •••" in written
    assert '"vars"' not in written


@pytest.mark.leaks  # it logs what a report must not hold
def test_user_is_only_an_id_and_errors_of_feexpay_are_grouped_by_kind(reports: list[dict[str, Any]]) -> None:
    sentry_sdk.set_user({"id": "7", "username": "ama", "ip_address": "203.0.113.9", "email": "ama@example.com"})
    for error in (NotSentError("a"), NotSentError("b"), OutcomeUnknownError("c", code="rate_limited")):
        sentry_sdk.capture_exception(error)
    logging.getLogger("django_feexpay.payments").error("attempt of %s", "22961000050", extra={"payer": "ama"})

    assert [report["user"] for report in reports] == [{"id": "7"}] * 4
    assert [report.get("fingerprint") for report in reports[:3]] == [
        ["feexpay", "NotSentError", "not_sent"],
        ["feexpay", "NotSentError", "not_sent"],
        ["feexpay", "OutcomeUnknownError", "rate_limited"],
    ]
    assert reports[3]["logentry"] == {"message": "attempt of •••"}
    assert "ama" not in json.dumps(reports[3])


def test_token_of_the_webhook_and_query_leave_the_address() -> None:
    event: Any = {"request": {"url": "https://shop.example/pay/webhook/secret-token/?a=1", "data": "x", "cookies": {}}}

    assert sentry.scrubbed(event, {})["request"] == {"url": "https://shop.example/pay/webhook/•••/"}


def test_without_a_dsn_nothing_starts_and_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    sentry.start("", environment="production")
    assert not sentry_sdk.get_client().is_active()

    monkeypatch.setitem(__import__("sys").modules, "sentry_sdk", None)
    with pytest.raises(ImproperlyConfigured, match=r"django-feexpay\[sentry\]"):
        sentry.start("https://key@sentry.example/1", environment="production")
