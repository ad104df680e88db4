"""The HTTP API as a client meets it."""

from __future__ import annotations
