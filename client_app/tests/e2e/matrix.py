"""The client killed in every state and started again, against the real shop and sandbox: `make client-matrix`.

Each row is a player of its own: one or more runs that end by SIGKILL at a word they say, then one that resumes. It
counts what the gateway took and what the shop has.
0 double charges, 0 forgotten payments and 0 wrong ends shown, or exit code 1.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.place import Place, client_command, open_place
from tests.e2e.player import Plan

_PATIENCE_SECONDS = 90.0
#: So many processes at a time: more would only make each slower.
_AT_ONCE = 5


@dataclass(frozen=True)
class Run:
    """One life of the app: what it does, and the word at which it is killed (empty: it lives to its end)."""

    killed_at: str
    plan: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A row: `lives` before the last one, which resumes. `approve`: the payer says yes before that.

    `window`: the whole app, tapped through; else its core.
    """

    name: str
    lives: tuple[Run, ...]
    ends: str = "succeeded"
    charges: int = 1
    payments: int = 1
    approve: bool = False
    window: bool = False
    last: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What a case came to."""

    case: Case
    ended: str
    charges: int
    payments: int
    said: str
    wrong_ends: int = 0

    @property
    def good(self) -> bool:
        wanted = (self.case.ends, self.case.charges, self.case.payments)
        return (self.ended, self.charges, self.payments) == wanted and not self.wrong_ends


def _life(killed_at: str, **plan: Any) -> Run:
    return Run(killed_at, {"act": "pay"} | plan)


_PAYING, _REFUSING = "01 97 00 00 00", "01 97 00 00 01"
_REFUSED = _life("failed", phone="01 97 00 00 01")
_CORIS = {"provider": "coris_bj", "phone": "01 97 00 00 00"}
_PAGE = {"provider": "orange_sn", "phone": "77 000 00 50"}

CASES = (
    Case("never: paid", ()),
    Case("never: one-time code", (), last={"act": "pay", "otp": "123456"} | _CORIS),
    Case("form, before pressing", (_life("ready", act="look"),), ends="nothing open", charges=0, payments=0),
    Case("key on disk, nothing sent", (_life("held:before", hold="before"),)),
    Case("request on its way", (_life("held:during", hold="during"),)),
    Case("answer not read", (_life("held:after", hold="after"),)),
    Case("no network when pressed", (_life("held:offline", hold="offline"),)),
    Case("answer lost, looking", (_life("unknown", hold="lost"),)),
    Case("waiting for the PIN", (_life("waiting", phone="01 97 00 00 50"),), approve=True),
    Case("gateway silent, checking", (_life("checking", phone="01 97 00 00 09"),)),
    Case("code wanted", (_life("otp", **_CORIS),), last={"otp": "123456"}),
    Case("code sent, answer not read", (_life("held:after", hold="after", on="/otp/", otp="123456", **_CORIS),)),
    Case("on the operator's page", (_life("redirect", **_PAGE),), approve=True),
    Case("paid, not looked at", (_life("succeeded"),)),
    Case("refused, not looked at", (_REFUSED,), ends="failed", charges=0),
    Case("retry: nothing sent", (_REFUSED, _life("held:before", act="retry", hold="before", on="retry/"))),
    Case("retry: answer not read", (_REFUSED, _life("held:after", act="retry", hold="after", on="retry/"))),
    Case("retry: answer lost", (_REFUSED, _life("unknown", act="retry", hold="lost", on="retry/"))),
    Case(
        "again while resuming",
        (_life("held:during", hold="during", phone="01 97 00 00 50"), Run("waiting", {"act": "resume"})),
        approve=True,
    ),
    Case("three in one run", (), charges=2, payments=3, last={"act": "pay", "then": (_REFUSING, _PAYING)}),
    Case(
        "second of two: answer not read",
        (_life("held:after", hold="after", hold_after=1, then=(_PAYING,)),),
        charges=2,
        payments=2,
    ),
    Case(
        "second under way, then a third",
        (_life("held:during", hold="during", hold_after=1, then=(_PAYING,)),),
        charges=3,
        payments=3,
        last={"then": (_PAYING,)},
    ),
    Case(
        "refused, the next one lost",
        (_life("unknown", phone="01 97 00 00 01", hold="lost", hold_after=1, then=(_PAYING,)),),
        charges=2,
        payments=3,
        last={"then": (_PAYING,)},
    ),
)


WINDOW_CASES = (
    Case("window, never: paid", (), window=True),
    Case("window, never: refused", (), ends="failed", charges=0, last={"phone": "01 97 00 00 01"}, window=True),
    Case("window, answer lost", (_life("unknown", hold="lost"),), window=True),
    Case("window, waiting", (_life("waiting", phone="01 97 00 00 50"),), approve=True, window=True),
    Case(
        "window, three in one run",
        (),
        charges=2,
        payments=3,
        window=True,
        last={"act": "pay", "then": (_REFUSING, _PAYING)},
    ),
    Case(
        "window, second lost, then a third",
        (_life("unknown", phone=_REFUSING, hold="lost", hold_after=1, then=(_PAYING,)),),
        charges=2,
        payments=3,
        window=True,
        last={"then": (_PAYING,)},
    ),
)


async def run_matrix(place: Place, cases: tuple[Case, ...] = CASES, first: int = 0) -> list[Row]:
    """Every case, some at a time. One player for each, from number `first` on."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(player: str, case: Case) -> Row:
        async with gate:
            return await _play(place, player, case)

    return list(await asyncio.gather(*(one(f"player{number}", case) for number, case in enumerate(cases, first))))


def table(rows: list[Row]) -> str:
    """The rows for people."""
    lines = [f"{'killed':<35}{'then':<16}{'charges':>8}{'payments':>10}"]
    for row in rows:
        mark = "" if row.good else f"   WRONG, expected {row.case.ends}/{row.case.charges}/{row.case.payments}"
        lines.append(f"{row.case.name:<35}{row.ended:<16}{row.charges:>8}{row.payments:>10}{mark}")
    double = sum(max(0, row.charges - row.case.charges) for row in rows)
    wrong = sum(row.wrong_ends for row in rows)
    forgotten = sum(row.ended != row.case.ends for row in rows)
    return "\n".join([*lines, f"double_charges={double} forgotten={forgotten} wrong_ends={wrong} rows={len(rows)}"])


async def _play(place: Place, player: str, case: Case) -> Row:
    with tempfile.TemporaryDirectory(prefix="client-home-") as home:
        base = {"home": home, "server": place.shop, "token": place.tokens[player]}
        said = []
        for life in case.lives:
            said += await _live(Plan(**{**base, **life.plan}), life.killed_at, case.window)
        if case.approve:
            await asyncio.to_thread(place.approve, player)
        last = {"act": "resume" if case.lives else "pay"} | case.last
        said += await _live(Plan(**{**base, **last}), "", case.window)
    ended = said[-1].split(":")[1] if said and said[-1].startswith("end:") else "nothing"
    if "nothing open" in said:
        ended = "nothing open"
    history, charges = await asyncio.to_thread(lambda: (place.history(player), place.charges_of(player)))
    wrong = _wrong_ends(said, {row["id"]: row["status"] for row in history})
    return Row(case, ended, charges, len(history), " ".join(said), wrong)


def _wrong_ends(said: list[str], statuses: dict[str, str]) -> int:
    """How many ends were shown that the shop does not have so."""
    shown = [word.split(":")[1:] for word in said if word.startswith("shown:")]
    return sum(statuses.get(payment_id) != status for payment_id, status in shown)


async def _live(plan: Plan, killed_at: str, window: bool) -> list[str]:
    """Start the app; kill it at that word, or let it come to its end. What it said."""
    command = client_command(f"tests.e2e.{'window_player' if window else 'player'}", plan.as_argument())
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            async for line in process.stdout:
                said.append(line.decode().strip())
                if killed_at and said[-1] == killed_at:
                    process.kill()
                    break  # what it still says before the signal reaches it is not part of this life
    except TimeoutError:
        process.kill()
    await process.communicate()
    return [*said, "killed"] if killed_at else said


def main() -> int:
    cases = CASES + WINDOW_CASES
    with open_place(len(cases)) as place:
        rows = asyncio.run(run_matrix(place, cases))
    sys.stdout.write(table(rows) + "\n")
    for row in rows:
        if not row.good:
            sys.stdout.write(f"\n{row.case.name}: {row.said}\n")
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
