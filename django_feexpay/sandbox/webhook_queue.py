"""Which webhooks are sent about a payment, and what becomes of them on the way: late, lost, doubled, forged."""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass
from typing import Any

from django_feexpay.sandbox import bodies, scenarios
from django_feexpay.sandbox.fault_settings import Conditions, FaultSettings
from django_feexpay.sandbox.options import Options
from django_feexpay.sandbox.store import Payment, Store

# Between a webhook and what the conditions send after it.
SPACING_SECONDS = 1.0

LOST = "lost"


@dataclass(frozen=True, slots=True)
class Wish:
    """One webhook that somebody asks for. None keeps what is true; `signed` False proves nothing of the sender."""

    status: str | None = None
    amount: int | None = None
    reference: str | None = None
    delay_seconds: float = 0.0
    signed: bool = True


class WebhookQueue:
    """Queues webhooks in the store; the timers send them. Without a webhook address it takes none."""

    def __init__(self, store: Store, options: Options, switchboard: FaultSettings) -> None:
        self._store = store
        self._options = options
        self._switchboard = switchboard

    @property
    def address(self) -> str:
        """Where webhooks go now; "" sends none."""
        return self._switchboard.now.webhook_url or self._options.webhook_url

    def announce(self, payment: Payment, status: str, due_at: float) -> None:
        """The news that the payment is `status`, with whatever the conditions make of it."""
        conditions = self._switchboard.now
        if status == scenarios.FAILED and not conditions.webhook_on_failure:
            return
        self._add(
            payment, bodies.webhook(payment, status, due_at), due_at + self._scaled(conditions.webhook_delay_seconds)
        )

    def send(self, payment: Payment, wish: Wish, now: float) -> None:
        """Exactly what is wished; no condition touches it."""
        due_at = now + self._scaled(wish.delay_seconds)
        body = bodies.webhook(payment, wish.status or payment.status, due_at)
        if wish.amount is not None:
            body["amount"] = wish.amount
        if wish.reference is not None:
            body |= {"reference": wish.reference, "order_id": wish.reference}
        self._queue(payment.reference, body, due_at, signed=wish.signed)

    def send_body(self, key: str, body: dict[str, Any], due_at: float) -> None:
        """A webhook that is about no payment; `key` is what its delivery is kept under."""
        self._queue(key, body, due_at)

    def _add(self, payment: Payment, body: dict[str, Any], due_at: float) -> None:
        conditions = self._switchboard.now
        chances = self._chances(conditions)
        if next(chances) < conditions.webhook_lost_percent:
            return self._queue(payment.reference, body, None)
        self._queue(payment.reference, body, due_at)
        later = due_at + self._scaled(SPACING_SECONDS)
        if next(chances) < conditions.webhook_duplicate_percent:
            self._queue(payment.reference, body, later)
        if next(chances) < conditions.webhook_disorder_percent:
            self._queue(payment.reference, body | {"status": scenarios.PENDING, "reason": ""}, later)
        if next(chances) < conditions.webhook_forged_percent:
            self._queue(payment.reference, body | _lie(body, next(chances)), due_at)
        if next(chances) < conditions.webhook_unknown_percent:
            nobody = str(uuid.uuid4())
            self._queue(payment.reference, body | {"reference": nobody, "order_id": nobody}, due_at)
        return None

    def _chances(self, conditions: Conditions) -> Any:
        """Numbers from 0 to 100, the same for the same webhook of the same seed."""
        # To be repeatable; nothing here is secret.
        chance = random.Random(f"{conditions.seed}:webhook:{self._store.count('webhook')}")  # noqa: S311 -- see above
        return iter(lambda: chance.uniform(0, 100), None)

    def _queue(self, key: str, body: dict[str, Any], due_at: float | None, *, signed: bool = True) -> None:
        if not self.address:
            return
        if self._switchboard.now.webhook_v1:
            body = bodies.in_v1_look(body)
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        outcome = "" if due_at is not None else LOST
        self._store.add_delivery(key, str(body["status"]), text.encode(), due_at, outcome=outcome, signed=signed)

    def _scaled(self, seconds: float) -> float:
        return seconds * self._options.time_scale


def _lie(body: dict[str, Any], chance: float) -> dict[str, Any]:
    """Another status, or one unit more."""
    if chance < 50:
        return {"amount": body["amount"] + 1}
    return {
        "status": scenarios.FAILED if body["status"] == scenarios.SUCCESSFUL else scenarios.SUCCESSFUL,
        "reason": "",
    }
