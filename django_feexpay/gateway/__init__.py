"""FeexPay's wire: requests, answers, signatures, errors. Pure Python, imports no Django."""

from __future__ import annotations
