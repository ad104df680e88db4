"""The rules of the house, kept by tests: names, rooms, sizes, commands, servers. No database needed."""

from __future__ import annotations
