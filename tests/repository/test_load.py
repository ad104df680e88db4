"""`make load` runs, counts what is paid, and fails when a charge is not credited once. Its figures are not tested."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.repository.tree import ROOT
from tests.soak.clients import Sandbox
from tools.bench.process_usage import Process
from tools.load.payers import Payers
from tools.load.report import Paid, Usage, verdict

COMMAND = [sys.executable, "-m", "tools.load", "--seconds=1", "--payers=2"]
NUMBER = r"\d+\.\d"
#: Uses the CPU in a child that ends and in one that goes on, hardly in itself, and says so when both have worked.
WITH_CHILDREN = """
import subprocess, sys
work = "import time\\nwhile time.process_time() < 0.2: pass\\n"
subprocess.run([sys.executable, "-c", work], check=True)
goes_on = subprocess.Popen(
    [sys.executable, "-c", work + "print(flush=True)\\ninput()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
goes_on.stdout.readline()
print("worked", flush=True)
input()
"""


def test_load_pays_measures_and_exits_with_zero() -> None:
    done = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    parts = f"web {NUMBER}, worker {NUMBER}, PostgreSQL {NUMBER}, Redis {NUMBER}"
    assert re.search(rf"^cores per 1,000 payments/s: {NUMBER} \({parts}\)$", done.stdout, re.MULTILINE)
    assert re.search(rf"^cores per 1,000 webhooks/s: {NUMBER} ", done.stdout, re.MULTILINE)
    assert re.search(r"^webhooks per second: \d+, the minimum \d+: ", done.stdout, re.MULTILINE)
    for name in ("initiate", "from start to credited"):
        assert re.search(rf"^{name} +p50 \d+ ms, p99 \d+ ms$", done.stdout, re.MULTILINE)
    last = re.fullmatch(
        rf"payments=(\d+) credited=(\d+) charges=(\d+) cores_per_1000={NUMBER}", done.stdout.splitlines()[-1]
    )
    assert last is not None
    assert last[1] == last[2] == last[3]


@pytest.mark.parametrize(
    ("paid", "problems", "code"),
    [
        (Paid(payments=3, credited=3, charges=3), [], 0),
        (Paid(payments=3, credited=2, charges=3), [], 1),
        (Paid(payments=3, credited=4, charges=3), [], 1),
        (Paid(payments=3, credited=3, charges=4), [], 1),
        (Paid(payments=0, credited=0, charges=0), [], 1),
        (Paid(payments=3, credited=3, charges=3), ["LOST charge x"], 1),
    ],
)
def test_load_fails_unless_each_payment_is_charged_and_credited_once(
    paid: Paid, problems: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verdict(paid, 51.26, problems) == code

    *named, last = capsys.readouterr().out.splitlines()
    assert named == [f"VIOLATION {problem}" for problem in problems]
    counts = f"payments={paid.payments} credited={paid.credited} charges={paid.charges}"
    assert last == f"{counts} cores_per_1000=51.3"


def test_payment_that_gets_no_answer_is_refused_and_not_counted() -> None:
    nowhere = "http://127.0.0.1:9"

    driven = Payers(nowhere, Sandbox(nowhere), ["token"]).pay(0)

    assert driven.refused == {"initiate: no answer": 1}
    assert (driven.started, driven.initiate_seconds) == ([], [])


def test_cores_leave_out_the_gateway_and_the_payers() -> None:
    used = Usage({"web": 0.2, "worker": 0.1, "PostgreSQL": 0.1, "Redis": 0.0, "gateway": 5.0, "payers": 5.0})

    assert used.cores(10) == pytest.approx(40)
    assert used.cores(10, "web") == pytest.approx(20)


def test_cpu_time_of_a_process_tree_includes_ended_and_living_children() -> None:
    program = [sys.executable, "-c", WITH_CHILDREN]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"worked\n"
        own, tree = Process(process.pid).cpu_seconds(), Process(process.pid).tree_cpu_seconds()
        process.stdin.close()

    tick = 0.02
    assert tree - own >= 2 * (0.2 - tick)
