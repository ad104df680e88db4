"""The worker, its pools and deliveries, and the tasks for django-q2."""

from __future__ import annotations
