"""Work nobody waits for: asking, sending what is queued, delivering signals."""

from __future__ import annotations
