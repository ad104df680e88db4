"""A process that wakes the cluster, as a web process does after a commit (`test_cluster.py` runs it)."""

from __future__ import annotations

import django

if __name__ == "__main__":
    django.setup()
    from django_feexpay.background import tasks

    tasks.wake()
