"""The real shop with its worker and sandbox, for a run of tests."""

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
#: The shop may be slow on a busy machine.
_http = httpx.Client(timeout=60)


@dataclass
class RealServer:
    """`shop` and `sandbox` are addresses without a trailing slash; `tokens` has one per player.

    The account `member` has that password; the token `ended` is one of its, and has ended.
    """

    process: subprocess.Popen[str]
    shop: str
    sandbox: str
    tokens: dict[str, str]
    password: str

    def history(self, player: str) -> list[dict[str, Any]]:
        """The player's payments in the shop."""
        headers = {"Authorization": f"Bearer {self.tokens[player]}"}
        rows: list[dict[str, Any]] = _http.get(f"{self.shop}{API}history/", headers=headers).json()["results"]
        return rows

    def references(self, player: str) -> list[str]:
        """The gateway's references of the player's payments that it knows."""
        return [row["reference"] for row in self.history(player) if row["reference"]]

    def coins_of(self, player: str) -> int:
        """The player's balance in the shop."""
        headers = {"Authorization": f"Bearer {self.tokens[player]}"}
        coins: int = _http.get(f"{self.shop}/api/v1/shop/balance/", headers=headers).json()["coins"]
        return coins

    def at_sandbox(self, reference: str) -> dict[str, Any]:
        """A payment at the sandbox gateway."""
        row: dict[str, Any] = _http.get(f"{self.sandbox}/control/payments/{reference}").json()
        return row

    def charges(self) -> int:
        """Number of charges at the gateway, for all players."""
        total: int = _http.get(f"{self.sandbox}/control/payments").json()["charges"]
        return total

    def charges_of(self, player: str) -> int:
        """Number of charges for a player's payments, retries included."""
        return sum(self.at_sandbox(reference)["charged"] for reference in self.references(player))

    def approve(self, player: str) -> None:
        """Approve the player's pending payments."""
        for row in self.history(player):
            if row["status"] == "pending" and row["reference"]:
                _http.post(f"{self.sandbox}/control/payments/{row['reference']}/approve").raise_for_status()

    def command(self, command: str) -> None:
        """Run `stop shop` or `start shop` and wait until it is done."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "done"


@contextmanager
def start_real_server(players: int) -> Iterator[RealServer]:
    """Start everything and stop it afterwards, also if this process is killed."""
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
            yield RealServer(process, **json.loads(line))
        finally:
            process.stdin.close()
            process.wait(60)
            process.stdout.close()


def client_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a test module in the client's environment."""
    return [sys.executable, "-m", module, *arguments]
