"""A clock that ran ahead leaves no payout unsent and unasked when it is set right again."""

from __future__ import annotations

import pytest

from django_feexpay.models import Payment, Payout
from django_feexpay.payments import payout_polls
from tests.payments.fakes import Clock
from tests.payments.paying_out import Tap, broken, propose, send, work, work_until_over

pytestmark = pytest.mark.django_db(transaction=True)

A_YEAR = 365 * 86_400


def test_payout_that_was_polled_under_a_clock_ahead_is_polled_when_it_is_right(
    credited: Payment, tap: Tap, clock: Clock
) -> None:
    payout = send(propose(credited))
    right = clock.at
    clock.advance(A_YEAR)
    payout_polls.claim_due(50)  # its worker dies
    clock.at = right

    work()

    payout.refresh_from_db()
    assert payout.poll_count + (payout.state == "successful") > 0
    assert work_until_over(payout, clock).state == "successful"
    assert broken() == []


def test_payout_that_waits_to_be_sent_is_sent_once_when_the_clock_is_right(
    credited: Payment, tap: Tap, clock: Clock
) -> None:
    refund, right = propose(credited), clock.at
    clock.advance(A_YEAR)
    tap.payouts_leave = False
    payout = send(refund)
    assert payout.state == "created"
    tap.payouts_leave, tap.sent = True, 0
    clock.at = right

    work()
    work()

    payout.refresh_from_db()
    assert (payout.state, tap.sent, Payout.objects.count()) == ("pending", 1, 1)


def test_payout_under_a_right_clock_is_claimed_only_when_it_is_due(credited: Payment, tap: Tap, clock: Clock) -> None:
    payout = work_until_over(send(propose(credited)), clock)
    for _ in range(3):
        payout.refresh_from_db()
        assert payout_polls.claim_due(50) == []
        assert payout.next_poll_at is not None
        clock.advance_to(payout.next_poll_at)
        work()
