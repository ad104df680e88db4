"""One real server for a run of tests, and both sides' books: the shop's history, the sandbox's till."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
#: The interpreter of the server's environment.
SERVER_PYTHON = Path(os.environ.get("FEEXPAY_SERVER_PYTHON", ROOT / ".venv" / "bin" / "python"))
API = "/api/v1/payments/feexpay/"


@dataclass
class Place:
    """Addresses without a closing slash; a token for each player."""

    process: subprocess.Popen[str]
    shop: str
    sandbox: str
    tokens: dict[str, str]

    def history(self, player: str) -> list[dict[str, Any]]:
        """The payments of a player, as the shop has them."""
        headers = {"Authorization": f"Bearer {self.tokens[player]}"}
        rows: list[dict[str, Any]] = httpx.get(f"{self.shop}{API}history/", headers=headers).json()["results"]
        return rows

    def at_sandbox(self, reference: str) -> dict[str, Any]:
        """A payment as the gateway has it."""
        row: dict[str, Any] = httpx.get(f"{self.sandbox}/control/payments/{reference}").json()
        return row

    def charges(self) -> int:
        """How many charges the gateway made, for all players."""
        total: int = httpx.get(f"{self.sandbox}/control/payments").json()["charges"]
        return total

    def charges_of(self, msisdn_of: str) -> int:
        """How often money was taken for the payments of a player, retries included."""
        return sum(self.at_sandbox(row["reference"])["charged"] for row in self.history(msisdn_of) if row["reference"])

    def approve(self, player: str) -> None:
        """The payer says yes to what is pending."""
        for row in self.history(player):
            if row["status"] == "pending" and row["reference"]:
                httpx.post(f"{self.sandbox}/control/payments/{row['reference']}/approve").raise_for_status()

    def tell(self, command: str) -> None:
        """`stop shop` or `start shop`; returns once it is done."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "done"


@contextmanager
def open_place(players: int) -> Iterator[Place]:
    """Everything running; everything stopped afterwards, also when this process is killed."""
    with tempfile.TemporaryDirectory(prefix="client-e2e-") as folder:
        log = Path(folder) / "serve.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [SERVER_PYTHON, HERE / "serve.py", folder, str(players)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, f"the server did not start:\n{log.read_text()}"
            yield Place(process, **json.loads(line))
        finally:
            process.stdin.close()
            process.wait(30)
            process.stdout.close()


def client_command(module: str, *arguments: str) -> list[str]:
    """A module of these tests in a process of the client's environment."""
    return [sys.executable, "-m", module, *arguments]
