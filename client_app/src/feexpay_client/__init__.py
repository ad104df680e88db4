"""The player's client. It uses only the HTTP API and imports nothing of django_feexpay."""

from __future__ import annotations

__version__ = "0.1.0"
