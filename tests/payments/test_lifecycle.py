"""The table of moves, written out a second time: a move that slips into the code must be written here, too."""

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


def test_table_of_moves_was_read_whole() -> None:
    assert len(allowed()) == 25


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Status, Status)))
def test_may_move_allows_the_moves_of_the_table_and_no_other(before: Status, after: Status) -> None:
    assert lifecycle.may_move(before, after) is ((before.value, after.value) in allowed())


@pytest.mark.parametrize("after", list(Status))
def test_may_move_lets_nothing_leave_successful(after: Status) -> None:
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
def test_payer_is_told_one_word_and_one_detail(status: str, public: str, detail: str) -> None:
    assert lifecycle.public(Status(status)) == public
    assert lifecycle.detail(Status(status)) == detail


def test_payer_is_told_something_for_every_status() -> None:
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
def test_detail_says_what_to_do_only_while_the_payer_is_awaited(
    status: Status, otp_required: bool, redirect_url: str, expected: str
) -> None:
    assert lifecycle.detail(status, otp_required=otp_required, redirect_url=redirect_url) == expected


@pytest.mark.parametrize(
    ("word", "statuses"),
    [
        ("pending", ("created", "sending", "pending", "unknown", "review")),
        ("successful", ("successful",)),
        ("failed", ("failed", "rejected", "expired")),
    ],
)
def test_statuses_of_is_the_way_back_from_the_payers_word(word: str, statuses: tuple[str, ...]) -> None:
    assert lifecycle.statuses_of(PublicStatus(word)) == statuses


def test_live_is_what_may_be_charged_as_things_stand() -> None:
    assert {"created", "sending", "pending", "unknown"} == lifecycle.LIVE
