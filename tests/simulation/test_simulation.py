"""The simulation finds broken rules, finds none in the package, and repeats a seed exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_feexpay.lifecycle import Status
from django_feexpay.payments import initiate, ledger, sending
from tests import emptying
from tests.simulation.__main__ import closing_line, failure_text, main
from tests.simulation.run import Result, run_seed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.unmeasured]

#: Shorter than those of `make simulate`, for the suite.
STEPS = 60
FEW_SEEDS = 8


def run(seed: int) -> Result:
    return run_seed(seed, emptying.empty, steps=STEPS)


def test_same_seed_gives_the_same_trace_without_a_violation_and_another_seed_another_one() -> None:
    results = {seed: (run(seed), run(seed)) for seed in (2, 6)}

    for first, second in results.values():
        assert first.violation == ""
        assert (first.payments > 0, len(first.trace) > STEPS) == (True, True)
        assert second.trace == first.trace
        assert second.trace_hash == first.trace_hash
    assert results[2][0].trace_hash != results[6][0].trace_hash


def ask_twice_for_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initiate, "refuse_duplicates", lambda *given: None)


def forget_to_announce_a_credit(monkeypatch: pytest.MonkeyPatch) -> None:
    enqueue = ledger._enqueue_signal

    def unless_succeeded(payment: Any, signal: str, at: Any) -> None:
        if signal != ledger.Signal.SUCCEEDED:
            enqueue(payment, signal, at)

    monkeypatch.setattr(ledger, "_enqueue_signal", unless_succeeded)


def send_a_lost_request_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an attempt whose answer was lost back, as if its request had never left."""

    def put_back(attempt: Any, source: Any, code: str) -> None:
        cause = ledger.Cause(source=source, because=code)
        changes = {"next_poll_at": attempt.created_at, "sent_at": None}
        ledger.move(attempt.pk, Status.CREATED, cause, changes=changes)

    monkeypatch.setattr(sending, "_mark_unknown", put_back)


@pytest.mark.parametrize(
    ("break_it", "rules"),
    [
        (ask_twice_for_an_order, {"R3"}),
        (forget_to_announce_a_credit, {"T1", "I10"}),
        (send_a_lost_request_again, {"R2", "R3", "I14"}),
    ],
)
def test_broken_rule_is_found_by_one_of_a_few_seeds(
    monkeypatch: pytest.MonkeyPatch, break_it: Callable[[pytest.MonkeyPatch], None], rules: set[str]
) -> None:
    break_it(monkeypatch)

    found = next((result for seed in range(1, FEW_SEEDS + 1) if (result := run(seed)).violation), None)

    assert found is not None
    assert found.violation.split()[0] in rules
    assert found.trace[-1].endswith(f"VIOLATION {found.violation}")


def result(**changes: Any) -> Result:
    given: dict[str, Any] = {"seed": 17, "steps": 90, "payments": 3, "charges": 2, "credits": 1, "kills": 0}
    return Result(**given | {"violation": "", "trace": ("first", "last"), "trace_hash": "0"} | changes)


def test_failing_seed_is_printed_with_its_rule_its_last_steps_and_the_way_to_repeat_it() -> None:
    lines = failure_text(result(violation="R2 attempt 1 was requested twice")).splitlines()

    assert lines[0] == "seed 17: R2 attempt 1 was requested twice. Repeat it with: make simulate SEED=17"
    assert [line.strip() for line in lines[1:]] == ["first", "last"]


def test_closing_line_sums_the_seeds() -> None:
    line = closing_line([result(), result(violation="R2 twice")], 1.25)

    assert line == "seeds=2 steps=180 payments=6 charges=4 credits=2 kills=0 violations=1 seconds=1.2"


def test_number_of_seeds_must_be_positive(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--seeds", "0"])

    assert "--seeds and --processes must be at least 1" in capsys.readouterr().err
