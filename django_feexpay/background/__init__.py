"""Background work: polls, queued sends, deliveries of signals."""

from __future__ import annotations
