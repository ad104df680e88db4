"""`python -m tools.bench.approvals [--payments 40]`: seconds from the payer's PIN to the payer's screen, on the demo.

Runs the processes of `make demo` and reads each payment's event stream, as the checkout and the client do. The PIN
comes at a random moment, because the worker looks for due payments twice a second.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_API = "/api/v1/payments/feexpay/"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.approvals", description=__doc__)
    parser.add_argument("--payments", type=int, default=40)
    count = parser.parse_args().payments
    sys.path.insert(0, str(ROOT / "sample_project"))
    from demo import PLAYER, Demo, free_ports, started
    from demo_http import ask

    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(Path(folder), *free_ports(0))
        with started(demo):
            who = {"username": PLAYER, "password": demo.player_password}
            token = ask("POST", f"{demo.shop}/api/v1/auth/token/", body=who).expect(200)["token"]
            seconds = [_approve_one(demo, token, number) for number in range(count + 1)][1:]  # the first one warms up
    p95 = statistics.quantiles(seconds, n=20)[-1]
    print(f"{count} payments: p50 {statistics.median(seconds):.2f} s, p95 {p95:.2f} s, longest {max(seconds):.2f} s")
    return 0


def _approve_one(demo: Any, token: str, number: int) -> float:
    """Start a payment, approve it, and return the seconds until the event stream shows the credit."""
    from demo_http import ask, events, wait_for
    from demo_purchase import PIN, PROVIDER

    pack = ask("GET", f"{demo.shop}/api/v1/shop/packs/").expect(200)[0]
    order = {
        "provider": PROVIDER,
        "amount": pack["price"],
        "phone": f"01 97 {number // 100:02} {number % 100:02} 50",
        "metadata": pack["metadata"],
    }
    payment = ask("POST", f"{demo.shop}{_API}initiate/", token=token, body=order).expect(201)
    reference = payment["reference"]
    screen = events(f"{demo.shop}{_API}{payment['id']}/events/", token=token)
    at_sandbox = f"{demo.sandbox}/control/payments/{reference}"
    wait_for("the prompt", lambda: ask("GET", at_sandbox).expect(200)["prompts"] or None)
    time.sleep(random.uniform(1, 2))  # noqa: S311 -- a payer's pace
    begun = time.monotonic()
    ask("POST", f"{demo.sandbox}/phone/{reference}", form={"choice": "approve", "pin": PIN}).expect(303)
    if not any(seen["status"] == "successful" for seen in screen):
        raise RuntimeError("the stream ended without the credit")
    return time.monotonic() - begun


if __name__ == "__main__":
    sys.exit(main())
