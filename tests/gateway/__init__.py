"""The gateway room alone: no Django, no database; where the wire matters, real sockets and real TLS."""

from __future__ import annotations
