"""A small and a large database of payments with one attempt each, filled by SQL.

Row n has the reference `ref-n`. Every tenth payment belongs to `player`. Every second payment is pending and due
tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, connections
from django.db.utils import load_backend

#: Users without payments, who start payments at the same time.
PLAYERS = ("ama", "kofi", "awa", "koku")

#: Half a million rows take seconds instead of minutes without foreign key triggers and with one commit.
_FILL = """
SET session_replication_role = replica;
INSERT INTO feexpay_payment (id, user_id, provider_id, latest_attempt_id, status, amount, currency, charged_amount,
    charged_currency, fee, merchant_reference, description, metadata, idempotency_key, created_at, updated_at)
SELECT md5('p' || n)::uuid, CASE WHEN n %% 10 = 0 THEN %(player)s ELSE %(other)s END, 'mtn_bj', md5('a' || n)::uuid,
    CASE WHEN n %% 2 = 0 THEN 'pending' ELSE 'successful' END, 5000, 'XOF', 5000, 'XOF', 85, 'order-' || n,
    '500 coins', '{"pack": "coins-500"}', '', at, at
FROM (SELECT n, now() - n * interval '1 second' AS at FROM generate_series(%(first)s, %(last)s) AS n) AS rows;
INSERT INTO feexpay_attempt (id, payment_id, ordinal, status, amount, gateway_reference, masked_msisdn, msisdn_hash,
    return_url, cancel_url, redirect_url, otp_required, reason_code, reason_text, sent_at, expires_at, next_poll_at,
    poll_count, created_at, updated_at)
SELECT md5('a' || n)::uuid, md5('p' || n)::uuid, 1, CASE WHEN n %% 2 = 0 THEN 'pending' ELSE 'successful' END,
    5000, 'ref-' || n, '+229 01 •• •• •• 50', '', '', '', '', false, '', '', at, now() + interval '1 day',
    CASE WHEN n %% 2 = 0 THEN now() + interval '1 day' END, 0, at, at
FROM (SELECT n, now() - n * interval '1 second' AS at FROM generate_series(%(first)s, %(last)s) AS n) AS rows;
SET session_replication_role = origin
"""
_REFERENCE_ROWS = """
INSERT INTO bench_referencepayment (reference, gateway_reference, status, amount, created_at, updated_at)
SELECT 'ref-' || n, '', 'pending', 5000, now(), now() FROM generate_series(1, %s) AS n
"""
_NOTHING_DUE = "UPDATE feexpay_attempt SET next_poll_at = now() + interval '1 day' WHERE next_poll_at <= now()"
#: Due rows are spread over the whole table, as in production.
_SOME_DUE = """
UPDATE feexpay_attempt SET next_poll_at = now() - n * interval '1 second', poll_count = 0
FROM generate_series(1, %(count)s) AS n WHERE gateway_reference = 'ref-' || (2 * n * (%(rows)s / 2 / %(count)s))
"""


def fill_small(rows: int) -> None:
    """Create tables, users, `rows` payments and `rows` reference rows in the default database."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    for username in ("player", "other", *PLAYERS):
        User.objects.create_user(username)
    _fill(1, rows)
    with connection.cursor() as cursor:
        cursor.execute(_REFERENCE_ROWS, [rows])
        cursor.execute("VACUUM ANALYZE")


def fill_large(first: int, last: int) -> Any:
    """Copy the default database, add the rows up to `last`, and return a connection to the copy."""
    settings = connection.settings_dict
    connection.close()
    admin = _connection(settings | {"NAME": "template1"})
    with admin.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE large TEMPLATE "{settings["NAME"]}"')
    admin.close()
    large = _connection(settings | {"NAME": "large"})
    with use(large), connection.cursor() as cursor:
        _fill(first, last)
        cursor.execute("VACUUM ANALYZE feexpay_payment, feexpay_attempt")
    return large


@contextmanager
def use(database: Any) -> Iterator[None]:
    """Replace this thread's default connection in the block, so that the app's functions use `database`."""
    before = connections["default"]
    connections["default"] = database
    try:
        yield
    finally:
        connections["default"] = before


def make_due(count: int, rows: int) -> None:
    """Make exactly `count` of `rows` attempts due, as if they were never polled."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTHING_DUE)
        if count:
            cursor.execute(_SOME_DUE, {"count": count, "rows": rows})
        cursor.execute("VACUUM ANALYZE feexpay_attempt")


def _fill(first: int, last: int) -> None:
    ids: dict[str, int] = dict(User.objects.values_list("username", "pk"))
    with connection.cursor() as cursor:
        cursor.execute(_FILL, {"first": first, "last": last, "player": ids["player"], "other": ids["other"]})


def _connection(settings: dict[str, Any]) -> Any:
    return load_backend(settings["ENGINE"]).DatabaseWrapper(settings, "default")
