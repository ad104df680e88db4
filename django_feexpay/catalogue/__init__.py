"""Facts that need no I/O and no Django: the providers FeexPay serves, phone numbers, money and currencies."""

from __future__ import annotations
