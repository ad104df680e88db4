"""The sandbox as a process, from the package's own test helpers, and the root of this repository."""

from __future__ import annotations

from pathlib import Path

from django_feexpay.testing.running import API_KEY, QUICK, SHOP_ID, RunningSandbox, run_sandbox

__all__ = ["API_KEY", "QUICK", "ROOT", "SHOP_ID", "RunningSandbox", "run_sandbox"]

ROOT = Path(__file__).resolve().parents[2]
