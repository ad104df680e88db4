"""The player's client: pays through the HTTP API of django_feexpay, and imports nothing of it."""

from __future__ import annotations

__version__ = "0.1.0"
