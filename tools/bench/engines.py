"""Seconds from the payer's PIN to the host's receiver, with `feexpay_worker` and with `qcluster`.

The sandbox runs in real time. It sends no webhook; this program calls the function that the webhook view calls. The
engine and the first payment start together. `python -m tools.bench.engines` runs only this, with its own database.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import servers
from tools.bench.measuring import Effort, Figure

ROOT = Path(__file__).resolve().parents[2]
ENGINES = {"feexpay_worker": ["feexpay_worker"], "qcluster": ["qcluster"]}
MOST_FIRST_SECONDS, MOST_P95_SECONDS, MOST_STOP_SECONDS = 5.0, 3.0, 10.0
_TIMEOUT_SECONDS = 60.0


def engines(effort: Effort) -> Iterator[Figure]:
    """Measure both engines in another process, because the database of this one is full of due attempts."""
    command = [sys.executable, "-m", "tools.bench.engines", str(effort.engine_payments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        engine, seconds, stopped = json.loads(line)
        first, p95 = seconds[0], statistics.quantiles(seconds[1:], n=20)[-1]
        for name, value, most in (
            ("PIN to receiver, first payment", first, MOST_FIRST_SECONDS),
            (f"PIN to receiver, p95 of {len(seconds) - 1}", p95, MOST_P95_SECONDS),
            ("SIGTERM to exit", stopped, MOST_STOP_SECONDS),
        ):
            yield Figure(f"{engine}, {name}", f"{value:.2f} s", f"≤ {most:.0f} s", value <= most)


def main(count: int) -> None:
    sys.path.insert(0, str(ROOT / "sample_project"))
    with servers.postgres() as url:
        os.environ |= {
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "config.settings.development",
            "PYTHONPATH": f"{ROOT}:{ROOT}/sample_project",
        }
        _measure(count)


def _measure(count: int) -> None:
    from django_feexpay.testing.running import API_KEY, SHOP_ID, run_sandbox

    with run_sandbox(time_scale=1) as sandbox:
        os.environ |= {
            "FEEXPAY_BASE_URL": sandbox.api_url,
            "FEEXPAY_API_KEY": API_KEY,
            "FEEXPAY_SHOP_ID": SHOP_ID,
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("feexpay_schedule", stdout=sys.stderr)
        for engine, command in ENGINES.items():
            with _running(command) as process:
                seconds = [_pay(sandbox, f"{engine}-{number}", f"01610{number:03}50") for number in range(count + 1)]
                print(json.dumps([engine, seconds, _stop(process)]), flush=True)
            _forget_engine()


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "sample_project/manage.py", *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _pay(sandbox: Any, order: str, phone: str) -> float:
    """Start a payment and enter the PIN two seconds later; return the seconds until its signal is delivered."""
    from django.contrib.auth import get_user_model

    from django_feexpay import start_payment
    from django_feexpay.gateway.reports import hint_from
    from django_feexpay.models import OutboxMessage
    from django_feexpay.payments import webhook_hints

    user, _ = get_user_model().objects.get_or_create(username="payer")
    payment = start_payment(user=user, provider="mtn_bj", amount=100, phone=phone, merchant_reference=order)
    time.sleep(2)
    reference = str(payment.attempt.gateway_reference)
    begun = time.monotonic()
    sandbox.approve(reference)
    webhook_hints.receive(hint_from({"reference": reference, "status": "SUCCESSFUL"}))
    while not OutboxMessage.objects.filter(payment=payment, delivered_at__isnull=False).exists():
        if time.monotonic() - begun > _TIMEOUT_SECONDS:
            raise RuntimeError(f"{order} is not paid after {_TIMEOUT_SECONDS:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - begun


def _stop(process: subprocess.Popen[bytes]) -> float:
    begun = time.monotonic()
    process.terminate()
    process.wait(_TIMEOUT_SECONDS)
    return time.monotonic() - begun


def _forget_engine() -> None:
    """Delete the heartbeat of the stopped worker, and make this process look up the engine again."""
    from django_feexpay.background import tasks
    from django_feexpay.models import Heartbeat

    Heartbeat.objects.all().delete()
    tasks._engine = (-tasks._CHECK_ENGINE_EVERY_SECONDS, False)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
