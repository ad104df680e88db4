"""Tell the open event streams of a payment that it changed: one NOTIFY in the transaction that changes it.

PostgreSQL sends it at the commit and drops it at a rollback. It carries only the payment's id: a reader reads the row,
so a lost or repeated notice changes nothing. Other databases have no NOTIFY, and there the streams poll.
"""

from __future__ import annotations

from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections

from django_feexpay.conf import feexpay

CHANNEL = "feexpay_payment"


def announce(payment_id: UUID) -> None:
    """Send the notice with the commit of the caller's transaction. Safe to repeat: yes."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql" or not feexpay.live_status:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(payment_id)])
