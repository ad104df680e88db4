"""Every decision about money. Plain values in and out: no request, no queue."""

from __future__ import annotations
