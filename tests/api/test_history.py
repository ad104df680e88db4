"""GET history/: pages that skip and repeat no row, and filters."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_feexpay.models import Attempt, Payment
from tests.api.caller import Caller, assert_problem
from tests.api.test_initiate import assert_shape

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
AUTHENTICATION_STATEMENTS = 2


def kept(
    user: User, *, at: datetime = NOON, status: str = "pending", reference: str | None = None, **fields: Any
) -> Payment:
    """A stored payment, written without any call."""
    return keep_many(user, 1, at=at, status=status, reference=reference, **fields)[0]


def keep_many(
    user: User, count: int, *, at: datetime = NOON, status: str = "pending", reference: str | None = None, **fields: Any
) -> list[Payment]:
    facts = {"provider_id": "mtn_bj", "amount": 5000, "currency": "XOF", "charged_amount": 5000} | fields
    payments = [
        Payment(user=user, status=status, charged_currency="XOF", created_at=at, updated_at=at, **facts)
        for _ in range(count)
    ]
    Payment.objects.bulk_create(payments)
    for payment in payments:
        payment.latest_attempt = Attempt(
            payment=payment,
            status=status,
            amount=5000,
            gateway_reference=reference,
            masked_msisdn="+229 01 •• •• •• 50",
            expires_at=at + timedelta(minutes=15),
            created_at=at,
            updated_at=at,
        )
    Attempt.objects.bulk_create([payment.attempt for payment in payments])
    Payment.objects.bulk_update(payments, ["latest_attempt"])
    return payments


def ids(response: Any) -> list[UUID]:
    assert response.status_code == 200, response.content
    return [UUID(row["id"]) for row in response.json()["results"]]


def newest_first(payments: list[Payment]) -> list[UUID]:
    return [payment.pk for payment in sorted(payments, key=lambda row: (row.created_at, row.pk), reverse=True)]


def walk(caller: Caller, response: Any, direction: str) -> list[list[UUID]]:
    """This page and all that follow, by the addresses in the answers."""
    pages = [ids(response)]
    while (address := response.json()[direction]) is not None:
        response = caller.follow(address)
        pages.append(ids(response))
        assert len(pages) < 100
    return [*pages]


def test_rows_of_the_same_instant_appear_once_in_both_directions(player: User, caller: Caller) -> None:
    expected = newest_first(keep_many(player, 1500))

    forth = walk(caller, caller.get("history/", page_size=100), "next")
    last = caller.get("history/", page_size=100)
    while last.json()["next"]:
        last = caller.follow(last.json()["next"])
    back = walk(caller, last, "previous")

    assert [one for page in forth for one in page] == expected
    assert [one for page in reversed(back) for one in page] == expected
    assert [len(page) for page in forth] == [100] * 15


def test_pages_stay_complete_while_new_payments_arrive(player: User, caller: Caller) -> None:
    old = newest_first([kept(player, at=NOON + timedelta(seconds=step)) for step in range(6)])
    first = caller.get("history/", page_size=3)
    new = kept(player, at=NOON + timedelta(hours=1))

    second = caller.follow(first.json()["next"])

    assert ids(first) + ids(second) == old
    assert ids(caller.follow(caller.follow(second.json()["previous"]).json()["previous"])) == [new.pk]


def test_history_rows_read_like_payments(player: User, caller: Caller) -> None:
    kept(player)

    response = caller.get("history/")

    assert list(response.json()) == ["next", "previous", "results"]
    assert_shape(response.json()["results"][0])


def test_page_costs_one_statement(player: User, caller: Caller) -> None:
    keep_many(player, 50)
    middle = caller.get("history/", page_size=10).json()["next"]

    for address in (middle, middle + "&search=order&status=pending&country=BJ"):
        with CaptureQueriesContext(connection) as statements:
            caller.follow(address)
        assert len(statements) == AUTHENTICATION_STATEMENTS + 1


def test_page_has_20_rows_by_default(player: User, caller: Caller) -> None:
    keep_many(player, 30)

    sizes = [len(ids(caller.get("history/", **query))) for query in ({}, {"page_size": 1}, {"page_size": 100})]

    assert sizes == [20, 1, 30]


@pytest.mark.parametrize("size", ["0", "-1", "101", "1000", "00000500", "ten", "1.5", "\u0661", "9" * 5000, " 5", ""])
def test_page_size_is_1_to_100(caller: Caller, size: str) -> None:
    assert_problem(caller.get("history/", page_size=size), 400, "validation_error", field="page_size")


@pytest.mark.parametrize(
    "cursor",
    ["x", "%00", "é", "bnxub3RhdGltZXx4", "A" * 5000, "bnwyMDI2LTExLTIzfDE="]
    + ["bnwwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwfHg="],
)
def test_forged_cursor_is_refused(caller: Caller, cursor: str) -> None:
    assert_problem(caller.get("history/", cursor=cursor), 400, "validation_error", field="cursor")


@pytest.mark.parametrize("direction", ["n", "p", "x"])
@pytest.mark.parametrize(
    "instant", ["2026-11-23T12:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-11-23"]
)
def test_cursor_at_the_ends_of_datetime_is_no_error(player: User, caller: Caller, direction: str, instant: str) -> None:
    kept(player)
    cursor = base64.urlsafe_b64encode(f"{direction}|{instant}|{uuid4()}".encode()).decode()

    assert caller.get("history/", cursor=cursor).status_code == 200


# --- filters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "pending"}, {"coins", "sent", "review"}),
        ({"status": "successful"}, {"paid"}),
        ({"status": "failed"}, {"refused", "late"}),
        ({"provider": "moov_bj"}, {"sent"}),
        ({"country": "CI"}, {"paid"}),
        ({"currency": "XAF"}, {"late"}),
        ({"merchant_reference": "coins"}, {"coins"}),
        ({"merchant_reference": "coin"}, set()),
        ({"idempotency_key": "tap-1"}, {"refused"}),
        ({"created_after": "2026-11-23T12:00:03Z"}, {"refused", "late", "review"}),
        ({"created_after": "2026-11-23T13:00:03+01:00"}, {"refused", "late", "review"}),
        ({"created_before": "2026-11-23T12:00:03Z"}, {"coins", "sent", "paid"}),
        ({"created_after": "2026-11-23T12:00:01Z", "created_before": "2026-11-23T12:00:03Z"}, {"sent", "paid"}),
        ({"amount_min": "700"}, {"coins", "paid", "refused", "late", "review"}),
        ({"amount_max": "700"}, {"sent", "paid"}),
        ({"amount_min": "700", "amount_max": "700"}, {"paid"}),
        ({"search": "COI"}, {"coins"}),
        ({"search": "REF-9"}, {"paid"}),
        ({"search": "REF"}, {"refused"}),
        ({"search": "nothing"}, set()),
        ({"search": "%"}, set()),
        ({"status": "pending", "amount_min": "700"}, {"coins", "review"}),
    ],
    ids=lambda value: urlencode(value) if isinstance(value, dict) else "",
)
def test_filter_keeps_matching_rows(player: User, caller: Caller, query: dict[str, str], expected: set[str]) -> None:
    rows = [
        {"merchant_reference": "coins"},
        {"merchant_reference": "sent", "provider_id": "moov_bj", "amount": 500, "status": "sending"},
        {
            "merchant_reference": "paid",
            "provider_id": "mtn_ci",
            "amount": 700,
            "status": "successful",
            "reference": "REF-9",
        },
        {"merchant_reference": "refused", "idempotency_key": "tap-1", "status": "rejected"},
        {"merchant_reference": "late", "currency": "XAF", "status": "expired"},
        {"merchant_reference": "review", "status": "review"},
    ]
    for seconds, row in enumerate(rows):
        kept(player, at=NOON + timedelta(seconds=seconds), **row)

    response = caller.get("history/", **query)

    assert response.status_code == 200, response.content
    assert {row["merchant_reference"] for row in response.json()["results"]} == expected


def test_search_finds_a_payment_by_its_id(player: User, caller: Caller) -> None:
    payment, _other = keep_many(player, 2)

    for writing in (str(payment.pk), str(payment.pk).upper(), payment.pk.hex):
        assert ids(caller.get("history/", search=writing)) == [payment.pk]


def test_page_links_keep_the_filters(player: User, caller: Caller) -> None:
    wanted = keep_many(player, 5, merchant_reference="a b&c")
    keep_many(player, 5, merchant_reference="other")

    pages = walk(caller, caller.get("history/", page_size=2, merchant_reference="a b&c"), "next")

    assert [one for page in pages for one in page] == newest_first(wanted)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("statuss", "pending"),
        ("ordering", "amount"),
        ("user", "1"),
        ("format", "csv"),
        ("limit", "5"),
        ("provider_id", "mtn_bj"),
        ("created_at__gt", "2026-11-23"),
        ("status", "sending"),
        ("status", "PENDING"),
        ("provider", "nobody"),
        ("country", "Benin"),
        ("currency", "CFA"),
        ("merchant_reference", "x" * 65),
        ("merchant_reference", "\x00"),
        ("idempotency_key", "x" * 256),
        ("search", "x" * 129),
        ("search", "\x00"),
        ("created_after", "yesterday"),
        ("created_after", "0001-01-01T00:00:00+14:00"),
        ("created_before", "9999-12-31T23:59:59-12:00"),
        ("created_before", "2026-02-30"),
        ("amount_min", "-1"),
        ("amount_min", "many"),
        ("amount_min", "1.5"),
        ("amount_max", str(2**63)),
        ("amount_max", "1e400"),
        ("amount_max", "NaN"),
        ("amount_max", "9" * 5000),
    ],
)
def test_invalid_filter_is_refused(caller: Caller, name: str, value: str) -> None:
    assert_problem(caller.get("history/", **{name: value}), 400, "validation_error", field=name)


@pytest.mark.parametrize("text", ["'", '"', "\\", "';--", "%27 OR 1=1", "\u202e", "😀", str(UUID(int=7))])
def test_search_accepts_any_text(player: User, caller: Caller, text: str) -> None:
    kept(player)

    assert ids(caller.get("history/", search=text)) == []
