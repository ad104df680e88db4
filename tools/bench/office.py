"""`python -m tools.bench.office [--payments N]`: server time and statements of the back office's pages.

On PostgreSQL with a year of made-up payments. Not part of `make bench`: writing a million payments takes about twenty
minutes. DATABASE_URL names a database that has them already; without it a server of our own is started and filled.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from django.test import Client

ROOT = Path(__file__).resolve().parents[2]
_ROUNDS = 5
_LISTS = (
    *("payment", "attempt", "paymentevent", "credit", "webhookdelivery", "outboxmessage", "idempotencyrecord"),
    *("incident", "refund", "discrepancy", "comparison", "staffaction", "provider"),
)
_FILTERS = (
    "payment/?status=review",
    "payment/?status=successful",
    "payment/?status=failed",
    "payment/?provider__code__exact=mtn_bj",
    "payment/?provider__code__exact=mobicash_ml",
    "attempt/?status=expired",
    "paymentevent/?source=admin",
    "staffaction/?action=refund",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.office", description=__doc__)
    parser.add_argument("--payments", type=int, default=50_000)
    payments = parser.parse_args().payments
    sys.path.insert(0, str(ROOT / "sample_project"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.testing"
    if "DATABASE_URL" in os.environ:
        return _measure(None)
    from tests import servers

    with servers.postgres() as url:
        os.environ["DATABASE_URL"] = url
        return _measure(payments)


def _measure(payments: int | None) -> int:
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.test import Client

    if payments is not None:
        call_command("migrate", verbosity=0)
        call_command("feexpay_demo_data", payments=payments)
    staff, _ = User.objects.get_or_create(username="bench", defaults={"is_staff": True, "is_superuser": True})
    client = Client()
    client.force_login(staff)
    print(f"{'page':72}{'min ms':>8}{'median':>8}{'statements':>12}")
    for address in _addresses():
        fastest, median, statements = _timed(client, address)
        print(f"{address.removeprefix('/admin/feexpay/'):72}{fastest:8.0f}{median:8.0f}{statements:12}", flush=True)
    return 0


def _addresses() -> Iterator[str]:
    from django_feexpay.models import Payment

    payment = Payment.objects.filter(status="successful").latest("created_at")
    since = quote(payment.created_at.replace(hour=0, minute=0).isoformat())
    pages = ["payment/overview/", *(f"dailytotal/dashboard/?days={days}" for days in (1, 7, 30))]
    pages += ["credit/statement/", f"payment/{payment.pk}/change/"]
    pages += [f"{name}/" for name in _LISTS] + list(_FILTERS)
    pages += [f"payment/?created_at__gte={since}", f"payment/?status=failed&created_at__gte={since}"]
    pages += [f"payment/?q={payment.merchant_reference}", f"payment/?q={payment.attempt.gateway_reference}"]
    pages += [f"payment/?q={payment.user}", "payment/?q=nothing-like-this"]
    return (f"/admin/feexpay/{page}" for page in pages)


def _timed(client: Client, address: str) -> tuple[float, float, int]:
    """The fastest and the median time in milliseconds, and the number of statements."""
    from django.db import connection

    times: list[float] = []
    statements: list[str] = []

    def count(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        statements.append(sql)
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(count):
        answer: Any = client.get(address)
    if answer.status_code != 200:
        raise SystemExit(f"{address} answered {answer.status_code}")
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        client.get(address)
        times.append((time.perf_counter() - begun) * 1000)
    return min(times), statistics.median(times), len(statements)


if __name__ == "__main__":
    sys.exit(main())
