"""The money rules, on a real database and where the wire matters over a real socket."""

from __future__ import annotations
