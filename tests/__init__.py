"""The tests, sorted by what they prove. A package, so that two rooms may hold a file of the same name."""

from __future__ import annotations
