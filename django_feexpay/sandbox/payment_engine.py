"""Where money moves in the sandbox: a payment is taken in, its ending comes, its webhooks are queued.

The only writer of a payment's status. PENDING may become anything, FAILED may still become SUCCESSFUL, SUCCESSFUL
only what says that the money was taken back; the status, the steps left and the webhooks change in one transaction.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from django_feexpay.sandbox import bodies, scenarios
from django_feexpay.sandbox.fault_settings import FaultSettings
from django_feexpay.sandbox.options import Options
from django_feexpay.sandbox.store import DueStep, Payment, Store
from django_feexpay.sandbox.webhook_queue import SPACING_SECONDS, WebhookQueue, Wish

_MAY_BECOME = {
    scenarios.PENDING: {scenarios.SUCCESSFUL, scenarios.FAILED},
    scenarios.FAILED: {scenarios.SUCCESSFUL},
    scenarios.SUCCESSFUL: set(scenarios.TAKEN_BACK),
    **{status: set[str]() for status in scenarios.TAKEN_BACK},
}


class PaymentEngine:
    """Takes payments in and ends them. `on_change` is called after every change that may be due soon."""

    def __init__(
        self, store: Store, options: Options, switchboard: FaultSettings, on_change: Callable[[], None]
    ) -> None:
        self.postbox = WebhookQueue(store, options, switchboard)
        self._store = store
        self._options = options
        self._switchboard = switchboard
        self._on_change = on_change

    def take_in(self, payment: Payment, steps: Iterable[scenarios.Step]) -> Payment:
        """A new payment, its script running; a script that ends at once has already ended it.

        Asking twice makes two payments: FeexPay knows no idempotency key.
        """
        with self._store.transaction():
            self._store.add_payment(payment)
            for step in steps:
                self._plan(payment.reference, step, payment.created_at)
        self._on_change()
        return self._known(payment.reference)

    def otp_came(self, payment: Payment, steps: Iterable[scenarios.Step]) -> Payment:
        """The code came for a payment that waited for it: now its script runs."""
        with self._store.transaction():
            self._store.otp_came(payment.reference)
            for step in steps:
                self._plan(payment.reference, step, time.time())
        self._on_change()
        return self._known(payment.reference)

    def choose(self, reference: str, status: str, reason: str | None = None) -> bool:
        """The payer's own choice, which ends every script; False when the payment is past choosing."""
        step = scenarios.Step(0.0, status, reason, webhooks=(status,))
        with self._store.transaction():
            chosen = self._apply(reference, step, time.time())
            if chosen:
                self._store.drop_steps_of(reference)
                self._go_wrong_later(reference, step, time.time())
        self._on_change()
        return chosen

    def take_back(self, reference: str, status: str, *, announce: bool) -> bool:
        """The money of a payment that was paid is taken back; False when it was not paid, or is gone already."""
        step = scenarios.Step(0.0, status, webhooks=(status,) if announce else ())
        with self._store.transaction():
            taken_back = self._apply(reference, step, time.time())
            if taken_back:
                self._store.drop_steps_of(reference)
        self._on_change()
        return taken_back

    def charge_again(self, reference: str, *, announce: bool) -> Payment | None:
        """The money of a payment that was paid is taken once more, as a payment of its own; None when it was not."""
        with self._store.transaction():
            second = self._charge_again(reference, time.time(), announce=announce)
        self._on_change()
        return second

    def run(self, due: DueStep) -> None:
        """A step of a script whose time has come."""
        with self._store.transaction():
            self._store.drop_step(due.id)
            if self._apply(due.reference, due.step, time.time()):
                self._go_wrong_later(due.reference, due.step, time.time())
        self._on_change()

    def run_scripts(self) -> int:
        """Run every step of a magic number now; how many. A page left open stays open, a reversal comes in its time."""
        steps = [due for due in self._store.due_steps(math.inf) if due.step.is_payers_decision]
        for due in steps:
            self.run(due)
        return len(steps)

    def force(self, payment: Payment, status: str, reason: str | None, paid_amount: int, *, announce: bool) -> None:
        """Any status over any other, which FeexPay never should do; it ends every script."""
        with self._store.transaction():
            self._store.force(payment.reference, status, reason, paid_amount, time.time())
            self._store.drop_steps_of(payment.reference)
            if announce:
                self.postbox.announce(self._known(payment.reference), status, time.time())
        self._on_change()

    def send(self, payment: Payment, wishes: Iterable[Wish]) -> None:
        """Webhooks about the payment, exactly as wished."""
        with self._store.transaction():
            for wish in wishes:
                self.postbox.send(payment, wish, time.time())
        self._on_change()

    def _plan(self, reference: str, step: scenarios.Step, now: float) -> None:
        if step.after_seconds == 0.0:
            if self._apply(reference, step, now):
                self._go_wrong_later(reference, step, now)
        else:
            self._store.add_step(reference, now + step.after_seconds * self._options.time_scale, step)

    def _apply(self, reference: str, step: scenarios.Step, now: float) -> bool:
        payment = self._known(reference)
        if step.status is not None:
            if step.status not in _MAY_BECOME[payment.status]:
                return False
            self._store.settle(payment, step, now)
            payment = self._known(reference)
        for position, status in enumerate(step.webhooks):
            spacing = position * SPACING_SECONDS * self._options.time_scale
            self.postbox.announce(payment, status, now + spacing)
        return True

    def _go_wrong_later(self, reference: str, step: scenarios.Step, now: float) -> None:
        """A payment that was just paid may be taken twice, or taken back, as the conditions say."""
        conditions = self._switchboard.now
        if step.status != scenarios.SUCCESSFUL or not (conditions.charged_twice_percent or conditions.reversed_percent):
            return
        # To be repeatable; nothing here is secret.
        chance = random.Random(f"{conditions.seed}:paid:{self._store.count('paid')}")  # noqa: S311 -- see above
        if chance.uniform(0, 100) < conditions.charged_twice_percent:
            self._charge_again(reference, now, announce=True)
        if chance.uniform(0, 100) < conditions.reversed_percent:
            status = conditions.reversed_status
            back = scenarios.Step(conditions.reversed_after_seconds, status, webhooks=(status,))
            self._store.add_step(reference, now + back.after_seconds * self._options.time_scale, back)

    def _charge_again(self, reference: str, now: float, *, announce: bool) -> Payment | None:
        first = self._known(reference)
        if not first.charged:
            return None
        new_reference = bodies.new_reference(first.network, now)
        self._store.add_payment(replace(first, reference=new_reference, created_at=now, settled_at=now, prompts=0))
        if announce:
            self.postbox.announce(self._known(new_reference), scenarios.SUCCESSFUL, now)
        return self._known(new_reference)

    def _known(self, reference: str) -> Payment:
        payment = self._store.payment(reference)
        if payment is None:
            raise LookupError(reference)
        return payment
