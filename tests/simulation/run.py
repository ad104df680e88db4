"""Run one seed: random steps under faults, then the repair, then the worker until everything has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django_feexpay.models import Credit, Payment, Provider
from tests.simulation import actors
from tests.simulation.background import Background
from tests.simulation.rules import Rules
from tests.simulation.world import ViolationError, World

STEPS = 250
#: A task under way is preferred to a new move, and more so the more there are.
MOST_TASKS = 8

#: The worker's time after the repair. Sunday's comparison, which reads nine days, is within it.
MOST_DAYS_AFTERWARDS = 10
_A_DAY = 86_400.0


@dataclass(frozen=True)
class Result:
    """What a seed did. `violation`: "" or the rule that does not hold, with what breaks it."""

    seed: int
    steps: int
    payments: int
    charges: int
    credits: int
    kills: int
    violation: str
    trace: tuple[str, ...]
    trace_hash: str


def run_seed(seed: int, empty_database: Callable[[], None], *, steps: int = STEPS) -> Result:
    """Run a seed on the default database. The same seed gives the same trace. `empty_database`: called first."""
    empty_database()
    world = World(seed)
    violation = ""
    with world.open():
        rules = Rules(world)
        try:
            _run(world, rules, steps)
        except ViolationError as error:
            violation = str(error)
            world.note(f"VIOLATION {violation}")
        return Result(
            seed=seed,
            steps=world.steps,
            payments=Payment.objects.count(),
            charges=len(world.gateway.paid()),
            credits=Credit.objects.count(),
            kills=world.scheduler.kills,
            violation=violation,
            trace=tuple(world.trace),
            trace_hash=world.trace_hash(),
        )


def _run(world: World, rules: Rules, steps: int) -> None:
    background = Background(world)
    feexpay = actors.FeexPay(world)
    everyone = (
        *(actors.Payers(world), background, feexpay),
        *(actors.Staff(world), actors.Disturbance(world, background)),
    )
    while world.steps < steps:
        world.steps += 1
        world.clock.advance(world.random.choice([0.0, 0.0, 0.05, 0.5, 3.0]))
        under_way = len(world.scheduler.paused)
        if under_way and world.random.random() < max(0.5, under_way / MOST_TASKS):
            world.resume_one()
        else:
            moves = [move for actor in everyone for move in actor.moves()]
            while actors.choose(world.random, moves).act() is False:
                pass
        rules.after_step()
    _repair(world, feexpay)
    rules.after_step()
    _work_until_done(world, rules, background)


def _repair(world: World, feexpay: actors.FeexPay) -> None:
    """End every fault. Webhooks that were not lost arrive now."""
    world.scheduler.end_faults()
    world.drain()
    world.gateway.become_honest()
    world.host.honest = True
    Provider.objects.update(enabled=True)
    world.note("every fault is repaired")
    due_last = max((webhook.not_before for webhook in world.gateway.webhooks), default=world.clock.at)
    world.clock.advance_to(due_last)
    while world.gateway.webhooks:
        feexpay.deliver_webhook()
        world.drain()


def _work_until_done(world: World, rules: Rules, background: Background) -> None:
    ends_at = world.clock.monotonic + MOST_DAYS_AFTERWARDS * _A_DAY
    wait = 5.0
    while world.clock.monotonic < ends_at:
        world.steps += 1
        background.work()
        rules.after_step()
        if not rules.unfinished() and not background.has_open_work():
            break
        background.advance_to_next_work(at_least_seconds=wait)
        wait = min(wait * 1.5, _A_DAY / 4)
    rules.check_all()
    if problem := rules.unfinished():
        raise ViolationError(problem)
    world.note(f"done: {Payment.objects.count()} payments, {Credit.objects.count()} credits")
