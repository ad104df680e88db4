"""Where money moves in the sandbox: a payment is taken in, its ending comes, its webhooks are queued.

The only writer of a payment's status. PENDING may become anything, FAILED may still become SUCCESSFUL,
nothing leaves SUCCESSFUL; the status, the steps left and the webhooks change in one transaction.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from django_feexpay.sandbox import bodies, rules
from django_feexpay.sandbox.networks import Network
from django_feexpay.sandbox.options import Options
from django_feexpay.sandbox.store import DueStep, Payment, Store
from django_feexpay.sandbox.validation import CollectRequest

_MAY_BECOME = {
    rules.PENDING: {rules.SUCCESSFUL, rules.FAILED},
    rules.FAILED: {rules.SUCCESSFUL},
    rules.SUCCESSFUL: set[str](),
}

# Between two webhooks of one step.
_WEBHOOK_SPACING_SECONDS = 1.0


class Till:
    """Takes payments in and ends them. `on_change` is called after every change that may be due soon."""

    def __init__(self, store: Store, options: Options, on_change: Callable[[], None]) -> None:
        self._store = store
        self._options = options
        self._on_change = on_change

    def accept(self, network: Network, asked: CollectRequest, script: rules.Script) -> Payment:
        """A new payment, its script running; a script that ends at once has already ended it.

        Asking twice makes two payments: FeexPay knows no idempotency key.
        """
        now = time.time()
        payment = Payment(
            reference=bodies.new_reference(network, now),
            suffix=network.suffix,
            msisdn=asked.msisdn,
            amount=asked.amount,
            paid_amount=0,
            status=rules.PENDING,
            reason=None,
            prompts=1 if script.asks_payer else 0,
            odd_status_body=script.odd_status_body,
            echo=asked.callback_info,
            details={
                "description": asked.description,
                "first_name": asked.first_name,
                "last_name": asked.last_name,
                "email": asked.email,
            },
            created_at=now,
        )
        with self._store.transaction():
            self._store.add_payment(payment)
            for step in script.steps:
                self._plan(payment.reference, step, now)
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

    def announce(self, payment: Payment) -> None:
        """Send the webhook of the payment's present status once more."""
        with self._store.transaction():
            self._queue(payment, payment.status, time.time())
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
            spacing = position * _WEBHOOK_SPACING_SECONDS * self._options.time_scale
            self._queue(payment, status, now + spacing)
        return True

    def _queue(self, payment: Payment, status: str, due_at: float) -> None:
        if not self._options.webhook_url:
            return
        text = json.dumps(bodies.webhook(payment, status, due_at), ensure_ascii=False, separators=(",", ":"))
        self._store.add_delivery(payment.reference, status, text.encode(), due_at)

    def _known(self, reference: str) -> Payment:
        payment = self._store.payment(reference)
        if payment is None:
            raise LookupError(reference)
        return payment
