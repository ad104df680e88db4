"""The chaos soak: `make soak N=500`. Real processes, sockets and PostgreSQL; processes are killed while it runs.

A seed decides beforehand what happens. At the end the shop's rows are compared with the sandbox's.
"""

from __future__ import annotations
