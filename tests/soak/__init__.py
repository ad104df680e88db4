"""The chaos soak: `make soak N=500`. Real processes, real sockets, a real PostgreSQL, and everything that can die
does. What is to happen is drawn from one seed beforehand; afterwards the books of both sides are compared."""

from __future__ import annotations
