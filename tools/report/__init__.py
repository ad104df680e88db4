"""The delivery report: what was run on this code, and what was not."""

from __future__ import annotations
