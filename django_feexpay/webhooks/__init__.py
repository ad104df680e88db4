"""The door FeexPay knocks on. It stores, makes an attempt due, and answers; it never calls anybody."""

from __future__ import annotations
