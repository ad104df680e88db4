"""Run many actors in one process, one at a time, in an order that the seed chooses.

Each request, each step of the worker and each action of staff is a task in a thread of its own, but only the task that
holds the turn runs. It gives the turn back at its pauses: before each transaction, before each statement outside one,
around each call to FeexPay, at each failpoint. There the scheduler may run other tasks, or kill the task's process.
All tasks share one database connection: no transaction is open at a pause, so each is as good as its own connection.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.utils import translation

from django_feexpay import failpoints
from tests.payments.fakes import KilledError
from tests.simulation.determinism import VirtualClock

#: The longest turn, in real time.
REAL_SECONDS = 120.0

#: Each move of a status writes an event.
_NEW_EVENT = 'INSERT INTO "feexpay_paymentevent"'

Work = Callable[[], object]

#: A task that was not resumed for so long is resumed next: a process may be slow, but not for ever.
LONGEST_PAUSE_SECONDS = 45.0


@dataclass(eq=False)
class Task:
    """One piece of work under way. `process`: what is killed together with it."""

    name: str
    process: str
    work: Work
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    killed: bool = False
    paused_at: float = 0.0
    where: str = "began"
    outcome: str = ""
    error: BaseException | None = None


class Scheduler:
    """The turns of all tasks. `pause_rate`, `kill_rate`: how often a task pauses, and is killed where it pauses."""

    def __init__(self, source: random.Random, clock: VirtualClock, *, pause_rate: float, kill_rate: float) -> None:
        self._random = source
        self._clock = clock
        self._pause_rate, self._kill_rate = pause_rate, kill_rate
        self._connection = connections[DEFAULT_DB_ALIAS]
        self._back = threading.Semaphore(0)
        self._current: Task | None = None
        self._quiet = 0
        self.paused: list[Task] = []
        self.statements_written = self.events_written = 0
        self.kills = 0

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """Make tasks pause in this block. At its end, tasks that are still paused are killed."""
        enter = transaction.Atomic.__enter__
        pause = self.pause

        def pause_and_enter(atomic: transaction.Atomic) -> None:
            pause("a transaction begins")
            enter(atomic)

        with ExitStack() as stack:
            self._connection.inc_thread_sharing()
            stack.callback(self._connection.dec_thread_sharing)
            for name in failpoints.NAMES:
                stack.enter_context(failpoints.arm(name, lambda name=name: pause(f"failpoint {name}", always=True)))
            stack.enter_context(mock.patch.object(transaction.Atomic, "__enter__", pause_and_enter))
            stack.enter_context(connection.execute_wrapper(self._before_statement))
            stack.callback(self.kill_all)
            yield

    # --- for the simulation -------------------------------------------------------------------------------

    def begin(self, task: Task) -> None:
        """Run a new task until its first pause or its end."""
        thread = threading.Thread(target=self._run, args=(task,), daemon=True, name=task.name)
        thread.start()
        self._give_turn(task)

    def resume(self, task: Task) -> None:
        """Run a paused task until its next pause or its end."""
        self.paused.remove(task)
        self._give_turn(task)

    def next_task(self) -> Task:
        """The paused task that waits too long, else one by chance."""
        oldest = min(self.paused, key=lambda task: task.paused_at)
        if self._clock.monotonic - oldest.paused_at >= LONGEST_PAUSE_SECONDS:
            return oldest
        return self._random.choice(self.paused)

    def kill(self, process: str) -> None:
        """Kill a process: each of its tasks ends where it paused, and writes and sends nothing more."""
        for task in [task for task in self.paused if task.process == process]:
            task.killed = True
            self.resume(task)

    def kill_all(self) -> None:
        for process in {task.process: None for task in self.paused}:
            self.kill(process)

    def end_faults(self) -> None:
        """From now on no task pauses by chance, and none is killed."""
        self._pause_rate = self._kill_rate = 0.0

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """No pause in this block: the simulation itself reads rows while a task has the turn."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    # --- for the code in a task ---------------------------------------------------------------------------

    def pause(self, where: str, *, always: bool = False) -> None:
        """A point at which other tasks may run and the process may be killed; nothing outside a task.

        Raises: KilledError.
        """
        task = self._current
        if task is None or self._quiet:
            return
        if task.killed:
            raise KilledError
        if self._connection.in_atomic_block or not (always or self._random.random() < self._pause_rate):
            return
        task.where = where
        if self._random.random() < self._kill_rate:
            self.kills += 1
            task.killed = True
            raise KilledError
        task.paused_at = self._clock.monotonic
        self.paused.append(task)
        self._back.release()
        task.turn.acquire()
        if task.killed:
            raise KilledError

    def _before_statement(
        self, execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: Any
    ) -> Any:
        if sql[:6] in ("INSERT", "UPDATE", "DELETE"):
            self.statements_written += 1
            self.events_written += sql.startswith(_NEW_EVENT)
        # The pause before a transaction was in `pause_and_enter`. A connection is asked for its settings only once.
        if not sql.startswith(("BEGIN", "SHOW", "SET")):
            self.pause("a statement")
        return execute(sql, parameters, many, context)

    # --- turns --------------------------------------------------------------------------------------------

    def _give_turn(self, task: Task) -> None:
        self._current = task
        task.turn.release()
        if not self._back.acquire(timeout=REAL_SECONDS):
            raise RuntimeError(f"{task.name} waits for a lock that a paused task holds, or never ends")
        self._current = None

    def _run(self, task: Task) -> None:
        connections[DEFAULT_DB_ALIAS] = self._connection
        task.turn.acquire()
        try:
            if task.killed:
                raise KilledError
            task.outcome = str(task.work())
        except KilledError:
            task.outcome = "killed"
        except BaseException as error:  # noqa: BLE001 -- whatever it is, it is a finding, and the turn must go back
            task.error, task.outcome = error, f"raised {type(error).__name__}"
        finally:
            task.where = "ended"
            translation.deactivate()
            self._back.release()
