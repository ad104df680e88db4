"""A body that is not a valid JSON object is refused and not stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.db import OperationalError, connection
from django.test import Client

from django_feexpay.models import WebhookDelivery
from django_feexpay.webhooks import bodies
from tests.api.caller import BASE, assert_problem, row_counts
from tests.api.test_bad_input import BODIES
from tests.webhooks.webhook_requests import delivery, post_webhook

pytestmark = pytest.mark.django_db

ADDRESSES = [f"{BASE}webhook/", f"{BASE}webhook/token-1/"]
#: The malformed bodies of the API's tests. Bodies that only the fields of the API forbid are valid here.
REFUSED = [row for row in BODIES if row[3] != "validation_error"]


@pytest.mark.parametrize(("raw", "status", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_body_that_is_not_a_valid_object_is_refused(raw: bytes, status: int, code: str) -> None:
    before = row_counts()

    assert_problem(post_webhook(raw), status, code)

    assert row_counts() == before


def test_empty_body_is_refused() -> None:
    assert_problem(post_webhook(b"", {"Content-Type": "application/json"}), 400, "malformed_request")


def test_body_of_64_kilobytes_is_accepted() -> None:
    body = json.dumps(delivery()).encode()

    assert post_webhook(body + b" " * (64 * 1024 - len(body))).status_code == 200


@pytest.mark.parametrize("length", ["5", "-1", "many", ""])
def test_wrong_content_length_is_refused_or_ignored(length: str) -> None:
    response = post_webhook(b"{" + b" " * 70_000 + b"}", {"Content-Length": length})

    assert response.status_code in (400, 413)
    assert WebhookDelivery.objects.count() == 0


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_only_post_is_answered(address: str, method: str) -> None:
    response = Client().generic(method, address)

    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "x"]
)
def test_other_media_types_are_refused(content_type: str) -> None:
    assert_problem(post_webhook(content_type=content_type), 415, "unsupported_media_type")
    assert WebhookDelivery.objects.count() == 0


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_media_type_json_is_accepted_in_any_spelling(content_type: str) -> None:
    assert post_webhook(content_type=content_type).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reference": None, "status": None},
        {"reference": 5, "status": ["SUCCESSFUL"], "amount": "many"},
        {"reference": "../../admin", "status": "x" * 5000},
        {"reference": "x" * 5000, "status": "\u202e\n\x1b[31m"},
        {"data": {"data": {"data": {"data": {}}}}},
        {"amount": 10**4000, "date": 1.5, "type": True},
    ],
)
def test_any_object_is_stored(body: dict[str, Any]) -> None:
    assert post_webhook(body).status_code == 200
    assert WebhookDelivery.objects.get().attempt is None


def test_no_cookie_is_set_and_no_csrf_token_is_required() -> None:
    response = Client(enforce_csrf_checks=True).post(ADDRESSES[0], b"{}", content_type="application/json")

    assert (response.status_code, dict(response.cookies)) == (200, {})


@contextmanager
def database_unavailable() -> Iterator[None]:
    def fail(*args: Any) -> Any:
        raise OperationalError("the server closed the connection")

    with connection.execute_wrapper(fail):
        yield


def test_database_error_answers_503_so_that_feexpay_retries() -> None:
    with database_unavailable():
        response = post_webhook()

    assert_problem(response, 503, "gateway_unavailable")
    assert response.headers["Retry-After"] == "5"
    assert post_webhook().status_code == 200


class Sent(BytesIO):
    """A body that counts how much of it was read."""

    read_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        return data


def refused(body: Sent, *headers: tuple[bytes, bytes]) -> str:
    """The problem of a body under ASGI, where no server limits what is read."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), *headers],
    }
    with pytest.raises(bodies.BodyRefusedError) as caught:
        bodies.read_body(ASGIRequest(scope, body))
    return caught.value.code


def test_body_that_says_it_is_too_large_is_not_read() -> None:
    body = Sent(b" " * 70_000)

    assert refused(body, (b"content-length", b"70000")) == "payload_too_large"
    assert body.read_bytes == 0


@pytest.mark.parametrize("headers", [(), ((b"content-length", b"5"),)], ids=["no length", "a wrong length"])
def test_body_that_is_larger_than_it_says_is_read_up_to_the_limit(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    body = Sent(b" " * 3_000_000)

    assert refused(body, *headers) == "payload_too_large"
    assert body.read_bytes == 64 * 1024 + 1


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "utf-7"])
def test_other_charsets_are_refused(charset: str) -> None:
    assert_problem(post_webhook(content_type=f"application/json; charset={charset}"), 415, "unsupported_media_type")
