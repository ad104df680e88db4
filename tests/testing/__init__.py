"""The room that is shipped to hosts for their tests, used here as they use it."""

from __future__ import annotations
