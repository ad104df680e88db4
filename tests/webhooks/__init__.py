"""The door FeexPay knocks on, as FeexPay and others knock on it."""

from __future__ import annotations
