"""`make drill`: lose a database with kill -9, restore it, and ask the sandbox for what the restore lost.

1. Payments are credited; a base backup is made; more payments are credited and some are started.
2. The log is archived. Then the started ones are credited and others are started and credited: only this is lost.
3. kill -9, and the disk is gone. The backup and the archive are restored.
4. `feexpay_reconcile` compares with FeexPay's history: it settles what the restored rows still know, and names each
   payment whose row is gone.
5. A replica is promoted after another kill -9, while payments are attempted.

The last line says how many credits were lost, recovered and doubled. Exit code 0 only if no credit is double and none
is missing without being named.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests import servers
from tools.drill.cluster import Server, place, wait_until

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make drill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="payments of each of the four groups (default 20)")
    count = parser.parse_args().count
    sys.path.insert(0, str(ROOT / "sample_project"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feexpay-drill-")))
        folder.chmod(0o755)
        here = stack.enter_context(place(folder))
        primary = Server(here, "primary", servers.free_port())
        primary.create()
        primary.start()
        shop = _shop(stack, primary)
        restored, summary = _lose_and_restore(shop, primary, count)
        outage = _fail_over(shop, restored)
    print(f"a replica took over: {outage:.1f} s from the kill to the first payment that started")
    print(f"drill {summary} failover_seconds={outage:.1f}")
    return 0 if "double_credits=0 missing=0" in summary else 1


def _shop(stack: ExitStack, primary: Server) -> Any:
    """The sample shop on this database, with a sandbox in place of FeexPay."""
    from django_feexpay.testing.running import API_KEY, SHOP_ID, run_sandbox

    sandbox = stack.enter_context(run_sandbox())
    os.environ |= {
        "DATABASE_URL": primary.address,
        "DJANGO_SETTINGS_MODULE": "config.settings.development",
        "ENV_FILE": "",
        "FEEXPAY_API_KEY": API_KEY,
        "FEEXPAY_BASE_URL": sandbox.api_url,
        "FEEXPAY_PROMPTS_PER_PHONE": "0",
        "FEEXPAY_SHOP_ID": SHOP_ID,
        "LOG_LEVEL": "CRITICAL",  # only the results are printed
    }
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from tools.drill.shop import Shop

    return Shop(sandbox)


def _lose_and_restore(shop: Any, primary: Server, count: int) -> tuple[Server, str]:
    early = shop.credited_payments("early", count)
    backup = primary.back_up("backup")
    archived = shop.credited_payments("archived", count)
    pending = shop.started_payments("pending", count)
    primary.archive_now()
    shop.approve(pending)
    lost = shop.credited_payments("lost", count)
    before = shop.credits()
    print(f"before the crash: {before} credits of {4 * count} payments, {2 * count} since the log was archived")

    shop.disconnect()
    began = time.monotonic()
    primary.kill()
    restored = primary.restored(backup, "restored")
    _start_after_crash(restored)
    wait_until(restored.accepts_writes)
    after = shop.credits()
    seconds = time.monotonic() - began
    print(f"restored after {seconds:.1f} s: {after} credits, {before - after} lost with the disk")

    named = shop.compare()
    recovered = shop.credits() - after
    kept = shop.known(early + archived + pending)
    missing = before - after - recovered - len(named & shop.references(lost))
    doubled = shop.doubled()
    print(f"feexpay_reconcile credited {recovered} of them, and names {len(named)} charges whose payment is gone")
    if kept != 3 * count:
        missing += 3 * count - kept
    return restored, (
        f"before={before} lost={before - after} recovered={recovered} named={len(named)}"
        f" restore_seconds={seconds:.1f} double_credits={doubled} missing={missing}"
    )


def _start_after_crash(server: Server) -> None:
    """The port is free only when the last process of the killed server has ended."""
    give_up_at = time.monotonic() + 30
    while True:
        try:
            server.start()
            return
        except RuntimeError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.2)


def _fail_over(shop: Any, primary: Server) -> float:
    """Seconds from kill -9 of the primary to the first payment that a promoted replica stores."""
    replica = Server(primary.place, "replica", servers.free_port())
    primary.back_up("replica", "--write-recovery-conf", "--wal-method=stream")
    replica.start()
    shop.use_either(primary.port, replica.port)
    [payment] = shop.started_payments("replicated", 1)
    wait_until(lambda: shop.stored_in(replica.address, payment))
    shop.disconnect()
    began = time.monotonic()
    primary.kill()
    replica.promote()
    wait_until(lambda: bool(shop.try_payment("after-failover")))
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
