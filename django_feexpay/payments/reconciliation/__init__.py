"""A period compared with FeexPay's history: read it, judge the discrepancies, run it every night."""

from __future__ import annotations
