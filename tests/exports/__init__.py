"""Payments as tables: the room itself and its command. The API's door is in tests/api, the admin's in tests/admin."""

from __future__ import annotations
