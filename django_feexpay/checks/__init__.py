"""System checks: `manage.py check` reports what is wrong on any machine, `check --deploy` also what a server needs.

A developer's machine, a CI without keys and a host's test run never fail on what only a server needs. An error marks
a setting that would lose money or leak data; a warning names a risk. An id is never reused for another meaning.
docs/reference/checks.md lists them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.core.management.base import CommandError

from django_feexpay.checks import (  # noqa: F401 -- each registers its checks
    database,
    host_project,
    monitoring,
    security,
    settings,
)
from django_feexpay.checks.messages import CHECKS, DEPLOYMENT_CHECKS
from django_feexpay.checks.settings import shape


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check the settings that must be right on any machine. Needs no database."""
    return list(shape()) or [message for check in CHECKS for message in check()]


@register(Tags.compatibility, deploy=True)
def check_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Check the needs of a server: keys, the real gateway, PostgreSQL, a shared cache, patched dependencies."""
    return [] if list(shape()) else [message for check in DEPLOYMENT_CHECKS for message in check()]


@register(Tags.compatibility)
def check_cluster(**kwargs: Any) -> list[CheckMessage]:
    """Let `qcluster` not start with what `refuse_unsafe_server` refuses: Django runs no deployment check for it."""
    if sys.argv[1:2] != ["qcluster"]:
        return []
    return [message for message in check_deployment() if message.is_serious()]


@register(Tags.database)
def check_database(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check that the database refuses to change history."""
    return list(database.append_only_tables(databases or ()))


def refuse_unsafe_server() -> None:
    """Raise CommandError with the errors of both checks, so that no worker and no web server runs with them.

    Call it at the end of wsgi.py: web servers run no system checks.
    """
    errors = [message for message in (*check_settings(), *check_deployment()) if message.is_serious()]
    if errors:
        raise CommandError("\n".join(f"{error.id} {error.msg} {error.hint}" for error in errors))
