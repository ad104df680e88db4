"""The HTTP API: parse JSON, call one function of `payments`, write JSON. It decides nothing about money."""

from __future__ import annotations
