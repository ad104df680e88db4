"""The loop that runs due steps and sends due webhooks.

The loop reads them from the store, so a restart forgets nothing. Each webhook is sent in its own task, so a slow shop
delays nothing else.
"""

from __future__ import annotations

import asyncio
import time

from django_feexpay.sandbox import webhooks
from django_feexpay.sandbox.fault_settings import CurrentSettings
from django_feexpay.sandbox.options import Options
from django_feexpay.sandbox.payment_engine import PaymentEngine
from django_feexpay.sandbox.store import Delivery, Store

_DELIVERIES_AT_ONCE = 16

# An idle loop checks at least this often, as the machine's clock may be changed.
_IDLE_SECONDS = 60.0


class Timers:
    """Runs what is due, and sleeps until the next is. `wake` makes it check at once."""

    def __init__(self, store: Store, options: Options, current_settings: CurrentSettings) -> None:
        self.engine = PaymentEngine(store, options, current_settings, on_change=self.wake)
        self._store = store
        self._options = options
        self._woken = asyncio.Event()
        self._slots = asyncio.Semaphore(_DELIVERIES_AT_ONCE)
        self._under_way: dict[int, asyncio.Task[None]] = {}

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Run until cancelled. Deliveries under way are cancelled, too, and sent again after a restart."""
        try:
            while True:
                self._woken.clear()
                for due in self._store.due_steps(time.time()):
                    self.engine.run(due)
                for delivery in self._store.due_deliveries(time.time()):
                    self._deliver(delivery)
                await self._sleep()
        finally:
            for task in self._under_way.values():
                task.cancel()

    async def deliver_now(self, reference: str) -> None:
        """Attempt each due webhook of this payment once."""
        due = [one for one in self._store.due_deliveries(time.time()) if one.reference == reference]
        await asyncio.gather(*(self._deliver(one) for one in due))

    async def _sleep(self) -> None:
        due_at = self._store.next_due_at(self._under_way.keys())
        seconds = _IDLE_SECONDS if due_at is None else due_at - time.time()
        try:
            async with asyncio.timeout(min(max(seconds, 0.0), _IDLE_SECONDS)):
                await self._woken.wait()
        except TimeoutError:
            return

    def _deliver(self, delivery: Delivery) -> asyncio.Task[None]:
        task = self._under_way.get(delivery.id)
        if task is None:
            task = asyncio.create_task(self._attempt(delivery))
            self._under_way[delivery.id] = task
        return task

    async def _attempt(self, delivery: Delivery) -> None:
        try:
            async with self._slots:
                self._store.begin_attempt(delivery.id)
                delivered, outcome = await webhooks.attempt(self._options, self.engine.webhook_queue.address, delivery)
                due_again_at = None
                if not delivered and delivery.attempts < len(webhooks.RETRY_GAPS_SECONDS):
                    gap = webhooks.RETRY_GAPS_SECONDS[delivery.attempts]
                    due_again_at = time.time() + gap * self._options.time_scale
                self._store.end_attempt(delivery.id, outcome, delivered, due_again_at)
        finally:
            del self._under_way[delivery.id]
            self.wake()
