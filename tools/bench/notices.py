"""`python -m tools.bench.notices`: what the NOTIFY of a change costs a move of the ledger, as a ratio.

Blocks of moves with LIVE_STATUS on and off take turns on one PostgreSQL. First one thread moves and no commit waits for
the disk, which would hide the cost. Then eight threads move and each commit waits for the disk: PostgreSQL lets
transactions that send a notice commit only one after another.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from tests import servers

ROOT = Path(__file__).resolve().parents[2]
_BLOCK, _THREADS = 24, 8


def main() -> int:
    sys.path.insert(0, str(ROOT / "sample_project"))
    with servers.postgres() as url:
        os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings.testing"}
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection

        from tests.payments.fake_gateway import ModelGateway

        gateway = ModelGateway()
        call_command("migrate", verbosity=0)
        print(f"1 thread, no waiting for the disk, CPU of this process: {_cost_of_notices(1, gateway)}", flush=True)
        with connection.cursor() as cursor:
            for name in ("fsync", "synchronous_commit"):
                cursor.execute(f"ALTER SYSTEM SET {name} = on")
            cursor.execute("SELECT pg_reload_conf()")
        print(f"{_THREADS} threads, each commit waits for the disk, time: {_cost_of_notices(_THREADS, gateway)}")
        connection.close()
    return 0


def _cost_of_notices(threads: int, gateway: Any) -> Any:
    """Seconds of a block of moves with notices, to those of a block without."""
    from django.conf import settings
    from django.db import connections

    from tools.bench.measuring import Effort, interleave, ratio

    effort = Effort(rounds=7, block=1)
    blocks = [_attempts(_BLOCK, gateway) for _ in range(2 * effort.calls)]

    def move_block(live_status: bool) -> None:
        settings.FEEXPAY["LIVE_STATUS"] = live_status
        list(pool.map(_fail, blocks.pop()))

    def close(number: int) -> None:
        time.sleep(0.1)  # so that each thread closes its own
        connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        works = {"with": lambda: move_block(True), "without": lambda: move_block(False)}
        seconds = interleave(works, effort, clock=time.process_time if threads == 1 else time.perf_counter)
        list(pool.map(close, range(threads)))
    return ratio(*([spent / _BLOCK for spent in seconds[name]] for name in ("with", "without")))


def _attempts(count: int, gateway: Any) -> list[UUID]:
    """Attempts that wait for their payers, as FeexPay's stand-in in memory accepted them."""
    from django.contrib.auth.models import User

    from django_feexpay import conf, start_payment

    user, _ = User.objects.get_or_create(username="payer")
    order = {"user": user, "provider": "mtn_bj", "amount": 500, "phone": "0161000050"}
    with conf.use_transport(gateway):
        payments = [start_payment(**order, merchant_reference=uuid4().hex) for _ in range(count)]
    return [payment.attempt.pk for payment in payments]


def _fail(attempt_id: UUID) -> None:
    from django_feexpay.lifecycle import Status
    from django_feexpay.payments import ledger

    ledger.move(attempt_id, Status.FAILED, ledger.Cause(source=ledger.Source.WORKER, because="declined"))


if __name__ == "__main__":
    sys.exit(main())
