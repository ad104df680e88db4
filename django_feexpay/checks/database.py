"""Checks that ask the database. Django runs them with `migrate` and with `check --database default`."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connections

from django_feexpay.checks.messages import Messages, warning
from django_feexpay.models import triggers


def append_only_tables(databases: Iterable[str]) -> Messages:
    """Whether the database itself refuses to change and delete history."""
    for alias in databases:
        connection = connections[alias]
        if connection.vendor not in ("postgresql", "sqlite") or not triggers.are_migrated(connection):
            continue
        if missing := triggers.missing(connection):
            text = f"Triggers are missing or switched off: {', '.join(missing)}. SQL can change history."
            hint = "Run `manage.py migrate`, which creates them again, then `manage.py feexpay_verify_audit`."
            yield warning(81, text, hint)
