"""Everything of one seed: the clock, the gateway, the actors' tasks, and the trace of what happened."""

from __future__ import annotations

import hashlib
import logging
import math
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.test import override_settings

from django_feexpay import conf
from django_feexpay.background import tasks
from django_feexpay.models import Payment
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.outbox import SIGNALS
from tests import process_state
from tests.payments.fakes import Guard, KilledError, Recorder
from tests.payments.strategies import RATES
from tests.simulation.determinism import BEGINS_AT, VirtualClock, controlled
from tests.simulation.faults import Faults, faults_of
from tests.simulation.gateway import SimulatedGateway
from tests.simulation.scheduler import Scheduler, Task, Work


class ViolationError(AssertionError):
    """A rule does not hold. The first word of the text is the rule."""


class ReceiverError(Exception):
    """The host's receiver fails."""


@dataclass
class Host:
    """The shop: it remembers each signal, and sometimes raises."""

    source: random.Random
    error_rate: float
    honest: bool = False

    def receive(self, **kwargs: object) -> None:
        if not self.honest and self.source.random() < self.error_rate:
            raise ReceiverError


@dataclass(frozen=True)
class Move:
    """Something that may happen now. The seed prefers moves of a higher weight. `act` returns False if it cannot."""

    weight: float
    act: Callable[[], bool | None]


class World:
    """The state of one seed. `open` before anything else."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.faults: Faults = faults_of(seed)
        self.random = random.Random(f"actors of {seed}")
        self.clock = VirtualClock()
        self.trace: list[str] = []
        self.steps = 0
        self.erased: set[int] = set()
        self.signals = Recorder()
        self.host = Host(random.Random(f"host of {seed}"), self.faults.receiver_error_rate)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Take the process over. The database must be empty."""
        feexpay = {**settings.FEEXPAY, "PAYABLE": "any_amount", "RATES": RATES, **self.faults.settings}
        with ExitStack() as stack:
            stack.enter_context(controlled(self.seed, self.clock, self._sleep))
            stack.enter_context(override_settings(FEEXPAY=feexpay))
            process_state.forget()
            stack.callback(process_state.forget)
            stack.enter_context(mock.patch.object(tasks, "_engine", (math.inf, False)))  # there is no cluster
            stack.callback(logging.disable, logging.root.manager.disable)
            logging.disable(logging.CRITICAL)
            for name, signal in SIGNALS.items():
                receiver = self.signals.listen(str(name), signal)
                stack.callback(signal.disconnect, receiver, dispatch_uid=f"recorder-{name}")
                signal.connect(self.host.receive, weak=False, dispatch_uid=f"host-{name}")
                stack.callback(signal.disconnect, self.host.receive, dispatch_uid=f"host-{name}")
            self.payers = [User.objects.create_user(f"payer-{number}") for number in range(1, self.faults.payers + 1)]
            self.staff = [User.objects.create_user(f"staff-{name}", is_staff=True) for name in ("ama", "kofi")]
            self.scheduler = Scheduler(
                random.Random(f"turns of {self.seed}"),
                self.clock,
                pause_rate=self.faults.pause_rate,
                kill_rate=self.faults.kill_rate,
            )
            source = random.Random(f"gateway of {self.seed}")
            self.gateway = SimulatedGateway(source, self.faults, self.clock, self._pause, self.scheduler.quietly)
            self.guard = Guard(self.gateway)
            stack.enter_context(conf.use_transport(self.guard))
            stack.enter_context(self.scheduler.pausing())
            yield

    # --- tasks --------------------------------------------------------------------------------------------

    def begin(self, name: str, process: str, work: Work) -> None:
        """Begin a task: a refusal is a normal outcome of it, another error is a violation."""
        task = Task(f"{process}: {name}", process, lambda: _outcome_of(work))
        self.scheduler.begin(task)
        self.note_turn(task)

    def resume_one(self) -> None:
        task = self.scheduler.next_task()
        self.scheduler.resume(task)
        self.note_turn(task)

    def drain(self) -> None:
        """Run every task to its end."""
        while self.scheduler.paused:
            self.resume_one()

    def kill(self, process: str) -> None:
        self.scheduler.kill(process)
        self.note(f"{process} is killed")

    def note_turn(self, task: Task) -> None:
        self.note(f"{task.name} → {task.outcome}" if task.outcome else f"{task.name} … {task.where}")
        if isinstance(task.error, ViolationError):
            raise task.error
        if task.error is not None:
            raise ViolationError(f"E1 {task.name} raised {task.error!r}") from task.error

    # --- the trace ----------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        passed = (self.clock.at - BEGINS_AT).total_seconds()
        self.trace.append(f"{passed:12.3f} s  {text}")

    def trace_hash(self) -> str:
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]

    def name_of(self, payment_id: UUID | str) -> str:
        """A payment in the trace: its order, and the beginning of its id."""
        order = Payment.objects.filter(pk=payment_id).values_list("merchant_reference", flat=True).first()
        return f"{order} ({str(payment_id)[:8]})"

    # --- passed on to the parts ---------------------------------------------------------------------------

    def _pause(self, where: str) -> None:
        self.scheduler.pause(where, always=self.faults.pause_rate > 0)

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.scheduler.pause("sleeps")


def _outcome_of(work: Callable[[], object]) -> str:
    try:
        answer = work()
    except NotAllowedError as refusal:
        return f"refused: {refusal.code}"
    except KilledError:
        raise
    return "done" if answer is None else str(answer)
