"""Where money moves in the sandbox: a payment is taken in, its ending comes, its webhooks are queued.

The only writer of a payment's status. PENDING may become anything, FAILED may still become SUCCESSFUL,
nothing leaves SUCCESSFUL; the status, the steps left and the webhooks change in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from django_feexpay.sandbox import rules
from django_feexpay.sandbox.conditions import Switchboard
from django_feexpay.sandbox.options import Options
from django_feexpay.sandbox.postbox import SPACING_SECONDS, Postbox, Wish
from django_feexpay.sandbox.store import DueStep, Payment, Store

_MAY_BECOME = {
    rules.PENDING: {rules.SUCCESSFUL, rules.FAILED},
    rules.FAILED: {rules.SUCCESSFUL},
    rules.SUCCESSFUL: set[str](),
}


class Till:
    """Takes payments in and ends them. `on_change` is called after every change that may be due soon."""

    def __init__(self, store: Store, options: Options, switchboard: Switchboard, on_change: Callable[[], None]) -> None:
        self.postbox = Postbox(store, options, switchboard)
        self._store = store
        self._options = options
        self._on_change = on_change

    def take_in(self, payment: Payment, steps: Iterable[rules.Step]) -> Payment:
        """A new payment, its script running; a script that ends at once has already ended it.

        Asking twice makes two payments: FeexPay knows no idempotency key.
        """
        with self._store.transaction():
            self._store.add_payment(payment)
            for step in steps:
                self._plan(payment.reference, step, payment.created_at)
        self._on_change()
        return self._known(payment.reference)

    def otp_came(self, payment: Payment, steps: Iterable[rules.Step]) -> Payment:
        """The code came for a payment that waited for it: now its script runs."""
        with self._store.transaction():
            self._store.otp_came(payment.reference)
            for step in steps:
                self._plan(payment.reference, step, time.time())
        self._on_change()
        return self._known(payment.reference)

    def choose(self, reference: str, status: str, reason: str | None = None) -> bool:
        """The payer's own choice, which ends every script; False when the payment is past choosing."""
        step = rules.Step(0.0, status, reason, webhooks=(status,))
        with self._store.transaction():
            chosen = self._apply(reference, step, time.time())
            if chosen:
                self._store.drop_steps_of(reference)
        self._on_change()
        return chosen

    def run(self, due: DueStep) -> None:
        """A step of a script whose time has come."""
        with self._store.transaction():
            self._store.drop_step(due.id)
            self._apply(due.reference, due.step, time.time())
        self._on_change()

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

    def _plan(self, reference: str, step: rules.Step, now: float) -> None:
        if step.after_seconds == 0.0:
            self._apply(reference, step, now)
        else:
            self._store.add_step(reference, now + step.after_seconds * self._options.time_scale, step)

    def _apply(self, reference: str, step: rules.Step, now: float) -> bool:
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

    def _known(self, reference: str) -> Payment:
        payment = self._store.payment(reference)
        if payment is None:
            raise LookupError(reference)
        return payment
