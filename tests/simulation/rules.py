"""What must hold: after every step, at every request to pay, and when all faults are repaired.

The package's own invariants I1 to I24, the ones that the payment tests write independently of it, and these:

- R1 no call to FeexPay inside a transaction;
- R2 no attempt is requested a second time if the first request may have reached its payer;
- R3 nobody is asked to pay an order while an earlier charge of it is possible;
- R4 each credit has a charge of its amount, or a decision of staff;
- R5 at the end each charge that FeexPay took is credited, or is an item that staff see;
- R6 at the end nothing is under way, and each credit was announced to the host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from django_feexpay.lifecycle import LIVE, Status
from django_feexpay.models import (
    Attempt,
    Credit,
    Discrepancy,
    Incident,
    OutboxMessage,
    Payment,
    PaymentEvent,
    ReviewDecision,
)
from django_feexpay.payments.invariants import violations
from tests.payments import invariants
from tests.payments.fake_gateway import SUCCESSFUL, Charge
from tests.simulation.world import ViolationError, World

#: Steps that write, but move no status, until the rows are checked all the same.
CHECK_EVERY = 5
#: The package's own invariants take the longest: they are checked with every so many of those checks.
CHECK_ALL_EVERY = 8


class Rules:
    """Checks a world. Raises: ViolationError."""

    def __init__(self, world: World) -> None:
        self._world, self._gateway = world, world.gateway
        self._written = self._moved = self._changes = self._checks = 0
        self._problem_of_request = ""
        self._gateway.before_request = self._before_request

    # --- while it runs ------------------------------------------------------------------------------------

    def after_step(self) -> None:
        """Check after a step: every row if it moved a status, and after every few other changes."""
        if self._world.guard.offences:
            raise ViolationError(f"R1 called inside a transaction: {self._world.guard.offences[0]}")
        if self._gateway.asked_twice:
            raise ViolationError(f"R2 attempt {self._gateway.asked_twice[0]} was requested twice")
        if self._problem_of_request:
            raise ViolationError(self._problem_of_request)
        scheduler = self._world.scheduler
        self._changes += scheduler.statements_written > self._written
        moved = scheduler.events_written > self._moved
        if moved or self._changes >= CHECK_EVERY:
            self._written, self._moved = scheduler.statements_written, scheduler.events_written
            self._changes = 0
            self._check_rows()
            self._checks += 1
            if self._checks % CHECK_ALL_EVERY == 0:
                self.check_all()

    def check_all(self) -> None:
        """Every invariant of the package, on the rows as they are now."""
        if (first := next(violations(), None)) is not None:
            raise ViolationError(str(first))

    def _check_rows(self) -> None:
        attempts = list(Attempt.objects.select_related("payment").order_by("payment", "ordinal"))
        credits_ = list(Credit.objects.select_related("event", "attempt", "payment"))
        payments = list(Payment.objects.select_related("latest_attempt"))
        try:
            invariants.check_credit_is_the_success_of_its_payment(payments, credits_)
            invariants.check_events_form_a_chain(attempts)
            invariants.check_undecided_attempt_has_a_next_poll(attempts, self._world.clock.at)
            invariants.check_newest_attempt_gives_the_status(payments)
            invariants.check_every_credit_has_its_message(credits_)
        except AssertionError as error:
            name = error.__traceback__.tb_next.tb_frame.f_code.co_name if error.__traceback__ else ""  # type: ignore[union-attr]
            raise ViolationError(f"T1 {name} of tests/payments/invariants.py") from error
        for credit in credits_:
            self._check_credit(credit)

    def _check_credit(self, credit: Credit) -> None:
        if credit.event.because in ReviewDecision.values:
            return
        charge = self._gateway.find(credit.attempt.gateway_reference or "")
        if charge is None or not charge.was_taken or charge.attempt_id != str(credit.attempt_id):
            raise ViolationError(f"R4 payment {credit.payment_id} is credited without a charge")
        if credit.amount != charge.amount:
            raise ViolationError(f"R4 {charge.reference} took {charge.amount}, {credit.amount} is credited")

    # --- at a request to pay --------------------------------------------------------------------------------

    def _before_request(self, attempt_id: str) -> None:
        """FeexPay is about to ask a payer: no earlier charge of the order may still be possible."""
        own = Attempt.objects.select_related("payment").get(pk=attempt_id)
        for charge in self._gateway.charges:
            is_possible = charge.status == SUCCESSFUL or self._gateway.may_be_paid(charge)
            if charge.attempt_id == attempt_id or not is_possible:
                continue
            other = Attempt.objects.select_related("payment").filter(pk=charge.attempt_id).first()
            if other is None or other.payment.merchant_reference != own.payment.merchant_reference:
                continue
            if not self._may_ask_again(own, other, charge):
                self._problem_of_request = (
                    f"R3 attempt {attempt_id} is requested while {charge.reference} ({charge.status}) of the same "
                    f"order is possible: that attempt is {other.status} ({other.reason_code})"
                )

    def _may_ask_again(self, own: Attempt, other: Attempt, charge: Charge) -> bool:
        """Whether the package has a reason to think that the earlier charge is over.

        FeexPay said so (truly or not), staff decided so, or the time of its payer is over and this is another payment:
        interface.md, section 4.
        """
        if other.payment.released_at is not None or other.payment.is_erased:
            return True  # whoever was erased is a stranger when they come back
        if other.life_status in (Status.SUCCESSFUL, Status.REVIEW):
            return own.payment_id != other.payment_id and self._was_found_meanwhile(own, other)
        if other.life_status in LIVE:
            return False
        by_staff = other.events.filter(because__in=ReviewDecision.values).exists()
        if other.life_status is Status.EXPIRED and own.payment_id != other.payment_id:
            return True
        return by_staff or charge.reference in self._gateway.denied

    @staticmethod
    def _was_found_meanwhile(own: Attempt, other: Attempt) -> bool:
        """Whether the other one had expired, and its late charge was found while this one was on its way."""
        found = other.events.filter(from_status=Status.EXPIRED).order_by("id").last()
        return found is not None and own.sent_at is not None and found.created_at >= own.sent_at

    # --- at the end -----------------------------------------------------------------------------------------

    def unfinished(self) -> str:
        """The first reason why this is not the end yet; "" if nothing is left to do."""
        return next(self._unfinished(), "")

    def _unfinished(self) -> Iterator[str]:
        for charge in self._gateway.charges:
            if not self._is_accounted_for(charge):
                state = "taken" if charge.status == SUCCESSFUL else "taken and returned"
                yield f"R5 {charge.reference} was {state}, and is neither credited nor shown to staff"
        live = Attempt.objects.filter(status__in=sorted(LIVE)).order_by("created_at", "pk").first()
        if live is not None:
            yield f"R6 attempt {live.pk} is still {live.status}"
        message = OutboxMessage.objects.filter(delivered_at=None).order_by("pk").first()
        if message is not None:
            yield f"R6 {message.signal} of payment {message.payment_id} is not delivered"
        told = {pk for name, pk, _ in self._world.signals.received if name == "payment_succeeded"}
        for pk in Credit.objects.order_by("payment").values_list("payment_id", flat=True):
            if pk not in told:
                yield f"R6 the credit of payment {pk} was not announced"
        yield from self._announced_twice()

    def _announced_twice(self) -> Iterator[str]:
        """A signal may be repeated, but only with the same event id."""
        events = {(pk, event) for name, pk, event in self._world.signals.received if name == "payment_succeeded"}
        for pk, count in Counter(pk for pk, _ in sorted(events)).items():
            if count > 1:
                yield f"R6 the credit of payment {pk} was announced as {count} events"

    def _is_accounted_for(self, charge: Charge) -> bool:
        if not charge.was_taken:
            return True
        reference, returned = charge.reference, charge.status != SUCCESSFUL
        attempt = Attempt.objects.filter(pk=charge.attempt_id).first()
        if attempt is None:
            return False
        named = Incident.objects.filter(attempt=attempt, gateway_reference__iexact=reference)
        own = (attempt.gateway_reference or "").casefold() == reference.casefold()
        if own and Credit.objects.filter(attempt=attempt).exists():
            return not returned or named.filter(kind=Incident.Kind.REVERSED_AFTER_CREDIT).exists()
        if returned or named.exists():
            return True  # before a credit a return needs nothing
        if attempt.life_status is Status.REVIEW or self._was_closed_by_staff(attempt.pk):
            return True
        at_stake = Discrepancy.objects.filter(gateway_reference__iexact=reference)
        return at_stake.filter(state__in=[Discrepancy.State.OPEN, Discrepancy.State.CLOSED]).exists()

    def _was_closed_by_staff(self, attempt_id: UUID) -> bool:
        closings = PaymentEvent.objects.filter(attempt=attempt_id, from_status=Status.REVIEW)
        return closings.filter(because__in=ReviewDecision.values).exists()
