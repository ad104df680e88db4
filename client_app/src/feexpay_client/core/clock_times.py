"""The time of day as each language writes it. In sentences and receipts; lists keep the shorter `14:05`."""

from __future__ import annotations

from datetime import datetime

from feexpay_client.core.money import NBSP


def hour(local: datetime, language: str) -> str:
    """`14 h 05` in French, else `14:05`. local: in the reader's time zone."""
    return f"{local.hour}{NBSP}h{NBSP}{local:%M}" if language.startswith("fr") else f"{local:%H:%M}"
