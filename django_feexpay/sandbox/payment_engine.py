"""The life of a payment in the sandbox, from its acceptance to its final status and its webhooks.

Only this module writes a payment's status. PENDING may become anything, FAILED may become SUCCESSFUL (a late success),
SUCCESSFUL only a reversed status; `force` ignores these rules. Status, remaining steps and webhooks change in one
transaction.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from django_feexpay.sandbox import bodies, scenarios
from django_feexpay.sandbox.fault_settings import CurrentSettings
from django_feexpay.sandbox.options import Options
from django_feexpay.sandbox.store import DueStep, Payment, Store
from django_feexpay.sandbox.webhooks import SPACING_SECONDS, WebhookQueue, WebhookRequest

_MAY_BECOME = {
    scenarios.PENDING: {scenarios.SUCCESSFUL, scenarios.FAILED},
    scenarios.FAILED: {scenarios.SUCCESSFUL},
    scenarios.SUCCESSFUL: set(scenarios.REVERSED_STATUSES),
    **{status: set[str]() for status in scenarios.REVERSED_STATUSES},
}


class PaymentEngine:
    """Accepts payments and ends them. After each change it calls `on_change`, as the next step may be due sooner."""

    def __init__(
        self, store: Store, options: Options, current_settings: CurrentSettings, on_change: Callable[[], None]
    ) -> None:
        self.webhook_queue = WebhookQueue(store, options, current_settings)
        self._store = store
        self._options = options
        self._current_settings = current_settings
        self._on_change = on_change

    def accept(self, payment: Payment, steps: Iterable[scenarios.Step]) -> Payment:
        """Store a new payment and start its script. Returns the payment after the steps that have no delay."""
        with self._change():
            self._store.add_payment(payment)
            self._start(payment.reference, steps, payment.created_at)
        return self._read(payment.reference)

    def accept_otp(self, payment: Payment, steps: Iterable[scenarios.Step]) -> Payment:
        """Start the script of a payment that waited for its one-time code."""
        with self._change():
            self._store.accept_otp(payment.reference)
            self._start(payment.reference, steps, time.time())
        return self._read(payment.reference)

    def choose(self, reference: str, status: str, reason: str | None = None) -> bool:
        """Apply the payer's own decision and end the script; False when the payment can no longer change so."""
        return self._end(reference, scenarios.Step(0.0, status, reason, webhooks=(status,)))

    def reverse(self, reference: str, status: str, *, announce: bool) -> bool:
        """Give the money of a paid payment back to the payer; False when it is not paid."""
        return self._end(reference, scenarios.Step(0.0, status, webhooks=(status,) if announce else ()))

    def charge_again(self, reference: str, *, announce: bool) -> Payment | None:
        """Charge the payer of a paid payment a second time; the new payment, or None when the first is not paid."""
        with self._change():
            return self._charge_again(reference, time.time(), announce=announce)

    def run(self, due: DueStep) -> None:
        """Run a step of a script that is due."""
        with self._change():
            self._store.drop_step(due.id)
            self._apply(due.reference, due.step, time.time())

    def run_scripts(self) -> int:
        """Run now every decision that a magic number has planned. Returns how many. Open pages stay open."""
        decisions = [due for due in self._store.due_steps(math.inf) if due.step.is_payers_decision]
        for due in decisions:
            self.run(due)
        return len(decisions)

    def force(self, payment: Payment, status: str, reason: str | None, paid_amount: int, *, announce: bool) -> None:
        """Set any status over any other, also what FeexPay should never do, and end the script."""
        with self._change():
            self._store.write_status(payment.reference, status, reason, paid_amount, time.time())
            self._store.drop_steps_of(payment.reference)
            if announce:
                self.webhook_queue.announce(self._read(payment.reference), status, time.time())

    def send(self, payment: Payment, requests: Iterable[WebhookRequest]) -> None:
        """Queue these webhooks about the payment, untouched by the fault settings."""
        with self._change():
            for request in requests:
                self.webhook_queue.send(payment, request, time.time())

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction. After its commit, the timers check what is due."""
        with self._store.transaction():
            yield
        self._on_change()

    def _start(self, reference: str, steps: Iterable[scenarios.Step], now: float) -> None:
        for step in steps:
            if step.after_seconds:
                self._store.add_step(reference, now + step.after_seconds * self._options.time_scale, step)
            else:
                self._apply(reference, step, now)

    def _end(self, reference: str, step: scenarios.Step) -> bool:
        """Apply `step` instead of the rest of the script; False when the status does not allow it."""
        with self._change():
            payment = self._read(reference)
            if step.status not in _MAY_BECOME[payment.status]:
                return False
            self._store.drop_steps_of(reference)
            self._apply(reference, step, time.time())
        return True

    def _apply(self, reference: str, step: scenarios.Step, now: float) -> None:
        """Change the status if its rules allow it, and queue the webhooks."""
        payment = self._read(reference)
        if step.status is not None:
            if step.status not in _MAY_BECOME[payment.status]:
                return
            paid = payment.amount - step.short_by if step.status == scenarios.SUCCESSFUL else 0
            self._store.write_status(reference, step.status, step.reason, paid, now)
            payment = self._read(reference)
        for position, status in enumerate(step.webhooks):
            spacing = position * SPACING_SECONDS * self._options.time_scale
            self.webhook_queue.announce(payment, status, now + spacing)
        if step.status == scenarios.SUCCESSFUL:
            self._inject_faults_after_success(reference, now)

    def _inject_faults_after_success(self, reference: str, now: float) -> None:
        """Charge twice, or plan a reversal, by the percentages of the settings."""
        settings = self._current_settings.now
        if not (settings.charged_twice_percent or settings.reversed_percent):
            return
        roll = self._current_settings.draw("paid")
        if roll() < settings.charged_twice_percent:
            self._charge_again(reference, now, announce=True)
        if roll() < settings.reversed_percent:
            status = settings.reversed_status
            due_at = now + settings.reversed_after_seconds * self._options.time_scale
            self._store.add_step(reference, due_at, scenarios.Step(0.0, status, webhooks=(status,)))

    def _charge_again(self, reference: str, now: float, *, announce: bool) -> Payment | None:
        first = self._read(reference)
        if not first.charged:
            return None
        new_reference = bodies.new_reference(first.network, now)
        self._store.add_payment(replace(first, reference=new_reference, created_at=now, settled_at=now, prompts=0))
        if announce:
            self.webhook_queue.announce(self._read(new_reference), scenarios.SUCCESSFUL, now)
        return self._read(new_reference)

    def _read(self, reference: str) -> Payment:
        payment = self._store.payment(reference)
        if payment is None:
            raise LookupError(reference)
        return payment
