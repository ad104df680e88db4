"""A second, independent table of the legal moves. Each change in the code must be repeated here."""

from __future__ import annotations

import itertools

import pytest

from django_feexpay import lifecycle
from django_feexpay.lifecycle import Detail, PublicStatus, Status

MOVES = """
created    -> sending rejected expired
sending    -> pending rejected unknown created
unknown    -> pending successful failed expired review
pending    -> successful failed expired review
expired    -> failed review successful
failed     -> review successful
rejected   -> review successful
review     -> failed successful
successful ->
"""


def allowed() -> set[tuple[str, str]]:
    pairs = set()
    for line in MOVES.strip().splitlines():
        before, _, after = line.partition("->")
        pairs |= {(before.strip(), word) for word in after.split()}
    return pairs


def test_table_has_twenty_five_moves() -> None:
    assert len(allowed()) == 25


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Status, Status)))
def test_may_move_allows_exactly_the_moves_of_the_table(before: Status, after: Status) -> None:
    assert lifecycle.may_move(before, after) is ((before.value, after.value) in allowed())


@pytest.mark.parametrize("after", list(Status))
def test_successful_is_final(after: Status) -> None:
    assert not lifecycle.may_move(Status.SUCCESSFUL, after)


@pytest.mark.parametrize(
    ("status", "public", "detail"),
    [
        ("created", "pending", "queued"),
        ("sending", "pending", "checking"),
        ("pending", "pending", "waiting_for_payer"),
        ("unknown", "pending", "checking"),
        ("review", "pending", "under_review"),
        ("successful", "successful", "credited"),
        ("failed", "failed", "declined"),
        ("rejected", "failed", "refused"),
        ("expired", "failed", "expired"),
    ],
)
def test_each_status_has_its_public_status_and_detail(status: str, public: str, detail: str) -> None:
    assert lifecycle.public(Status(status)) == public
    assert lifecycle.detail(Status(status)) == detail


def test_every_status_has_a_public_status_and_a_detail() -> None:
    assert set(lifecycle.PUBLIC) == set(Status)
    told = {lifecycle.detail(status) for status in Status} | {Detail.OTP_REQUIRED, Detail.REDIRECT}
    assert told == set(Detail)


@pytest.mark.parametrize(
    ("status", "otp_required", "redirect_url", "expected"),
    [
        (Status.PENDING, True, "", "otp_required"),
        (Status.PENDING, False, "https://pay.test/1", "redirect"),
        (Status.PENDING, True, "https://pay.test/1", "otp_required"),
        (Status.UNKNOWN, True, "https://pay.test/1", "checking"),
        (Status.SUCCESSFUL, True, "https://pay.test/1", "credited"),
        (Status.FAILED, False, "https://pay.test/1", "declined"),
    ],
)
def test_detail_asks_the_payer_for_something_only_while_pending(
    status: Status, otp_required: bool, redirect_url: str, expected: str
) -> None:
    assert lifecycle.detail(status, otp_required=otp_required, redirect_url=redirect_url) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [(Status.PENDING, "checking"), (Status.FAILED, "declined"), (Status.SUCCESSFUL, "credited")],
)
def test_attempt_that_is_searched_for_is_being_checked_while_pending(status: Status, expected: str) -> None:
    assert lifecycle.detail(status, is_searched=True) == expected
    assert lifecycle.detail(Status.PENDING, redirect_url="https://pay.test/1", is_searched=True) == "redirect"


@pytest.mark.parametrize(
    ("word", "statuses"),
    [
        ("pending", ("created", "sending", "pending", "unknown", "review")),
        ("successful", ("successful",)),
        ("failed", ("failed", "rejected", "expired")),
    ],
)
def test_statuses_of_inverts_public(word: str, statuses: tuple[str, ...]) -> None:
    assert lifecycle.statuses_of(PublicStatus(word)) == statuses


def test_live_statuses_are_those_that_may_still_be_charged() -> None:
    assert {"created", "sending", "pending", "unknown"} == lifecycle.LIVE


def test_statuses_that_forbid_another_payment_of_the_same_thing() -> None:
    assert {"created", "sending", "pending", "unknown", "review", "successful"} == lifecycle.OPEN_OR_PAID


def test_expired_attempts_that_cannot_have_prompted_their_payer() -> None:
    assert {"never_sent", "never_arrived"} == lifecycle.PAYER_WAS_NOT_ASKED
    assert (lifecycle.NEVER_SENT, lifecycle.NEVER_ARRIVED) == ("never_sent", "never_arrived")
