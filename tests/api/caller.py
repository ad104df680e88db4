"""An HTTP client of the API for tests, and assertions on its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from knox.models import AuthToken

from tests.api.described import assert_described

BASE = "/api/v1/payments/feexpay/"
JSON = "application/json"

#: The members of every problem, by RFC 9457 and docs/reference/http-api.md.
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "errors", "request_id"}


class Caller:
    """A client with a token of `user`, or an anonymous one. Raises an unexpected error in the test instead of a 500.

    It validates every answer, except that of `follow`, against the API description.
    """

    def __init__(self, user: User | None = None, *, raise_errors: bool = True) -> None:
        self._client = Client(raise_request_exception=raise_errors)
        self._headers = {} if user is None else {"Authorization": f"Bearer {new_token(user)}"}

    def get(self, path: str = "", headers: Mapping[str, str] | None = None, **query: Any) -> Any:
        return self._checked("GET", path, self._client.get(BASE + path, query, headers=self._merged_headers(headers)))

    def follow(self, address: str) -> Any:
        """GET an absolute address from an answer."""
        return self._client.get(address, headers=self._headers)

    def post(
        self,
        path: str,
        body: object = b"",
        headers: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> Any:
        """`body`: raw bytes, or an object to encode as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = self._client.post(BASE + path, raw, content_type=content_type, headers=self._merged_headers(headers))
        return self._checked("POST", path, response)

    def call(self, method: str, path: str) -> Any:
        return self._checked(method, path, self._client.generic(method, BASE + path, headers=self._headers))

    def initiate(self, headers: Mapping[str, str] | None = None, **changes: Any) -> Any:
        return self.post("initiate/", initiate_body(**changes), headers=headers)

    def _checked(self, method: str, path: str, response: Any) -> Any:
        assert_described(method, BASE + path, response)
        return response

    def _merged_headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        return self._headers | dict(headers or {})


def new_token(user: User) -> str:
    token: str = AuthToken.objects.create(user=user)[1]
    return token


def initiate_body(**changes: Any) -> dict[str, Any]:
    """A valid body for `initiate/`. A change to None removes the field."""
    body = {"provider": "mtn_bj", "amount": 5000, "phone": "+229 01 61 00 00 50"} | changes
    return {name: value for name, value in body.items() if value is not None}


def row_counts(*app_labels: str) -> dict[str, int]:
    """The number of rows of each table of these apps; of none: of django_feexpay and the shop."""
    models = [model for label in app_labels or ("feexpay", "shop") for model in apps.get_app_config(label).get_models()]
    tables = {model._meta.label: connection.ops.quote_name(model._meta.db_table) for model in models}
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"SELECT '{name}', count(*) FROM {table}" for name, table in tables.items()))
        return dict(cursor.fetchall())


def assert_problem(
    response: HttpResponse, status: int, code: str, *, field: str | None = None, members: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Assert that the answer is a complete problem `code`, and return it. `field`: that of its first error."""
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(response.content)
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert set(body) == PROBLEM_MEMBERS | set(members)
    assert body["type"] == f"urn:feexpay:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["X-Request-ID"]
    for error in body["errors"]:
        assert set(error) == {"field", "code", "message"}
    if field is not None:
        assert body["errors"][0]["field"] == field
    return body
