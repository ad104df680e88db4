"""The tests. This is a package, so that two folders may contain a file of the same name."""

from __future__ import annotations
