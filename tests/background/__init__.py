"""Who does the work nobody waits for: the worker's loop and the seam to django-q2."""

from __future__ import annotations
