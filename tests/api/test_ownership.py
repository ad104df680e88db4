"""Users see only their own payments, and only the documented methods exist."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from tests.api.caller import Caller, assert_problem, row_counts
from tests.payments.fake_gateway import ModelGateway, refuse

pytestmark = pytest.mark.django_db(transaction=True)

#: Every call that names a payment, as (method, path).
CALLS_WITH_ID = [("GET", "{id}/status/"), ("POST", "retry/{id}/"), ("POST", "{id}/otp/")]
#: The calls that need a user, without quote/ and history/export/, which test_quote.py and test_export.py test.
CALLS = [*CALLS_WITH_ID, ("POST", "initiate/"), ("GET", "providers/"), ("GET", "history/")]


@pytest.fixture
def other(db: None) -> Caller:
    return Caller(User.objects.create_user("kofi"))


@pytest.fixture
def payment_id(caller: Caller, gateway: ModelGateway) -> str:
    """A payment of the player that can be retried."""
    gateway.next_collects.append(refuse())
    return str(caller.initiate().json()["id"])


@pytest.mark.parametrize(("method", "path"), CALLS_WITH_ID)
@pytest.mark.parametrize("body", [b"", b"{", b'{"phone":7}', b"\xff", b"x" * 70_000])
def test_payment_of_another_user_is_404_for_any_body(
    other: Caller, payment_id: str, gateway: ModelGateway, method: str, path: str, body: bytes
) -> None:
    before, asked = row_counts(), gateway.questions
    address = path.format(id=payment_id)

    response = other.post(address, body) if method == "POST" else other.get(address)

    assert_problem(response, 404, "not_found")
    assert (row_counts(), gateway.questions, len(gateway.charges)) == (before, asked, 1)


@pytest.mark.parametrize(("method", "path"), CALLS_WITH_ID)
def test_payment_of_another_user_reads_like_an_unknown_one(
    other: Caller, payment_id: str, method: str, path: str
) -> None:
    theirs = other.call(method, path.format(id=payment_id)).json()
    unknown = other.call(method, path.format(id=uuid4())).json()

    assert {**theirs, "request_id": ""} == {**unknown, "request_id": ""}


def test_payment_of_another_user_is_404_for_a_chunked_body(other: Caller, payment_id: str) -> None:
    response = other.post(f"retry/{payment_id}/", headers={"Transfer-Encoding": "chunked", "Content-Length": ""})

    assert_problem(response, 404, "not_found")


def test_history_holds_only_the_users_own_payments(caller: Caller, other: Caller, payment_id: str) -> None:
    assert [row["id"] for row in caller.get("history/").json()["results"]] == [payment_id]
    assert other.get("history/").json()["results"] == []
    assert other.get("history/", search=payment_id).json()["results"] == []


def test_cursor_of_another_user_shows_none_of_their_payments(
    caller: Caller, other: Caller, gateway: ModelGateway
) -> None:
    for name in "abc":
        caller.initiate(merchant_reference=name)
    address = caller.get("history/", page_size=1).json()["next"]

    assert other.follow(address).json() == {"next": None, "previous": None, "results": []}


def test_same_idempotency_key_of_two_users_is_independent(caller: Caller, other: Caller, gateway: ModelGateway) -> None:
    key = {"Idempotency-Key": "tap-1"}

    first, second = caller.initiate(headers=key).json(), other.initiate(headers=key).json()

    assert first["id"] != second["id"]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_anonymous_caller_gets_401(stranger: Caller, method: str, path: str) -> None:
    before = row_counts()

    response = stranger.call(method, path.format(id=uuid4()))

    assert_problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert row_counts() == before


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("initiate/", "GET", "POST"),
        ("initiate/", "DELETE", "POST"),
        ("retry/{id}/", "GET", "POST"),
        ("retry/{id}/", "OPTIONS", "POST"),
        ("{id}/status/", "POST", "GET, HEAD"),
        ("providers/", "POST", "GET, HEAD"),
        ("history/", "PUT", "GET, HEAD"),
        ("health/", "POST", "GET, HEAD"),
    ],
)
def test_wrong_method_names_the_allowed_ones(caller: Caller, path: str, method: str, allow: str) -> None:
    response = caller.call(method, path.format(id=uuid4()))

    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == allow


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "application/problem+json"])
@pytest.mark.parametrize("path", ["history/", "providers/", "health/"])
def test_only_json_is_accepted(caller: Caller, path: str, accept: str) -> None:
    assert_problem(caller.get(path, headers={"Accept": accept}), 406, "not_acceptable")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, application/json;q=0.1", "application/*"])
def test_json_is_sent_if_accept_allows_it(caller: Caller, accept: str) -> None:
    response = caller.get("providers/", headers={"Accept": accept})

    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize(
    "path", ["nothing/", "not-a-uuid/status/", "history", "initiate", "00000000-0000-0000-0000-00000000000g/status/"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_address_is_a_problem(caller: Caller, path: str, method: str) -> None:
    assert_problem(caller.call(method, path), 404, "not_found")
