"""The DRF door: takes JSON apart, calls `payments`, puts JSON together. It decides nothing about money."""

from __future__ import annotations
