"""Tests of gateway/ and catalogue/, without a database; the transport runs over real sockets and TLS."""

from __future__ import annotations
