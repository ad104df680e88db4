"""Tests of the money rules, on a real database, and over a real socket where the wire matters."""

from __future__ import annotations
