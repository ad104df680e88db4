"""The worker in a simulation: its steps as tasks of two processes, or all of them in a row once the faults are over.

`Worker` of the package runs the same functions in threads of its own, which a seed could not order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from django_feexpay.background import worker
from django_feexpay.models import OutboxMessage
from django_feexpay.payments import daily_totals, leases, outbox, webhook_hints
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.receivers import Bulkhead
from django_feexpay.payments.reconciliation import nightly, run
from django_feexpay.privacy import numbers, purge
from tests.payments.fakes import BATCH, next_due_at, sweep
from tests.simulation.world import Move, World

PROCESSES = ("worker-1", "worker-2")


class Background:
    """The background work of the package."""

    def __init__(self, world: World) -> None:
        self._world, self._random = world, world.random
        self._periodic: dict[str, Callable[[], object]] = {
            "runs the nightly comparison": partial(nightly.run_nightly, source=Source.WORKER),
            "purges": partial(purge.run_nightly, source=Source.WORKER),
            "corrects clock errors": worker.correct_clock_errors,
            "matches late references": webhook_hints.match_late_references,
            "updates the daily totals": daily_totals.update,
            "erases numbers": numbers.erase_unneeded,
            "probes the gateway": worker.probe_gateway,
        }

    def moves(self) -> Iterator[Move]:
        yield Move(6, self._claim)
        yield Move(3, self._deliver)
        yield Move(2, self._do_periodic_work)
        yield Move(0.2, self._compare)

    def _begin(self, name: str, work: Callable[[], object]) -> None:
        def done() -> str:
            work()
            return "done"

        self._world.begin(name, self._random.choice(PROCESSES), done)

    def _claim(self) -> None:
        """Claim as the worker does. A claim whose process is killed right after it is due again after its lease."""
        for held in leases.claim_due(BATCH, unsent=True) + leases.claim_due(BATCH, unsent=False):
            self._begin(f"advances {held.status} {str(held.attempt_id)[:8]}", partial(worker.advance, held))

    def _deliver(self) -> None:
        bulkhead = Bulkhead()
        for held in outbox.claim(self._random.choice([1, 1, 5]), bulkhead):
            name = f"delivers {held.message.signal} of {self._world.name_of(held.message.payment_id)}"
            self._begin(name, partial(outbox.deliver_claimed, held, bulkhead))

    def _do_periodic_work(self) -> None:
        name = self._random.choice(list(self._periodic))
        self._begin(name, self._periodic[name])

    def _compare(self) -> None:
        """An operator compares the last days with `feexpay_reconcile`."""
        yesterday = self._world.clock.at.date() - timedelta(days=1)

        def compare() -> None:
            run.compare(run.begin(yesterday - timedelta(days=2), yesterday), source=Source.COMMAND)

        self._world.begin("compares three days by command", "staff", lambda: compare() or "done")

    # --- after the faults ---------------------------------------------------------------------------------

    def work(self) -> None:
        """Do everything that is due, without a fault."""
        sweep()
        for work in self._periodic.values():
            work()
        outbox.deliver()

    def has_open_work(self) -> bool:
        return OutboxMessage.objects.filter(next_delivery_at__isnull=False).exists()

    def advance_to_next_work(self, *, at_least_seconds: float) -> None:
        clock = self._world.clock
        clock.advance(at_least_seconds)
        instant = next_due_at()
        if instant is not None:
            clock.advance_to(min(instant, clock.at + timedelta(hours=6)))
