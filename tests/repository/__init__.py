"""Tests of the repository itself: names, imports, file sizes, commands, pages, servers. They need no database."""

from __future__ import annotations
