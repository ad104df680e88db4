"""Every status that is not final has an exit, by time or by staff, and each exit is tested here.

A new status in the lifecycle needs its exit here, or this test fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from django.contrib.auth.models import User

import django_feexpay
from django_feexpay import failpoints
from django_feexpay.lifecycle import ALLOWED, OPEN_OR_PAID, PublicStatus, Status
from django_feexpay.models import Attempt, Payment
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Cause, Source, move
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway, lose_the_answer
from tests.payments.fakes import Clock, next_due_at, only_attempt, sweep

pytestmark = pytest.mark.django_db(transaction=True)

#: The payer knows the outcome and may pay again if nothing was taken. A late success is still credited.
FINAL = frozenset({Status.SUCCESSFUL, Status.FAILED, Status.REJECTED})

#: An exit by time takes at most this many days.
DAYS = 3


class World:
    """One payment, its gateway, its clock and a staff user."""

    def __init__(self, begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure) -> None:
        self.begin, self.gateway, self.clock, self.configure = begin, gateway, clock, configure
        self.staff = User.objects.create_user("efua", is_staff=True)

    def attempt(self) -> Attempt:
        return Attempt.objects.get()

    def pass_time(self) -> None:
        """Run the worker until the attempt leaves its status."""
        before, ends_at = self.attempt().status, self.clock.at.timestamp() + DAYS * 86_400
        while self.attempt().status == before and self.clock.at.timestamp() < ends_at:
            instant = next_due_at()
            assert instant is not None, f"{before}: no poll is planned"
            self.clock.advance_to(instant)
            sweep()


# --- how an attempt gets each status ---------------------------------------------------------------------


def created(world: World) -> None:
    world.configure(DISPATCH="queue")
    world.begin()
    world.configure(DISPATCH="inline")


def sending(world: World) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    with failpoints.arm("before_send", die), pytest.raises(KeyboardInterrupt):
        world.begin()


def pending(world: World) -> None:
    world.begin()


def unknown(world: World) -> None:
    world.gateway.next_collects.append(lose_the_answer)
    world.begin()
    world.gateway.forget(world.gateway.last())


def expired(world: World) -> None:
    pending(world)
    world.pass_time()


def review(world: World) -> None:
    unknown(world)
    assert move(world.attempt().pk, Status.REVIEW, Cause(source=Source.WORKER, because="not_found_in_history"))


BEGINNINGS: Mapping[Status, Callable[[World], None]] = {
    Status.CREATED: created,
    Status.SENDING: sending,
    Status.PENDING: pending,
    Status.UNKNOWN: unknown,
    Status.EXPIRED: expired,
    Status.REVIEW: review,
}


# --- how it leaves the status ----------------------------------------------------------------------------


def time_passes(world: World) -> None:
    world.pass_time()


def late_answer(world: World) -> None:
    """Polling continues after an expiry, so FeexPay's answer ends it. The payer may pay again meanwhile."""
    world.gateway.last().decline()
    world.pass_time()


def person_decides(world: World) -> None:
    django_feexpay.close_review(
        world.attempt().payment, decision="not_paid", reason="nothing of it at FeexPay", actor=world.staff
    )


EXITS: Mapping[Status, Callable[[World], None]] = {
    Status.CREATED: time_passes,  # sent, or expired as never sent
    Status.SENDING: time_passes,  # its lease ends
    Status.PENDING: time_passes,  # the payer answers, or the attempt expires
    Status.UNKNOWN: time_passes,  # found in the history, or given to staff
    Status.EXPIRED: late_answer,
    Status.REVIEW: person_decides,
}


@pytest.fixture
def world(begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure) -> World:
    return World(begin, gateway, clock, configure)


def test_every_status_is_final_or_has_an_exit() -> None:
    assert set(EXITS) == set(BEGINNINGS) == set(Status) - FINAL
    assert all(ALLOWED[status] for status in EXITS)


@pytest.mark.parametrize("status", sorted(set(Status) - FINAL))
def test_each_exit_leaves_its_status(status: Status, world: World) -> None:
    BEGINNINGS[status](world)
    assert world.attempt().life_status is status

    EXITS[status](world)

    assert world.attempt().life_status is not status
    assert list(violations()) == []


@pytest.mark.parametrize("status", sorted(set(Status) - FINAL))
def test_each_exit_leads_to_an_end_that_the_payer_sees(status: Status, world: World) -> None:
    BEGINNINGS[status](world)

    for _step in range(5):
        if Payment.objects.get().public_status is not PublicStatus.PENDING:
            break
        EXITS[world.attempt().life_status](world)

    payment = Payment.objects.get()
    assert payment.public_status is not PublicStatus.PENDING
    assert list(violations()) == []


# --- which payments block another one for their order --------------------------------------------------------


def test_open_or_paid_payment_blocks_another_one_for_the_order() -> None:
    assert {"created", "sending", "pending", "unknown", "review", "successful"} == OPEN_OR_PAID


def test_order_under_review_is_not_charged_again(world: World) -> None:
    world.begin(merchant_reference="order-7")
    world.gateway.last().approve()
    world.gateway.last().lies = {"amount": 4999}
    world.pass_time()
    assert world.attempt().life_status is Status.REVIEW

    with pytest.raises(NotAllowedError, match="duplicate_payment"):
        world.begin(merchant_reference="order-7")

    assert len(world.gateway.charges) == 1
    assert only_attempt(Payment.objects.get()).status == "review"
