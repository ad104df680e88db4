"""Attack test: a gateway that lies about everything for forty days and then is honest.

In the end each real charge is credited, or is an open item that staff can close.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

import django_feexpay
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, Credit, Discrepancy, Incident
from django_feexpay.payments import initiate, invariants
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation import discrepancies, nightly
from django_feexpay.payments.terms import PaymentRequest
from tests.payments.fakes import Clock, Guard, close_incident, sweep
from tests.payments.lying_gateway import HISTORIES, REQUESTS, STATUSES, LyingGateway, Plan, TrueCharge

# Not in one transaction: thousands of polls leave dead rows in it, which slow down each further poll.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only, pytest.mark.unmeasured]

MINUTE, HOUR, DAY = 60, 3600, 86_400

#: The plans are tested in so many parts: each search reads every charge of its days, so twice the plans cost four times
#: as much.
PARTS = 4

#: When the worker runs: often on the first day, then less often. The nightly comparisons run, too.
INSTANTS = (
    *(5, 20, 60, 5 * MINUTE, 12 * MINUTE, 16 * MINUTE, 29 * MINUTE, HOUR, 3 * HOUR, 7 * HOUR, 13 * HOUR),
    *(int(days * DAY) for days in (0.9, 1.1, 1.2, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 14, 21, 30, 40)),
)


def plans() -> Iterator[Plan]:
    for request in REQUESTS:
        for history in HISTORIES if request in ("cut", "400") else ("true", "no echo", "left out"):
            yield Plan(request=request, history=history)
        yield Plan(request=request, paid_after_seconds=None)
        yield Plan(request=request, paid_after_seconds=2 * HOUR)
    for request in ("accepted", "cut"):
        for status in STATUSES:
            for history in ("true", "no echo", "left out"):
                yield Plan(request=request, status=status, history=history)
    for request in ("accepted", "cut", "429", "400 with a reference"):
        yield Plan(request=request, charged_twice=True)
        yield Plan(request=request, reversed_later=True)


def begin_all(player: User, which: list[Plan], clock: Clock, guard: Guard, *, history: str = "whole") -> LyingGateway:
    """Start a payment for each plan, each with its own amount."""
    gateway = LyingGateway(clock, {1000 + index: plan for index, plan in enumerate(which)})
    gateway.history = history
    guard.inner = gateway
    clock.at = clock.at.replace(hour=12)
    for amount in gateway.plans:
        payment_request = PaymentRequest(
            user=player,
            provider="mtn_bj",
            amount=amount,
            phone=f"016{amount % 10_000_000:07d}",
            merchant_reference=f"order-{amount}",
        )
        initiate.start(payment_request, source=Source.API)
        cache.clear()  # otherwise the circuit breaker would rightly stop the series
    return gateway


def run_worker_for_forty_days(clock: Clock, instants: tuple[int, ...] = INSTANTS) -> None:
    began_at = clock.at
    for seconds in instants:
        clock.advance_to(began_at + timedelta(seconds=seconds))
        sweep()
        while nightly.run_nightly(source=Source.WORKER) is not None:
            pass


def unaccounted(gateway: LyingGateway) -> list[str]:
    """The charges that are not credited, not ended by FeexPay's proof and not an open item for staff."""
    attempts = {str(attempt.pk): attempt for attempt in Attempt.objects.select_related("payment")}
    return [
        f"{taken.reference}: {taken.plan}, {attempts[taken.echo].status}"
        for taken in gateway.taken()
        if not is_accounted_for(gateway, taken, attempts[taken.echo])
    ]


def is_accounted_for(gateway: LyingGateway, taken: TrueCharge, attempt: Attempt) -> bool:
    reference = attempt.gateway_reference or ""
    if Credit.objects.filter(attempt=attempt).exists() and reference.casefold() == taken.reference.casefold():
        return True
    return is_open_for_staff(taken, attempt) or ended_by_proof(gateway, taken, attempt)


def is_open_for_staff(taken: TrueCharge, attempt: Attempt) -> bool:
    if attempt.status == Status.REVIEW:
        return True
    if Incident.objects.filter(attempt=attempt, closed_at=None, gateway_reference=taken.reference).exists():
        return True
    ours = Discrepancy.objects.at_stake().filter(attempt=attempt)
    return ours.exists() or Discrepancy.objects.at_stake().filter(gateway_reference=taken.reference).exists()


def ended_by_proof(gateway: LyingGateway, taken: TrueCharge, attempt: Attempt) -> bool:
    """FeexPay's authenticated answer says that nothing was taken, and nothing it shows contradicts that."""
    ends = {(Status.FAILED, "failed"), (Status.EXPIRED, "never_arrived")}
    if not gateway.shows(taken):
        ends |= {(Status.EXPIRED, "payer_did_not_answer"), (Status.REJECTED, "unknown_reason")}
    return (attempt.life_status, attempt.events.latest("id").because) in ends


def asked_twice(gateway: LyingGateway) -> list[str]:
    """Our requests for an attempt beyond the first. Charges that FeexPay doubles itself do not count."""
    ids = [str(pk) for pk in Attempt.objects.values_list("pk", flat=True)]
    made = {pk: [taken for taken in gateway.of(pk) if not taken.reference.endswith("-again")] for pk in ids}
    return [f"{taken[0].plan}: {len(taken)} requests" for taken in made.values() if len(taken) > 1]


def close_all(ama: User) -> None:
    """Close every open item as staff would, now that FeexPay answers honestly."""
    for attempt in Attempt.objects.filter(status=Status.REVIEW):
        close_review_of(attempt, ama)
    for incident_id in Incident.objects.filter(closed_at=None).values_list("pk", flat=True):
        assert close_incident(incident_id, "given back")
    for difference_id in Discrepancy.objects.still_open().values_list("pk", flat=True):
        assert discrepancies.close(difference_id, "looked into")


def close_review_of(attempt: Attempt, ama: User) -> None:
    """Close it by the first allowed decision, unless FeexPay's answer decides it."""
    for decision in ("credit_taken", "not_paid", "credit_price"):
        with suppress(NotAllowedError):
            django_feexpay.close_review(attempt.payment_id, decision=decision, reason="seen in the account", actor=ama)
        attempt.refresh_from_db()
        if attempt.life_status is not Status.REVIEW:
            return
    raise AssertionError(f"{attempt.events.latest('id').because}: no decision is possible")


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("history", ["whole", "cut short", "unavailable"])
def test_every_charge_is_credited_or_an_open_item_that_staff_can_close(
    player: User, ama: User, clock: Clock, guard: Guard, history: str, part: int
) -> None:
    which = [plan for plan in plans() if history == "whole" or plan.history == "true"][part::PARTS]
    if history == "unavailable":  # no row would show a charge that FeexPay doubled
        which = [plan for plan in which if not plan.charged_twice]
    gateway = begin_all(player, which, clock, guard, history=history)

    run_worker_for_forty_days(clock)

    assert asked_twice(gateway) == []
    assert unaccounted(gateway) == []
    assert [str(violation) for violation in invariants.violations()] == []

    gateway.honest = True
    close_all(ama)

    assert not Attempt.objects.filter(status=Status.REVIEW).exists()
    assert unaccounted_after_closing(gateway) == []
    assert [str(violation) for violation in invariants.violations()] == []


def unaccounted_after_closing(gateway: LyingGateway) -> list[str]:
    """The charges without a credit, a closed incident, or an ending by staff or FeexPay."""
    attempts = {str(attempt.pk): attempt for attempt in Attempt.objects.select_related("payment")}
    seen = {incident.gateway_reference for incident in Incident.objects.exclude(closed_at=None)}
    seen |= {row.gateway_reference for row in Discrepancy.objects.filter(state="closed")}
    return [
        f"{taken.reference}: {taken.plan}, {attempts[taken.echo].status}"
        for taken in gateway.taken()
        if taken.reference not in seen and not is_credited_or_ended(gateway, taken, attempts[taken.echo])
    ]


def is_credited_or_ended(gateway: LyingGateway, taken: TrueCharge, attempt: Attempt) -> bool:
    if Credit.objects.filter(attempt=attempt).exists():
        return True
    return attempt.events.latest("id").because == "not_paid" or ended_by_proof(gateway, taken, attempt)
