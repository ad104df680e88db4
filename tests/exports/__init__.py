"""Exports and their command. tests/api and tests/admin test the exports of the API and the admin."""

from __future__ import annotations
