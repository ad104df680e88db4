"""All metrics in the text format of Prometheus."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest

from django_feexpay.monitoring import process_metrics
from django_feexpay.monitoring.database_metrics import DatabaseCollector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def exposition() -> bytes:
    """What the database knows now, and what the processes of this machine counted."""
    database = CollectorRegistry()
    database.register(DatabaseCollector())
    return generate_latest(database) + generate_latest(process_metrics.registry())
