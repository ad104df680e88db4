"""Hypothesis profiles of all client tests."""

from __future__ import annotations

from hypothesis import settings

# "repeatable" tries the same examples each time. `make nightly` tries new ones; add each finding as a fixed example.
settings.register_profile("repeatable", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("nightly", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile("repeatable")
