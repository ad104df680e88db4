"""FeexPay as it really is: wire names, answers and doubts. Pure Python, knows no Django."""

from __future__ import annotations
