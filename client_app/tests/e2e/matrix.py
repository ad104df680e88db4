"""Kill the client in every state and start it again, against the real shop and sandbox: `make client-matrix`.

Each case has its own player. One or more runs are killed with SIGKILL when they print a given line; a last run resumes.
Then the gateway's charges and the shop's payments are counted. Exits with 1 unless there are 0 double charges, 0
forgotten payments and 0 wrong results on the screen.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.player import Plan
from tests.e2e.real_server import RealServer, client_command, start_real_server

_TIMEOUT_SECONDS = 600.0
#: Processes at a time.
_CONCURRENT = 5


@dataclass(frozen=True)
class Run:
    """One run of the app. `killed_at`: the printed line at which it is killed; empty: it runs to its end."""

    killed_at: str
    plan: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """`killed_runs`, then a last run that resumes.

    approve: the payer confirms before the last run. module: `player` runs the core, `window_player` the whole app by
    taps, `sheet_player` the example game with the payment sheet.
    """

    name: str
    killed_runs: tuple[Run, ...]
    ends: str = "succeeded"
    charges: int = 1
    payments: int = 1
    approve: bool = False
    module: str = "player"
    last: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """The outcome of a case."""

    case: Case
    ended: str
    charges: int
    payments: int
    said: str
    wrong_results: int = 0

    @property
    def good(self) -> bool:
        wanted = (self.case.ends, self.case.charges, self.case.payments)
        return (self.ended, self.charges, self.payments) == wanted and not self.wrong_results


def _killed_at(killed_at: str, **plan: Any) -> Run:
    return Run(killed_at, {"act": "pay"} | plan)


_PAYING, _REFUSING = "01 97 00 00 00", "01 97 00 00 01"
_REFUSED = _killed_at("failed", phone="01 97 00 00 01")
_CORIS = {"provider": "coris_bj", "phone": "01 97 00 00 00"}
_PAGE = {"provider": "orange_sn", "phone": "77 000 00 50"}

CASES = (
    Case("never: paid", ()),
    Case("never: one-time code", (), last={"act": "pay", "otp": "123456"} | _CORIS),
    Case("form filled in, not sent", (_killed_at("ready", act="fill_in"),), ends="nothing open", charges=0, payments=0),
    Case("key on disk, nothing sent", (_killed_at("held:before", hold="before"),)),
    Case("request on its way", (_killed_at("held:during", hold="during"),)),
    Case("answer not read", (_killed_at("held:after", hold="after"),)),
    Case("no network when pressed", (_killed_at("held:offline", hold="offline"),)),
    Case("answer lost, searching", (_killed_at("unknown", hold="lost"),)),
    Case("waiting for the PIN", (_killed_at("waiting", phone="01 97 00 00 50"),), approve=True),
    Case("gateway does not answer, checking", (_killed_at("checking", phone="01 97 00 00 09"),)),
    Case("one-time code requested", (_killed_at("otp", **_CORIS),), last={"otp": "123456"}),
    Case("code sent, answer not read", (_killed_at("held:after", hold="after", on="/otp/", otp="123456", **_CORIS),)),
    Case("on the operator's page", (_killed_at("redirect", **_PAGE),), approve=True),
    Case("paid, result not shown yet", (_killed_at("succeeded"),)),
    Case("refused, result not shown yet", (_REFUSED,), ends="failed", charges=0),
    Case("retry: nothing sent", (_REFUSED, _killed_at("held:before", act="retry", hold="before", on="retry/"))),
    Case("retry: answer not read", (_REFUSED, _killed_at("held:after", act="retry", hold="after", on="retry/"))),
    Case("retry: answer lost", (_REFUSED, _killed_at("unknown", act="retry", hold="lost", on="retry/"))),
    Case(
        "killed again while resuming",
        (_killed_at("held:during", hold="during", phone="01 97 00 00 50"), Run("waiting", {"act": "resume"})),
        approve=True,
    ),
    Case("three in one run", (), charges=2, payments=3, last={"act": "pay", "then": (_REFUSING, _PAYING)}),
    Case(
        "second of two: answer not read",
        (_killed_at("held:after", hold="after", hold_after=1, then=(_PAYING,)),),
        charges=2,
        payments=2,
    ),
    Case(
        "second pending, then a third",
        (_killed_at("held:during", hold="during", hold_after=1, then=(_PAYING,)),),
        charges=3,
        payments=3,
        last={"then": (_PAYING,)},
    ),
    Case(
        "refused, the next one lost",
        (_killed_at("unknown", phone="01 97 00 00 01", hold="lost", hold_after=1, then=(_PAYING,)),),
        charges=2,
        payments=3,
        last={"then": (_PAYING,)},
    ),
)


WINDOW_CASES = (
    Case("window, never: paid", (), module="window_player"),
    Case(
        "window, never: refused", (), ends="failed", charges=0, last={"phone": "01 97 00 00 01"}, module="window_player"
    ),
    Case("window, answer lost", (_killed_at("unknown", hold="lost"),), module="window_player"),
    Case("window, waiting", (_killed_at("waiting", phone="01 97 00 00 50"),), approve=True, module="window_player"),
    Case(
        "window, three in one run",
        (),
        charges=2,
        payments=3,
        module="window_player",
        last={"act": "pay", "then": (_REFUSING, _PAYING)},
    ),
    Case(
        "window, second lost, then a third",
        (_killed_at("unknown", phone=_REFUSING, hold="lost", hold_after=1, then=(_PAYING,)),),
        charges=2,
        payments=3,
        module="window_player",
        last={"then": (_PAYING,)},
    ),
)


def _in_sheet(name: str, *killed_runs: Run, **more: Any) -> Case:
    return Case(f"sheet, {name}", killed_runs, module="sheet_player", **more)


SHEET_CASES = (
    _in_sheet("never: paid"),
    _in_sheet("key on disk, nothing sent", _killed_at("held:before", hold="before")),
    _in_sheet("request on its way", _killed_at("held:during", hold="during")),
    _in_sheet("answer not read", _killed_at("held:after", hold="after")),
    _in_sheet("answer lost, searching", _killed_at("unknown", hold="lost")),
    _in_sheet("waiting for the PIN", _killed_at("waiting", phone="01 97 00 00 50"), approve=True),
    _in_sheet("gateway does not answer, checking", _killed_at("checking", phone="01 97 00 00 09")),
    _in_sheet("one-time code requested", _killed_at("otp", **_CORIS), last={"otp": "123456"}),
    _in_sheet("code sent, answer not read", _killed_at("held:after", hold="after", on="/otp/", otp="123456", **_CORIS)),
    _in_sheet("on the operator's page", _killed_at("redirect", **_PAGE), approve=True),
    _in_sheet("retry: nothing sent", _REFUSED, _killed_at("held:before", act="retry", hold="before", on="retry/")),
    _in_sheet("retry: answer not read", _REFUSED, _killed_at("held:after", act="retry", hold="after", on="retry/")),
    _in_sheet("retry: answer lost", _REFUSED, _killed_at("unknown", act="retry", hold="lost", on="retry/")),
    _in_sheet("paid, result not shown yet", _killed_at("succeeded")),
    _in_sheet("refused, not shown yet", _REFUSED, ends="failed", charges=0),
)


async def run_matrix(server: RealServer, cases: tuple[Case, ...] = CASES, first: int = 0) -> list[Row]:
    """Run all cases concurrently, each with its own player, numbered from `first`."""
    slots = asyncio.Semaphore(_CONCURRENT)

    async def one(player: str, case: Case) -> Row:
        async with slots:
            return await _play(server, player, case)

    return list(await asyncio.gather(*(one(f"player{number}", case) for number, case in enumerate(cases, first))))


def table(rows: list[Row]) -> str:
    lines = [f"{'killed':<42}{'then':<16}{'charges':>8}{'payments':>10}"]
    for row in rows:
        mark = "" if row.good else f"   WRONG, expected {row.case.ends}/{row.case.charges}/{row.case.payments}"
        lines.append(f"{row.case.name:<42}{row.ended:<16}{row.charges:>8}{row.payments:>10}{mark}")
    double = sum(max(0, row.charges - row.case.charges) for row in rows)
    wrong = sum(row.wrong_results for row in rows)
    forgotten = sum(row.ended != row.case.ends for row in rows)
    return "\n".join([*lines, f"double_charges={double} forgotten={forgotten} wrong_results={wrong} rows={len(rows)}"])


async def _play(server: RealServer, player: str, case: Case) -> Row:
    with tempfile.TemporaryDirectory(prefix="client-home-") as home:
        base = {"home": home, "server": server.shop, "token": server.tokens[player]}
        said = []
        for run in case.killed_runs:
            said += await _run_app(Plan(**{**base, **run.plan}), run.killed_at, case.module)
        if case.approve:
            await asyncio.to_thread(server.approve, player)
        last = {"act": "resume" if case.killed_runs else "pay"} | case.last
        said += await _run_app(Plan(**{**base, **last}), "", case.module)
    ended = said[-1].split(":")[1] if said and said[-1].startswith("end:") else "nothing"
    if "nothing open" in said:
        ended = "nothing open"
    history, charges = await asyncio.to_thread(lambda: (server.history(player), server.charges_of(player)))
    wrong = _wrong_results(said, {row["id"]: row["status"] for row in history})
    return Row(case, ended, charges, len(history), " ".join(said), wrong)


def _wrong_results(said: list[str], statuses: dict[str, str]) -> int:
    """How many results were shown that differ from the shop's."""
    shown = [word.split(":")[1:] for word in said if word.startswith("shown:")]
    return sum(statuses.get(payment_id) != status for payment_id, status in shown)


async def _run_app(plan: Plan, killed_at: str, module: str) -> list[str]:
    """Start the app; kill it at that line, or let it run to its end. Returns what it printed."""
    command = client_command(f"tests.e2e.{module}", plan.as_argument())
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            async for line in process.stdout:
                said.append(line.decode().strip())
                if killed_at and said[-1] == killed_at:
                    process.kill()
                    break  # ignore what it prints before the signal reaches it
    except TimeoutError:
        process.kill()
    await process.communicate()
    return [*said, "killed"] if killed_at else said


def main() -> int:
    cases = CASES + WINDOW_CASES + SHEET_CASES
    with start_real_server(len(cases)) as server:
        rows = asyncio.run(run_matrix(server, cases))
    sys.stdout.write(table(rows) + "\n")
    for row in rows:
        if not row.good:
            sys.stdout.write(f"\n{row.case.name}: {row.said}\n")
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
