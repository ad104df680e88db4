"""The webhook endpoint, called by FeexPay and by others."""

from __future__ import annotations
