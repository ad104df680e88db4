"""What a log line is about: the entry point, the payment, the attempt and the provider.

An entry point opens a context, the functions of `payments` bind what they read, and `monitoring.logs` writes it into
every line. So no function passes ids on, and lines of the host's receivers have them too. A context ends with its
entry point, and each thread and each asyncio task has its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

#: The entry points: the API, FeexPay's webhook, the pages of the checkout, the admin, the host's own code, a command of
#: manage.py, `feexpay_worker`, and a django-q2 cluster.
API, WEBHOOK, CHECKOUT, ADMIN, HOST, COMMAND = "api", "webhook", "checkout", "admin", "host", "command"
WORKER, CLUSTER = "worker", "cluster"
ENTRY_POINTS = (API, WEBHOOK, CHECKOUT, ADMIN, HOST, COMMAND, WORKER, CLUSTER)


@dataclass(frozen=True, slots=True)
class LogContext:
    """What the lines of this thread or task are about now. "" and None: not known, or there is none."""

    entry_point: str = ""
    began_at: float | None = None
    payment_id: str = ""
    attempt_id: str = ""
    provider: str = ""

    @property
    def duration_ms(self) -> int | None:
        """Milliseconds since the entry point began."""
        return None if self.began_at is None else int((time.monotonic() - self.began_at) * 1000)


_NOTHING = LogContext()
_current: ContextVar[LogContext] = ContextVar("feexpay_log_context", default=_NOTHING)


def current() -> LogContext:
    """The context of this thread or task."""
    return _current.get()


@contextmanager
def entry_point(name: str, *, payment_id: UUID | str = "") -> Iterator[None]:
    """Open a context, and restore the earlier one at the end; as a block or as a decorator."""
    before = _current.get()
    _current.set(LogContext(name, time.monotonic(), payment_id=str(payment_id)))
    try:
        yield
    finally:
        _current.set(before)


@contextmanager
def step() -> Iterator[None]:
    """Forget at the end what was bound inside; as a block or as a decorator. Call `bind` only inside one."""
    before = _current.get()
    try:
        yield
    finally:
        _current.set(before)


def bind(*, payment_id: UUID, attempt_id: UUID | None = None, provider: str = "") -> None:
    """Say that the lines from here to the end of the step are about this payment."""
    attempt = "" if attempt_id is None else str(attempt_id)
    _current.set(replace(_current.get(), payment_id=str(payment_id), attempt_id=attempt, provider=provider))


def bind_attempt(attempt: Any) -> None:
    """Do as `bind`, for an Attempt that was read together with its payment."""
    bind(payment_id=attempt.payment_id, attempt_id=attempt.pk, provider=attempt.payment.provider_id)


def info_after_commit(logger: logging.Logger, message: str, *values: object, **fields: object) -> None:
    """Log a line once the surrounding transaction is committed, with the present context; a rollback logs nothing."""
    write = partial(copy_context().run, logger.info, message, *values, extra=fields)
    transaction.on_commit(write, robust=True)
