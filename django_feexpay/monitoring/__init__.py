"""How we know that all is well, or that it is not."""

from __future__ import annotations
