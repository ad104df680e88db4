"""Memory use does not grow with the length of an export."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from django_feexpay import exports
from django_feexpay.models import Payment
from django_feexpay.models.payment import PaymentQuerySet

pytestmark = [pytest.mark.django_db, pytest.mark.postgres_only]

MANY = 50_000
INSERT = """
INSERT INTO feexpay_payment (id, provider_id, status, amount, currency, charged_amount, charged_currency, fee,
    merchant_reference, description, metadata, idempotency_key, created_at, updated_at)
SELECT gen_random_uuid(), 'mtn_bj', 'created', n, 'XOF', n, 'XOF', 0, 'order-' || n, repeat('x', 100), '{}', '',
    now() - make_interval(secs => n / 10), now()
FROM generate_series(1, %s) AS n
"""


def keep(count: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [count])
        cursor.execute("ANALYZE feexpay_payment")


def resident() -> int:
    """The resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(chunks: Iterable[bytes]) -> tuple[int, int]:
    """The number of bytes, and the growth of memory while they are read."""
    before = most = resident()
    size = 0
    for chunk in chunks:
        size += len(chunk)
        most = max(most, resident())
    return size, most - before


def test_memory_does_not_grow_with_the_rows() -> None:
    keep(MANY)
    newest = Payment.objects.order_by("-created_at", "-id")
    place = newest[MANY // 4]

    plan = newest.older_than(place.created_at, place.pk)[:1000].explain()
    size, grown = growth(exports.csv_chunks(Payment.objects.all()))

    assert "feexpay_pay_newest" in plan  # each slice starts at its row in the index: no sort, no skipped rows
    assert size > MANY * 200
    assert grown < 16 * 2**20


def test_workbook_is_built_outside_of_memory() -> None:
    keep(MANY // 5)
    growth(built(Payment.objects.none()))  # the first use of openpyxl takes memory of its own

    size, grown = growth(built(Payment.objects.all()))

    assert size > 300_000
    assert grown < 16 * 2**20


def built(payments: PaymentQuerySet) -> Iterator[bytes]:
    """The chunks after an empty one, so that the memory of building is measured, too."""
    yield b""
    chunks = exports.xlsx_chunks(payments)
    yield from chunks
    chunks.close()
