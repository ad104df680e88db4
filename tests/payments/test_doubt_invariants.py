"""I14: the worker searches for missing attempts, never resends answered ones, and polls doubtful refusals."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from django_feexpay import conf
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Payment, PaymentEvent
from django_feexpay.payments.invariants import INVARIANTS, violations
from django_feexpay.payments.ledger import Source
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway, answer_429
from tests.payments.fakes import Clock, only_attempt, search_until_closed

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(begin: Begin, gateway: ModelGateway) -> Payment:
    return begin()


def closed_as_never_arrived(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    gateway.next_collects = [answer_429(5)]
    return search_until_closed(clock, begin())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"complete": False}, "but the history had gaps or a payment like it"),
        ({"unclaimed": 1}, "but the history had gaps or a payment like it"),
        ({"sent_at": None}, "but the event does not say when the history was searched"),
        ({"sent_at": "2999-01-01T00:00:00+00:00"}, "too soon"),
        ({"first_absence_at": "2999-01-01T00:00:00+00:00"}, "too soon"),
    ],
)
def test_i14_reports_a_closing_without_its_proof(
    begin: Begin, gateway: ModelGateway, clock: Clock, changes: dict[str, object], problem: str | None
) -> None:
    payment = closed_as_never_arrived(begin, gateway, clock)
    assert list(violations()) == []

    event = PaymentEvent.objects.get(because="never_arrived")
    event.pk, event.position, event._state.adding = None, None, True
    event.evidence |= changes
    event.save()

    told = [] if problem is None else [f"attempt {only_attempt(payment).pk}: event {event.pk} closed it, {problem}"]
    assert list(INVARIANTS["I14"]()) == told


def test_i14_reports_a_closed_attempt_without_its_event(waiting: Payment) -> None:
    Attempt.objects.update(status=Status.EXPIRED, reason_code="never_arrived")

    attempt = only_attempt(waiting)
    assert list(INVARIANTS["I14"]()) == [f"attempt {attempt.pk}: closed as never arrived, and no event says so"]


@pytest.mark.parametrize(("because", "right"), [("not_sent", True), ("rate_limited", False), ("sender_died", False)])
def test_i14_reports_an_attempt_put_back_after_an_answer(waiting: Payment, because: str, right: bool) -> None:
    attempt = only_attempt(waiting)
    PaymentEvent.objects.create(
        payment=waiting,
        attempt=attempt,
        from_status=Status.SENDING,
        to_status=Status.CREATED,
        because=because,
        source=Source.WORKER,
        created_at=conf.now(),
    )

    assert (list(INVARIANTS["I14"]()) == []) is right


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({}, False),
        ({"reason_code": "invalid_phone"}, True),
        ({"settled_at": datetime(2020, 1, 1, tzinfo=UTC)}, True),
        ({"next_poll_at": datetime(2020, 1, 1, tzinfo=UTC)}, True),
    ],
)
def test_i14_reports_a_doubtful_refusal_without_a_poll(
    waiting: Payment, changes: dict[str, object], right: bool
) -> None:
    refusal = {
        "status": Status.REJECTED,
        "reason_code": "unknown_reason",
        "settled_at": conf.now(),
        "next_poll_at": None,
    }
    Attempt.objects.update(**(refusal | changes))

    assert (list(INVARIANTS["I14"]()) == []) is right
