"""Which webhooks are sent about a payment, and which of them are lost, late, repeated or forged."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django_feexpay.sandbox import bodies, scenarios
from django_feexpay.sandbox.fault_settings import CurrentSettings
from django_feexpay.sandbox.options import Options
from django_feexpay.sandbox.store import Payment, Store

# Time between a webhook and those the fault settings add after it.
SPACING_SECONDS = 1.0

LOST = "lost"


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook to send about a payment. None keeps the payment's own value; `signed` False sends no credentials."""

    status: str | None = None
    amount: int | None = None
    reference: str | None = None
    delay_seconds: float = 0.0
    signed: bool = True


class WebhookQueue:
    """Queues webhooks in the store; the timers send them. Without a webhook address nothing is queued."""

    def __init__(self, store: Store, options: Options, current_settings: CurrentSettings) -> None:
        self._store = store
        self._options = options
        self._current_settings = current_settings

    @property
    def address(self) -> str:
        """Where webhooks go now; "" sends none."""
        return self._current_settings.now.webhook_url or self._options.webhook_url

    def announce(self, payment: Payment, status: str, due_at: float) -> None:
        """Queue the webhook of a status, with the faults of the settings."""
        settings = self._current_settings.now
        if status == scenarios.FAILED and not settings.webhook_on_failure:
            return
        body = bodies.webhook(payment, status, due_at)
        due_at += self._scaled(settings.webhook_delay_seconds)
        roll = self._random_percents()
        if roll() < settings.webhook_lost_percent:
            self._queue(payment.reference, body, None)
            return
        self._queue(payment.reference, body, due_at)
        later = due_at + self._scaled(SPACING_SECONDS)
        if roll() < settings.webhook_duplicate_percent:
            self._queue(payment.reference, body, later)
        if roll() < settings.webhook_disorder_percent:
            self._queue(payment.reference, body | {"status": scenarios.PENDING, "reason": ""}, later)
        if roll() < settings.webhook_forged_percent:
            self._queue(payment.reference, body | _forged_fields(body, roll()), due_at)
        if roll() < settings.webhook_unknown_percent:
            unknown = str(uuid.uuid4())
            self._queue(payment.reference, body | {"reference": unknown, "order_id": unknown}, due_at)

    def send(self, payment: Payment, request: WebhookRequest, now: float) -> None:
        """Queue exactly this webhook; the fault settings do not touch it."""
        due_at = now + self._scaled(request.delay_seconds)
        body = bodies.webhook(payment, request.status or payment.status, due_at)
        if request.amount is not None:
            body["amount"] = request.amount
        if request.reference is not None:
            body |= {"reference": request.reference, "order_id": request.reference}
        self._queue(payment.reference, body, due_at, signed=request.signed)

    def send_body(self, key: str, body: dict[str, Any], due_at: float) -> None:
        """Queue a webhook about no payment; `key` takes the place of the reference."""
        self._queue(key, body, due_at)

    def _random_percents(self) -> Callable[[], float]:
        """Random numbers from 0 to 100, the same ones for the same seed and count of webhooks."""
        seed = f"{self._current_settings.now.seed}:webhook:{self._store.count('webhook')}"
        return partial(random.Random(seed).uniform, 0, 100)  # noqa: S311 -- repeatable faults, nothing secret

    def _queue(self, key: str, body: dict[str, Any], due_at: float | None, *, signed: bool = True) -> None:
        if not self.address:
            return
        if self._current_settings.now.webhook_v1:
            body = bodies.in_v1_format(body)
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        outcome = "" if due_at is not None else LOST
        self._store.add_delivery(key, str(body["status"]), text.encode(), due_at, outcome=outcome, signed=signed)

    def _scaled(self, seconds: float) -> float:
        return seconds * self._options.time_scale


def _forged_fields(body: dict[str, Any], chance: float) -> dict[str, Any]:
    """Another status, or one unit more."""
    if chance < 50:
        return {"amount": body["amount"] + 1}
    status = scenarios.FAILED if body["status"] == scenarios.SUCCESSFUL else scenarios.SUCCESSFUL
    return {"status": status, "reason": ""}
