"""A PostgreSQL database with a year of made-up payments: of our own, or the one that DATABASE_URL names."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: This many are made one by one; more are copies of them.
_ONE_BY_ONE = 50_000


def parser(program: str, description: str | None) -> ArgumentParser:
    made = ArgumentParser(prog=f"python -m tools.bench.{program}", description=description)
    text = "how many the database gets if it is empty; above 50000 a multiple of that (default: 50000)"
    made.add_argument("--payments", type=int, default=_ONE_BY_ONE, metavar="N", help=text)
    return made


@contextmanager
def database(payments: int) -> Iterator[None]:
    """Set Django up on a database with payments. DATABASE_URL names one; without it a server runs for this block.

    Changes: an empty database is migrated and filled. One that has payments stays as it is.
    """
    sys.path.insert(0, str(ROOT / "sample_project"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.testing"
    if "DATABASE_URL" in os.environ:
        _fill(payments)
        yield
        return
    from tests import servers

    with servers.postgres() as url:
        os.environ["DATABASE_URL"] = url
        _fill(payments)
        yield


def _fill(payments: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from django_feexpay.models import Payment
    from tools.bench import copies

    call_command("migrate", verbosity=0)
    if Payment.objects.exists():
        return
    first = min(payments, _ONE_BY_ONE)
    call_command("feexpay_demo_data", payments=first, stdout=sys.stderr)
    if payments >= 2 * first:
        copies.multiply(payments // first - 1)
