"""What holds for every test of the client."""

from __future__ import annotations

from hypothesis import settings

# The same examples each time; new ones are `make nightly`'s, and what it finds becomes a fixed example.
settings.register_profile("repeatable", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("nightly", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile("repeatable")
