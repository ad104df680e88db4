"""`manage.py check` finds what a host gets wrong."""

from __future__ import annotations
