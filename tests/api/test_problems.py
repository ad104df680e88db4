"""Problems: their list, their request ids, and the unexpected error."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.signals import got_request_exception

from django_feexpay.api import views
from django_feexpay.catalogue.outcomes import REASON_CODES, UNKNOWN_REASON
from django_feexpay.payments.failure_reasons import REASONS
from django_feexpay.problems import PROBLEMS
from tests.api.caller import Caller, assert_problem

#: Every problem code of the HTTP API, and its status.
STATUS_OF_CODE = {
    "validation_error": 400,
    "malformed_request": 400,
    "not_authenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "payment_open": 409,
    "not_retryable": 409,
    "duplicate_payment": 409,
    "idempotency_conflict": 409,
    "otp_not_expected": 409,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "idempotency_mismatch": 422,
    "otp_rejected": 422,
    "provider_unavailable": 422,
    "throttled": 429,
    "too_many_prompts": 429,
    "server_error": 500,
    "gateway_unavailable": 503,
    "not_configured": 503,
    "rate_unavailable": 503,
}


def test_problems_are_those_of_the_interface() -> None:
    assert {code: int(status) for code, (status, _title) in PROBLEMS.items()} == STATUS_OF_CODE


def test_every_reason_has_a_text_for_the_payer() -> None:
    assert REASON_CODES - set(REASONS) == {UNKNOWN_REASON}  # it has the text for any reason


@pytest.fixture
def broken_history(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise ArithmeticError("secret detail")

    monkeypatch.setattr(views.pagination, "page", fail)


@pytest.mark.django_db
def test_unexpected_error_is_a_problem_without_details(
    player: Any, broken_history: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "django_feexpay.api"):
        response = Caller(player, raise_errors=False).get("history/")

    assert_problem(response, 500, "server_error")
    assert "secret" not in response.content.decode()
    assert "secret detail" in caplog.text


@pytest.mark.django_db
def test_unexpected_error_is_logged_and_signalled(player: Any, broken_history: None) -> None:
    heard: list[str] = []

    def listen(*, request: Any, **kwargs: Any) -> None:
        heard.append(request.path)

    got_request_exception.connect(listen)
    try:
        Caller(player, raise_errors=False).get("history/")
    finally:
        got_request_exception.disconnect(listen)

    assert heard == ["/api/v1/payments/feexpay/history/"]


@pytest.mark.django_db
@pytest.mark.parametrize(("given", "kept"), [("req-1.a:B_2", True), ("x" * 65, False), ("a b", False), ("", False)])
def test_request_id_of_the_client_is_used_if_it_is_safe_to_log(stranger: Caller, given: str, kept: bool) -> None:
    body = assert_problem(stranger.get("history/", {"X-Request-ID": given}), 401, "not_authenticated")

    assert (body["request_id"] == given) == kept


@pytest.mark.django_db
def test_successful_answers_have_a_request_id_too(stranger: Caller) -> None:
    assert stranger.get("health/", {"X-Request-ID": "req-1"}).headers["X-Request-ID"] == "req-1"
