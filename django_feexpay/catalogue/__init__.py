"""Facts without I/O or Django: providers, phone numbers, currencies, FeexPay's status words and reasons."""

from __future__ import annotations
