"""How a check is written: a function that yields messages, registered by one of two decorators."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.core.checks import CheckMessage, Error, Warning

Messages = Iterator[CheckMessage]
Check = Callable[[], Messages]

CHECKS: list[Check] = []
DEPLOYMENT_CHECKS: list[Check] = []


def everywhere(check: Check) -> Check:
    """Run this check by `manage.py check` and every command."""
    CHECKS.append(check)
    return check


def on_deployment(check: Check) -> Check:
    """Run this check by `manage.py check --deploy` and at the start of a worker."""
    DEPLOYMENT_CHECKS.append(check)
    return check


def error(number: int, text: str, hint: str) -> Error:
    return Error(text, hint=hint, id=f"feexpay.E{number:03}")


def warning(number: int, text: str, hint: str) -> Warning:
    return Warning(text, hint=hint, id=f"feexpay.W{number:03}")


def is_readable(read: Callable[[], object]) -> bool:
    """Whether a setting has a form that its property can read."""
    try:
        read()
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return False
    return True


def is_valid(condition: Callable[[], object]) -> bool:
    """Whether the settings in the condition are readable and it is true."""
    return is_readable(condition) and bool(condition())
