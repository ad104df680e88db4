"""Run the real shop, its worker and the sandbox for the client's tests. Runs in the server's environment.

`python serve.py FOLDER PLAYERS` prints a line of JSON once everything answers. Then it reads commands from standard
input, one per line (`stop shop`, `start shop`), and answers each with `done`. It stops when its input closes.
"""

from __future__ import annotations

import json
import secrets
import sys
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "sample_project"))

from demo import Demo, free_ports, start_shop  # noqa: E402 -- the line above makes it importable
from demo_http import answers, wait_for  # noqa: E402
from demo_processes import Processes  # noqa: E402


def main(folder: Path, players: int) -> None:
    demo = Demo(folder, *free_ports(0))
    password = secrets.token_urlsafe(12)
    environment = demo.environment() | {
        "PYTHONPATH": str(HERE),
        "E2E_PLAYERS": str(players),
        "E2E_FOLDER": str(folder),
        "E2E_PASSWORD": password,
    }
    with ExitStack() as stack:
        processes = stack.enter_context(Processes(folder, environment))
        shop = stack.enter_context(Processes(folder, environment))
        processes.start("sandbox", "django_feexpay.sandbox")
        processes.run("setup", "demo_setup")
        processes.run("players", "make_players")
        _open(shop, demo)
        processes.start("worker", "manage", "feexpay_worker")
        wait_for("the sandbox", lambda: answers(f"{demo.sandbox}/control/payments"), seconds=60.0)
        tokens = json.loads((folder / "players.json").read_text())
        _say(json.dumps({"shop": demo.shop, "sandbox": demo.sandbox, "tokens": tokens, "password": password}))
        for line in sys.stdin:
            if line.strip() == "stop shop":
                shop.stop()
            else:
                _open(shop, demo)
            _say("done")


def _open(shop: Processes, demo: Demo) -> None:
    start_shop(demo, shop)
    wait_for("the shop", lambda: answers(f"{demo.shop}/api/v1/shop/packs/"), seconds=60.0)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
